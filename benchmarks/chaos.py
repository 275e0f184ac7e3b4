"""Does exactly once hold, and does memory stay flat, under full load and a fault every 20 seconds?

    make chaos   (PYTHONPATH=tests python benchmarks/chaos.py [--minutes 30] [--every 20] [--seed 0] [--rate N])

A real Kafka, a real Valkey and two feedback processes. A host decides and reports as fast as the two take it: it
waits where they are more than ``MOST_BEHIND`` records behind, or at ``--rate`` decisions a second. Faults are drawn at
random: kill -9 of a feedback process, SIGSTOP past its session timeout and SIGCONT, a member that joins and leaves,
kill -9 of the store, kill -9 of the broker. At the end the audit of the fault tests reads every log back: every
decision has exactly one outcome, everything adds up, and the ring is what the definition of the join says, byte for
byte.

Writes benchmarks/chaos.json, and the memory of every process over time as a plot.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import matplotlib as mpl
import numpy as np

from integration.faults.audit import Audit, Auditor
from integration.faults.extra_member import join_and_leave
from integration.faults.memory import resident_mib
from integration.faults.world import Workers, World
from ol0.errors import OL0Error
from ol0.observability.logs import configure_logs
from ol0.soak.stacks.native import NativeStack

mpl.use("Agg")
from matplotlib import pyplot as plt

ROOT: Final = Path(__file__).parents[1]
RUN: Final = ROOT / "runs/chaos"
RESULT: Final = ROOT / "benchmarks/chaos.json"
PLOT: Final = ROOT / "docs/images/chaos-memory.svg"
MOST_BEHIND: Final = 20_000
SAMPLE_S: Final = 5.0
CALM_S: Final = 15.0
"""Before the end no more faults, so that the last of them is over when the audit begins."""
STOPPED_S: Final = 8.0
"""Longer than the session timeout of 6 s."""
BUCKETS: Final = 32
"""For each process of the audit: of half an hour of full load all of them have some 450,000 decisions in memory."""
SETTLE_S: Final = 300.0
STREAMING: Final[Mapping[str, object]] = {
    "reward_window_s": 5.0,
    "allowed_lateness_s": 1.0,
    "tick_interval_s": 1.0,
    "batch_wait_s": 0.2,
    "user_rate_limit": None,
}


@dataclass
class Memory:
    """Resident memory of every process, in MiB, by name: (seconds, MiB)."""

    series: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def sample(self, at_s: float, pids: Mapping[str, int]) -> None:
        """Adds a point for each that runs."""
        resident = resident_mib(pids.values())
        for name, pid in pids.items():
            if pid in resident:
                self.series.setdefault(name, []).append((at_s, resident[pid]))

    def slope(self, name: str) -> float:
        """MiB a minute over the second half, by least squares."""
        points = np.array(self.series[name])
        half = points[points[:, 0] >= points[-1, 0] / 2]
        return float(np.polyfit(half[:, 0] / 60, half[:, 1], 1)[0]) if len(half) > 1 else 0.0

    def figures(self) -> dict[str, dict[str, float]]:
        """Median, largest and slope, by name."""
        return {
            name: {
                "slope_mib_per_minute_second_half": round(self.slope(name), 3),
                "median_mib": round(float(np.median([mib for _, mib in points])), 1),
                "largest_mib": round(max(mib for _, mib in points), 1),
            }
            for name, points in self.series.items()
        }


class Faults:
    """What can happen, and how often it did."""

    def __init__(self, world: World, stack: NativeStack, workers: Workers, rng: random.Random) -> None:
        self._world, self._stack, self._workers, self._rng = world, stack, workers, rng
        self.done: Counter[str] = Counter()
        self._kinds: dict[str, Callable[[], None]] = {
            "kill -9 of a feedback process": self._kill,
            "SIGSTOP past the session timeout, SIGCONT": self._stop,
            "a member joins and leaves": self._rebalance,
            "kill -9 of the store": self._kill_store,
            "kill -9 of the broker": self._kill_broker,
        }
        self._deck: list[str] = []

    def strike(self) -> str:
        """One fault, and what it was. Each kind comes once before one comes again."""
        if not self._deck:
            self._deck = self._rng.sample(sorted(self._kinds), len(self._kinds))
        kind = self._deck.pop()
        self._kinds[kind]()
        self.done[kind] += 1
        return kind

    def _member(self) -> str:
        return self._rng.choice(["0", "1"])

    def _kill(self) -> None:
        self._workers.kill_9(self._member())

    def _stop(self) -> None:
        pid = self._workers.pid(self._member())
        try:
            os.kill(pid, signal.SIGSTOP)
            time.sleep(STOPPED_S)
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass  # it died of the fault before: no harm done

    def _rebalance(self) -> None:
        try:
            join_and_leave(self._world.settings, seconds=2.0)
        except OL0Error as error:  # what ends a process, and is over when it comes back
            self.done[f"the member that joined ended: {type(error).__name__}"] += 1

    def _kill_store(self) -> None:
        os.kill(self._stack.redis_pid, signal.SIGKILL)
        self._stack.restart_redis()

    def _kill_broker(self) -> None:
        os.kill(self._stack.kafka_pid, signal.SIGKILL)
        self._stack.restart_kafka()


class Producer:
    """The host, in a thread: as fast as the feedback processes take it, or at a fixed rate."""

    def __init__(self, world: World, rate: float | None) -> None:
        self._world, self._rate = world, rate
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="producer", daemon=True)
        self.failure: BaseException | None = None
        self.behind = self.most_behind = 0

    def start(self) -> None:
        """Begins to decide."""
        self._thread.start()

    def stop(self) -> None:
        """Ends deciding. Raises what ended it before."""
        self._end.set()
        self._thread.join()
        if self.failure is not None:
            raise self.failure

    def _run(self) -> None:
        try:
            self._produce()
        except BaseException as error:  # noqa: BLE001 - told by stop(): a thread has nobody to tell
            self.failure = error

    def _produce(self) -> None:
        traffic, began, looked, decided = self._world.traffic, time.monotonic(), 0.0, 0
        while not self._end.is_set():
            now = time.monotonic()
            if now - looked > 0.5:
                looked, self.behind = now, self._ask_behind()
                self.most_behind = max(self.most_behind, self.behind)
            ahead = self._rate is not None and decided > (now - began) * self._rate
            if ahead or self.behind > MOST_BEHIND or traffic.pending > MOST_BEHIND:
                self._end.wait(0.02)
            else:
                traffic.decide(100)
                decided += 100
            traffic.send_due()

    def _ask_behind(self) -> int:
        """Records that were sent and are not in the store; as before while it does not answer."""
        try:
            counters = self._world.counters()
        except OL0Error:
            return self.behind
        traffic = self._world.traffic
        return traffic.decisions + traffic.feedback - counters.decisions - counters.feedback


def drive(
    world: World, stack: NativeStack, workers: Workers, options: argparse.Namespace
) -> tuple[Memory, Faults, int]:
    """Load and faults until the time is over; then waits until everything is settled."""
    memory, faults = Memory(), Faults(world, stack, workers, random.Random(options.seed))
    producer, began = Producer(world, options.rate), time.monotonic()
    end, ended = began + 60 * options.minutes, threading.Event()

    def pids() -> dict[str, int]:
        return {
            **{f"feedback {member}": pid for member, pid in workers.pids.items()},
            "broker": stack.kafka_pid,
            "store": stack.redis_pid,
            "host and harness": os.getpid(),
        }

    def sample() -> None:
        while not ended.wait(SAMPLE_S):
            memory.sample(time.monotonic() - began, pids())

    sampler = threading.Thread(target=sample, name="sampler", daemon=True)
    sampler.start()
    producer.start()
    try:
        strike_until(end - CALM_S, began, faults, world, producer, options.every)
        time.sleep(max(0.0, end - time.monotonic()))
    finally:
        ended.set()
        sampler.join()
        producer.stop()
    return memory, faults, producer.most_behind


def strike_until(end: float, began: float, faults: Faults, world: World, producer: Producer, every_s: float) -> None:
    """One fault every ``every_s`` seconds, each on a line, up to a moment of the monotonic clock."""
    number = 0
    while (at := began + (number + 1) * every_s) < end:
        number += 1
        time.sleep(max(0.0, at - time.monotonic()))
        if producer.failure is not None:
            raise producer.failure
        kind = faults.strike()
        traffic = world.traffic
        said = f"{traffic.decisions:,} decisions, {traffic.feedback:,} feedback, {producer.behind:,} behind"
        print(f"{time.monotonic() - began:7.1f} s  {kind}; {said}", flush=True)


def read_back(world: World) -> Audit:
    """The audit, in as many processes as there are cores."""
    began = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - began:7.1f} s  {what}", flush=True)

    say("reading every log back")
    audit = Auditor(world.settings, RUN / "audit", BUCKETS, say).audit()
    took_s = time.monotonic() - began
    say(f"read back, {(audit.decisions + audit.feedback) / took_s:,.0f} decisions and feedback a second")
    return audit


@contextmanager
def fresh_stack() -> Iterator[NativeStack]:
    """A broker and a store in an empty folder; takes their data away when all went well."""
    shutil.rmtree(RUN, ignore_errors=True)
    RUN.mkdir(parents=True)
    with NativeStack(RUN / "stack") as stack:
        yield stack
    shutil.rmtree(RUN / "stack")  # the logs of a long run are gigabytes


def plot(memory: Memory, options: argparse.Namespace) -> None:
    """Draws the memory of every process over time."""
    figure, axes = plt.subplots(figsize=(9, 4.5))
    for name, points in sorted(memory.series.items()):
        axes.plot([at / 60 for at, _ in points], [mib for _, mib in points], label=name, linewidth=1)
    axes.set(
        xlabel="minutes",
        ylabel="resident memory, MiB",
        title=f"Full load, a kill, stop or rebalance every {options.every:g} s",
        ylim=(0, None),
    )
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(RUN / "memory.svg")
    PLOT.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(RUN / "memory.svg", PLOT)


def report(audit: Audit, memory: Memory, faults: Faults, most_behind: int, options: argparse.Namespace) -> None:
    """Writes the figures of the run to ``RESULT``, and says what memory did."""
    figures = {
        "minutes": options.minutes,
        "fault_every_s": options.every,
        "seed": options.seed,
        "decisions_per_s_at_most": options.rate,
        "cores": os.cpu_count(),
        "note": options.note,
        "decisions": audit.decisions,
        "feedback": audit.feedback,
        "records_per_s": round((audit.decisions + audit.feedback) / (60 * options.minutes)),
        "outcomes": audit.closed,
        "examples": audit.examples,
        "most_records_behind": most_behind,
        "faults": dict(faults.done),
        "memory": memory.figures(),
        "problems": audit.problems[:50],
    }
    RESULT.write_text(json.dumps(figures, indent=2) + "\n")
    for name, of in figures["memory"].items():
        print(f"{name}: {of['median_mib']:,} MiB, {of['slope_mib_per_minute_second_half']:+} MiB a minute")


def parse() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--every", type=float, default=20, help="seconds between two faults")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=float, help="decisions a second at most; none: as many as are taken")
    parser.add_argument("--note", default="", help="goes into chaos.json: what else the machine did")
    return parser.parse_args()


def main() -> int:
    """Runs it; returns 1 where something does not add up."""
    options = parse()
    configure_logs("chaos", "CRITICAL")
    with fresh_stack() as stack:
        world = World(
            stack, RUN / "lineage", seed=options.seed, streaming=STREAMING, online_learning={"replay_size": 10_000}
        )
        with world.workers() as workers:
            memory, faults, most_behind = drive(world, stack, workers, options)
            plot(memory, options)
            print("settling", flush=True)
            world.finish_traffic()
            world.settle(SETTLE_S)
        audit = read_back(world)
    report(audit, memory, faults, most_behind, options)
    for problem in audit.problems[:20]:
        print(f"does not add up: {problem}")
    print(f"{audit.decisions:,} decisions, {audit.closed:,} outcomes, {audit.examples:,} examples: ", end="")
    print(f"{len(audit.problems)} problems" if audit.problems else "all of it adds up, byte for byte")
    return bool(audit.problems)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted; everything that was started has been stopped")
