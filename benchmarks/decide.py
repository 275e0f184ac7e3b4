"""SDK decide, 384 features, ten experts, against the same network in bare numpy: one product, or two, and argmax."""

import argparse

import numpy as np

from benchmarks.measure import Row, alternate, median, seconds, show
from benchmarks.stage import a_base
from benchmarks.traffic import DIMENSION, EXPERTS
from ol0.config import ServingConfig
from ol0.controller.heads import Floats, Head
from ol0.controller.trunk import Trunk
from ol0.controller.trunk_form import Stack
from ol0.controller.warmup import base_checkpoint
from ol0.kafka.sending.producer_thread import Account
from ol0.records import Record
from ol0.sdk.options import Options
from ol0.sdk.router import Router
from ol0.sdk.view import view_of_file

GOAL = 3.0
CALLS = 5_000
HIDDEN = 128


class Nowhere:
    """Takes what is logged, so that building the record counts and sending it does not."""

    account = Account()

    def send(self, _record: Record) -> bool:
        """Always room."""
        return True

    def close(self, _timeout_s: float) -> None:
        """Nothing waits."""


def rows(rounds: int) -> list[Row]:
    """Without and with a log; a linear base, and one with a hidden layer."""
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(EXPERTS, DIMENSION)).astype(np.float32)
    hidden = rng.normal(size=(HIDDEN, DIMENSION)).astype(np.float32)
    last = rng.normal(size=(EXPERTS, HIDDEN)).astype(np.float32)
    vector = rng.normal(size=DIMENSION).astype(np.float32)
    base = a_base()
    quiet, deep = Router.local(base).prompt("s"), Router.local(a_deep_base(hidden, last)).prompt("s")
    logging = Router(view_of_file(base), ServingConfig(), Options(), Nowhere()).prompt("s")
    timed = alternate(
        rounds,
        {
            "bare": lambda: seconds(lambda: int(np.argmax(weight @ vector)), CALLS),
            "decide": lambda: seconds(lambda: quiet.decide(vector), CALLS),
            "logged": lambda: seconds(lambda: logging.decide(vector), CALLS),
            "bare deep": lambda: seconds(lambda: int(np.argmax(last @ np.maximum(hidden @ vector, 0))), CALLS),
            "deep": lambda: seconds(lambda: deep.decide(vector), CALLS),
        },
    )
    return [
        Row(name, goal, False, mine / peer, 1e6 * mine, 1e6 * peer, "us", rounds)
        for name, key, other, goal in (
            (f"SDK decide, {DIMENSION} features, {EXPERTS} experts", "decide", "bare", GOAL),
            ("the same, the record for the log built as well", "logged", "bare", None),
            (f"SDK decide, a hidden layer of {HIDDEN} below the heads", "deep", "bare deep", GOAL),
        )
        for mine, peer in [(median(timed[key]), median(timed[other]))]
    ]


def a_deep_base(hidden: Floats, last: Floats) -> bytes:
    """One hidden layer with ReLU."""
    tensors = {"0.weight": hidden, "0.bias": np.zeros(HIDDEN, np.float32)}
    trunk = Trunk(Stack(1, "relu", norm=False, gain=1.0), tensors)
    head = trunk.head(Head(last, np.zeros(EXPERTS, np.float32)))
    return base_checkpoint(("expert",), (head,), 0.1, trunk=trunk)


def main() -> None:
    """Reads the arguments, prints the rows as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=21)
    show(rows(parser.parse_args().rounds))


if __name__ == "__main__":
    main()
