"""CPU a record of four consumer processes that share the partitions, against one that has them all.

The processes have joined before the first record is sent, so all of them work; the store's CPU counts.
"""

import argparse
import time
from pathlib import Path
from typing import cast

from benchmarks.measure import Row, alternate, median, say, show
from benchmarks.stage import Stage, scratch
from benchmarks.worker import PATIENCE_S, Work, finish, start
from ol0.replay.layout import Key, store_key
from ol0.stacks.native import NativeStack

GOAL = 1.15
SETTLED_S = 4.0


class Crews:
    """Runs crews of processes, each on a lineage of its own."""

    def __init__(self, stack: NativeStack, folder: Path, decisions: int) -> None:
        self._stack, self._folder, self._decisions = stack, folder, decisions
        self._runs = 0

    def cpu_us(self, processes: int) -> float:
        """CPU microseconds a record."""
        self._runs += 1
        place = Stage(self._stack, self._folder, f"crew{self._runs}")
        words = [str(place.config), "--expected", str(self._decisions)]
        crew = [start("ours", *words, "--member", str(member)) for member in range(processes)]
        _wait_until_settled(place)
        before = place.store_cpu_s()
        place.fill(self._decisions)
        works = [Work.parse(finish(process)) for process in crew]
        store_s = place.store_cpu_s() - before
        records = [work.records for work in works]
        cost = 1e6 * (sum(work.cpu_s for work in works) + store_s) / sum(records)
        say(f"  {processes} processes, records {records}: {cost:.1f} us of CPU a record")
        return cost


def _wait_until_settled(place: Stage) -> None:
    """Every partition is claimed, and none was claimed anew for some seconds."""
    deadline, seen, since = time.monotonic() + PATIENCE_S, -1, time.monotonic()
    while time.monotonic() < deadline:
        meta = cast("dict[bytes, bytes]", place.client.hgetall(store_key(place.settings.kafka.topic_prefix, Key.META)))
        epochs = [int(value) for name, value in meta.items() if name.startswith(b"epoch:")]
        if sum(epochs) != seen:
            seen, since = sum(epochs), time.monotonic()
        if len(epochs) == len(place.places) and time.monotonic() - since > SETTLED_S:
            return
        time.sleep(0.1)


def rows(decisions: int, rounds: int) -> list[Row]:
    """One row."""
    with scratch() as folder, NativeStack(folder / "stack") as stack:
        crews = Crews(stack, folder, decisions)
        costs = alternate(rounds, {"one": lambda: crews.cpu_us(1), "four": lambda: crews.cpu_us(4)})
    one, four = median(costs["one"]), median(costs["four"])
    runs = {"ours": costs["four"], "peer": costs["one"]}
    return [
        Row("CPU a record, four processes against one", GOAL, False, four / one, four, one, "us", rounds, runs=runs)
    ]


def main() -> None:
    """Reads the arguments, prints the rows as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--decisions", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    show(rows(arguments.decisions, arguments.rounds))


if __name__ == "__main__":
    main()
