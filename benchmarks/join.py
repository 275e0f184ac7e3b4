"""Joined outcomes a second, real Kafka to store with the Python reward rule, against four peers on the same topics.

- naive: ``naive.py``, a Redis pipeline in transactions of 500 records.
- quixstreams: ``quix.py``, its nearest stateful join; the file says what differs.
- floor: ``floor.py``, plain consume and decode of the same bytes.
- silent: the feedback service itself, which tells no metrics.

CPU is user and system of the process and, where there is one, of the store; the broker's is left out on both sides.
"""

import argparse
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from benchmarks.measure import Row, alternate, median, missing, say, show
from benchmarks.stage import Stage, stage
from benchmarks.worker import PEERS, Work, WorkerError, run

GOALS = {
    "naive": (2.2, 3.5),
    "quixstreams": (8.0, 6.0),
    "floor": (0.65, None),
    "silent": (0.98, 1 / 1.02),
}

DECISIONS: Final = 60_000
"""The last 6,600 windows close when all records are in: of a short stream that is the better part."""
FOR_QUIXSTREAMS: Final = 20_000
"""Once each: it takes more than a minute, and a shorter stream would end before its first window closes."""


class Sides:
    """Runs each side once over everything that lies in the topics."""

    def __init__(self, place: Stage, decisions: int) -> None:
        self._place, self._decisions = place, decisions
        say(f"filling the topics with {decisions:,} decisions and their feedback")
        self._records = place.fill(decisions)

    def ours(self, *words: str) -> Work:
        """The feedback service."""
        return self._with_store("ours", *words)

    def naive(self) -> Work:
        """The Redis pipeline."""
        return self._with_store("naive", "--group", _group())

    def floor(self) -> Work:
        """Consume and decode."""
        return self._told(run("floor", [*self._common(), "--records", str(self._records), "--group", _group()]))

    def quixstreams(self) -> Work:
        """Session windows."""
        words = [*self._common(), "--records", str(self._records), "--group", _group()]
        return self._told(run("quix", words, python=str(PEERS)))

    def _common(self) -> list[str]:
        return [str(self._place.config), "--expected", str(self._decisions)]

    def _with_store(self, module: str, *words: str) -> Work:
        self._place.empty_store()
        before = self._place.store_cpu_s()
        work = run(module, [*self._common(), *words])
        return self._told(replace(work, store_cpu_s=self._place.store_cpu_s() - before))

    @staticmethod
    def _told(work: Work) -> Work:
        say(
            f"  {work.outcomes / work.wall_s:9,.0f} outcomes/s, {1e6 * work.total_cpu_s / work.outcomes:6.0f} us of CPU"
        )
        return work


def rows(decisions: int, rounds: int) -> list[Row]:
    """Three peers, wall and CPU."""
    with stage() as place:
        sides = Sides(place, decisions)
        found: dict[str, Callable[[], Work]] = {"ours": sides.ours, "naive": sides.naive, "floor": sides.floor}
        found["silent"] = partial(sides.ours, "--metrics", "no")
        results = alternate(rounds, found)
        compared = [*_compared(results["ours"], "naive", results["naive"])]
        compared += _compared(results["ours"], "floor", results["floor"])
        compared += _compared(results["ours"], "silent", results["silent"])
    try:
        with stage() as place:
            sides = Sides(place, FOR_QUIXSTREAMS)
            compared += _compared([sides.ours()], "quixstreams", [sides.quixstreams()])
    except (WorkerError, OSError) as error:
        compared.append(missing("outcomes/s against quixstreams", GOALS["quixstreams"][0], str(error)))
    return compared


def _compared(ours: Sequence[Work], name: str, peer: Sequence[Work]) -> list[Row]:
    wall, cpu = GOALS[name]
    rates = [[one.outcomes / one.wall_s for one in side] for side in (ours, peer)]
    costs = [[1e6 * one.total_cpu_s / one.outcomes for one in side] for side in (ours, peer)]
    records = ours[0].records / ours[0].outcomes
    return [
        Row(
            f"outcomes/s against {name}",
            wall,
            higher_is_better=True,
            ratio=median(rates[0]) / median(rates[1]),
            ours=median(rates[0]),
            peer=median(rates[1]),
            unit="outcomes/s",
            n=len(ours),
            note=f"{records:.2f} records an outcome",
            runs={"ours": rates[0], "peer": rates[1]},
        ),
        Row(
            f"CPU an outcome against {name}",
            cpu,
            higher_is_better=True,
            ratio=median(costs[1]) / median(costs[0]),
            ours=median(costs[0]),
            peer=median(costs[1]),
            unit="us of CPU",
            n=len(ours),
            note=f"the store's share of ours: {100 * ours[0].store_cpu_s / ours[0].total_cpu_s:.0f} %",
            runs={"ours": costs[0], "peer": costs[1]},
        ),
    ]


def _group() -> str:
    return f"bench-{uuid.uuid4().hex[:8]}"


def main() -> None:
    """Reads the arguments, prints the rows as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--decisions", type=int, default=DECISIONS)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    show(rows(arguments.decisions, arguments.rounds))


if __name__ == "__main__":
    main()
