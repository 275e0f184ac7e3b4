"""Alternating runs, medians, and the row that each question ends in."""

import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """One line of the results.

    Attributes:
        name: what is compared.
        goal: of the ratio; None where the row only informs.
        higher_is_better: whether the ratio has to reach the goal or to stay within it.
        ratio: ours to the peer's; None where the peer could not run.
        ours: median of our side.
        peer: median of the other side, or the floor.
        unit: of both.
        n: runs a side, or samples.
        note: what the figures do not say, such as why a peer is missing.
    """

    name: str
    goal: float | None
    higher_is_better: bool
    ratio: float | None
    ours: float | None = None
    peer: float | None = None
    unit: str = ""
    n: int = 0
    note: str = ""
    runs: Mapping[str, Sequence[float]] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """Whether the goal is reached, in a word."""
        if self.ratio is None:
            return "not measured"
        if self.goal is None:
            return "-"
        reached = self.ratio >= self.goal if self.higher_is_better else self.ratio <= self.goal
        return "yes" if reached else "no"


def missing(name: str, goal: float, reason: str, *, higher_is_better: bool = True) -> Row:
    """A row whose peer could not run."""
    return Row(name, goal, higher_is_better, None, note=reason)


def alternate(rounds: int, sides: Mapping[str, Callable[[], T]]) -> dict[str, list[T]]:
    """Runs the sides in turn, A B A B, so that whatever else the machine does meets all of them alike.

    The first round warms caches and is thrown away.
    """
    results: dict[str, list[T]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, run in sides.items():
            result = run()
            if number:
                results[name].append(result)
    return results


def seconds(action: Callable[[], object], calls: int) -> float:
    """What one call takes on average, in seconds of wall time."""
    started = time.perf_counter()
    for _ in range(calls):
        action()
    return (time.perf_counter() - started) / calls


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that ``share`` of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def say(text: str) -> None:
    """A line of progress."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def as_json(rows: Sequence[Row]) -> str:
    """What ``results.json`` holds."""
    return json.dumps([asdict(row) | {"verdict": row.verdict} for row in rows], indent=1) + "\n"


def show(rows: Sequence[Row]) -> None:
    """What a file prints that is run alone."""
    sys.stdout.write(as_json(rows))
