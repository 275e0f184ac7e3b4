"""SDK decide, 384 features, ten experts, against a bare matrix-vector product and argmax in numpy."""

import argparse

import numpy as np

from benchmarks.measure import Row, alternate, median, seconds, show
from benchmarks.stage import a_base
from benchmarks.traffic import DIMENSION, EXPERTS
from ol0.config import ServingConfig
from ol0.kafka.sending.producer_thread import Account
from ol0.records import Record
from ol0.sdk.options import Options
from ol0.sdk.router import Router
from ol0.sdk.view import view_of_file

GOAL = 3.0
CALLS = 5_000


class Nowhere:
    """Takes what is logged, so that building the record counts and sending it does not."""

    account = Account()

    def send(self, _record: Record) -> bool:
        """Always room."""
        return True

    def close(self, _timeout_s: float) -> None:
        """Nothing waits."""


def rows(rounds: int) -> list[Row]:
    """Without and with a log."""
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(EXPERTS, DIMENSION)).astype(np.float32)
    vector = rng.normal(size=DIMENSION).astype(np.float32)
    base = a_base()
    quiet = Router.local(base).prompt("s")
    logging = Router(view_of_file(base), ServingConfig(), Options(), Nowhere()).prompt("s")
    timed = alternate(
        rounds,
        {
            "bare": lambda: seconds(lambda: int(np.argmax(weight @ vector)), CALLS),
            "decide": lambda: seconds(lambda: quiet.decide(vector), CALLS),
            "logged": lambda: seconds(lambda: logging.decide(vector), CALLS),
        },
    )
    bare = median(timed["bare"])
    return [
        Row(name, goal, False, median(timed[key]) / bare, 1e6 * median(timed[key]), 1e6 * bare, "us", rounds)
        for name, key, goal in (
            (f"SDK decide, {DIMENSION} features, {EXPERTS} experts", "decide", GOAL),
            ("the same, the record for the log built as well", "logged", None),
        )
    ]


def main() -> None:
    """Reads the arguments, prints the rows as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=21)
    show(rows(parser.parse_args().rounds))


if __name__ == "__main__":
    main()
