"""Decode a decision of 1.7 KB: the codec against fastavro, and against cavro where the peers' environment has it.

Like with like:

- bare: framed bytes to a ``Decision`` (frozen, enums, tuples), against framed bytes to fastavro's dict of lists;
- whole: the same and checked against the contract, which is what a consumer gets, against the same dict.

cavro is timed against fastavro in its own environment, so that its ratio can be set beside ours.
"""

import argparse
import json
from collections.abc import Callable

from benchmarks.measure import Row, alternate, median, missing, seconds, show
from benchmarks.plain import decode
from benchmarks.traffic import decisions
from benchmarks.worker import PEERS, WorkerError, finish, start
from ol0.records import Decision
from ol0.wire.codec import Codec

GOAL = 2.5
CALLS = 2_000


def sides() -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    codec = Codec()
    payload = codec.encode(decisions(2)[1])  # while a candidate is on trial: every field is there
    return {
        "fastavro": lambda: decode(payload),
        "bare": lambda: codec.decode_valid(Decision, payload),
        "whole": lambda: codec.decode(payload),
    }


def rows(rounds: int) -> list[Row]:
    """Both comparisons, and cavro's."""
    timed = alternate(rounds, {name: lambda call=call: seconds(call, CALLS) for name, call in sides().items()})  # type: ignore[misc]
    results = {name: [1e6 * one for one in values] for name, values in timed.items()}
    found = [_row("decode, bytes to a checked Decision", GOAL, results["whole"], results["fastavro"])]
    found.append(_row("decode, bytes to a Decision, unchecked", None, results["bare"], results["fastavro"]))
    try:
        cavro = json.loads(finish(start("cavro_peer", python=str(PEERS))))
    except (WorkerError, OSError) as error:
        return [*found, missing("decode, cavro's record, no trailing check", 0, str(error))]
    return [
        *found,
        _row("cavro instead: bytes to its record, trailing bytes taken", None, cavro["cavro"], cavro["fastavro"]),
    ]


def _row(name: str, goal: float | None, ours: list[float], peer: list[float]) -> Row:
    return Row(
        name,
        goal,
        higher_is_better=True,
        ratio=median(peer) / median(ours),
        ours=median(ours),
        peer=median(peer),
        unit="us",
        n=len(ours),
        note="peer: fastavro, bytes to dict",
        runs={"ours": ours, "peer": peer},
    )


def main() -> None:
    """Reads the arguments, prints the rows as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=21)
    show(rows(parser.parse_args().rounds))


if __name__ == "__main__":
    main()
