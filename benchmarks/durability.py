"""Joined outcomes a second with the append-only file synced every second, and with every write, against none."""

import argparse
import time
from collections.abc import Callable
from typing import Final

from benchmarks.join import Sides
from benchmarks.measure import Row, alternate, median, show
from benchmarks.stage import Stage, stage
from benchmarks.worker import Work

GOALS = {"everysec": 0.45, "always": 0.2}
DECISIONS: Final = 30_000
"""As in ``join.py``, of a shorter stream the end is the better part."""


def _side(place: Stage, sides: Sides, mode: str) -> Callable[[], Work]:
    def run() -> Work:
        place.client.config_set("appendonly", "yes")  # the service refuses to start without
        place.client.config_set("appendfsync", "everysec" if mode == "none" else mode)
        while _rewrites(place):
            time.sleep(0.05)
        return sides.ours("--appendonly", "no" if mode == "none" else "yes")

    return run


def _rewrites(place: Stage) -> bool:
    info = place.client.info("persistence")
    assert isinstance(info, dict)
    return bool(info["aof_rewrite_in_progress"] or info["aof_rewrite_scheduled"])


def rows(decisions: int, rounds: int) -> list[Row]:
    """Both modes."""
    with stage() as place:
        sides = Sides(place, decisions)
        works = alternate(rounds, {mode: _side(place, sides, mode) for mode in ("none", *GOALS)})
    rates = {mode: [one.outcomes / one.wall_s for one in side] for mode, side in works.items()}
    none = median(rates["none"])
    return [
        Row(
            f"append-only file {mode} against none",
            goal,
            higher_is_better=True,
            ratio=median(rates[mode]) / none,
            ours=median(rates[mode]),
            peer=none,
            unit="outcomes/s",
            n=rounds,
            runs={"ours": rates[mode], "peer": rates["none"]},
        )
        for mode, goal in GOALS.items()
    ]


def main() -> None:
    """Reads the arguments, prints the rows as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decisions", type=int, default=DECISIONS)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    show(rows(arguments.decisions, arguments.rounds))


if __name__ == "__main__":
    main()
