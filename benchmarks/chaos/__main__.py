"""Does exactly once hold, does memory stay flat, and does everything go on, whatever happens?

    make chaos   (python -m benchmarks.chaos [--minutes 30] [--every 20] [--seed 0] [--rate N])

Three real brokers, a real store, and two lineages.

Under *full load*, a host decides and reports as fast as two feedback processes take it: it waits where they are more
than ``MOST_BEHIND`` records behind, or at ``--rate`` decisions a second. Every 20 seconds something happens to it
(``faults.py``), drawn at random, of which no record may be lost. At the end the audit of the fault tests reads every
log back: every decision has exactly one outcome, everything adds up, and the ring is what the definition of the join
says, byte for byte.

The *unlucky* lineage (``unlucky.py``) runs all six services and a host with the SDK, and its broker loses what was
written: topics are made anew, records expire unread, logs are cut, shares change in mid-trial. After each of these
every service has to count, by itself, what comes afterwards.

Writes benchmarks/chaos.json, and the memory of every process over time as a plot.
"""

import argparse
import json
import os
import random
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.chaos.faults import Deck, Faults
from benchmarks.chaos.host import Producer
from benchmarks.chaos.memory import Memory, plot
from benchmarks.chaos.unlucky import Unlucky
from ol0.observability.logs import configure_logs
from ol0.stacks.native import NativeStack
from testbed.faults.audit import Audit, Auditor
from testbed.faults.world import Workers, World

ROOT: Final = Path(__file__).parents[2]
RUN: Final = ROOT / "runs/chaos"
RESULT: Final = ROOT / "benchmarks/chaos.json"
PLOT: Final = ROOT / "docs/images/chaos-memory.svg"
SAMPLE_S: Final = 5.0
CALM_S: Final = 15.0
"""Before the end no more faults, so that the last of them is over when the audit begins."""
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


class Run:
    """Load and faults on both lineages until the time is over.

    Args:
        world: the lineage under full load.
        unlucky: the other one.
        stack: where both live.
        workers: feedback processes of the first.
        options: of the command line.
    """

    def __init__(
        self, world: World, unlucky: Unlucky, stack: NativeStack, workers: Workers, options: argparse.Namespace
    ) -> None:
        self._world, self._unlucky, self._stack, self._workers = world, unlucky, stack, workers
        self._every_s = options.every
        self._faults = Faults(world, stack, workers, random.Random(options.seed), unlucky.alone)
        self.decks = (
            Deck(self._faults.kinds, random.Random(options.seed)),
            Deck(unlucky.kinds, random.Random(options.seed + 1)),
        )
        self.memory, self.producer = Memory(), Producer(world, options.rate)
        self._began = time.monotonic()
        self._end = self._began + 60 * options.minutes
        self._over = threading.Event()
        self._failure: BaseException | None = None

    def drive(self) -> None:
        """Raises what ended the host or a fault before its time."""
        threads = [threading.Thread(target=work, daemon=True) for work in (self._sample, self._guarded_bad_luck)]
        self.producer.start()
        for thread in threads:
            thread.start()
        try:
            self._strike()
            time.sleep(max(0.0, self._end - time.monotonic()))
        finally:
            self._over.set()
            for thread in threads:
                thread.join()
            self.producer.stop()
        if self._failure is not None:
            raise self._failure

    def _strike(self) -> None:
        """One fault every so many seconds on the lineage under full load."""
        number = 1
        while (at := self._began + number * self._every_s) < self._end - CALM_S:
            time.sleep(max(0.0, at - time.monotonic()))
            for failure in (self.producer.failure, self._failure):
                if failure is not None:
                    raise failure
            kind, traffic = self.decks[0].strike(), self._world.traffic
            said = f"{traffic.decisions:,} decisions, {traffic.feedback:,} feedback, {self.producer.behind:,} behind"
            self._say(f"{kind}; {said}")
            number = int((time.monotonic() - self._began) / self._every_s) + 1

    def _guarded_bad_luck(self) -> None:
        try:
            self._bad_luck()
        except BaseException as error:  # noqa: BLE001 - told by drive(): a thread has nobody to tell
            self._failure = error

    def _bad_luck(self) -> None:
        """One fault after the other on the unlucky lineage, each when it has got over the last one."""
        while time.monotonic() < self._end - CALM_S and not self._over.wait(self._every_s):
            kind = self.decks[1].strike()
            self._say(f"unlucky: {kind}")
            took_s = self._unlucky.settle(kind)
            self._say(f"unlucky: everything goes on after {took_s:.1f} s")

    def _sample(self) -> None:
        while not self._over.wait(SAMPLE_S):
            pids = {
                **{f"feedback {member}": pid for member, pid in self._workers.pids.items()},
                **{f"broker {number}": broker.pid for number, broker in enumerate(self._stack.brokers, 1)},
                **{f"unlucky {name}": pid for name, pid in self._unlucky.pids.items()},
                "store": self._stack.valkey.pid,
                "host and harness": os.getpid(),
            }
            self.memory.sample(time.monotonic() - self._began, pids)

    def _say(self, what: str) -> None:
        print(f"{time.monotonic() - self._began:7.1f} s  {what}", flush=True)


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
    """Brokers and a store in an empty folder; takes their data away when all went well."""
    shutil.rmtree(RUN, ignore_errors=True)
    RUN.mkdir(parents=True)
    with NativeStack(RUN / "stack", brokers=3) as stack:
        yield stack
    shutil.rmtree(RUN / "stack")  # the logs of a long run are gigabytes


def settle(world: World) -> list[str]:
    """Waits until everything that was sent is in the store and published; says what is not."""
    try:
        world.settle(SETTLE_S)
    except AssertionError as error:
        traffic = world.traffic
        return [f"{error}: sent {traffic.decisions:,} and {traffic.feedback:,}, in the store {world.counters()}"]
    return []


def report(audit: Audit, run: Run, unlucky: Unlucky, problems: list[str], options: argparse.Namespace) -> None:
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
        "bad_records": len(audit.bad),
        "most_records_behind": run.producer.most_behind,
        "faults": dict(run.decks[0].done),
        "faults_of_the_unlucky": dict(run.decks[1].done),
        "recoveries_s": unlucky.recoveries_s,
        "restarts_of_the_unlucky": dict(unlucky.restarts),
        "memory": run.memory.figures(),
        "problems": problems[:50],
    }
    RESULT.write_text(json.dumps(figures, indent=2) + "\n")
    for name, of in run.memory.figures().items():
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
    """Runs it; returns 1 where something does not add up or did not come back."""
    options = parse()
    configure_logs("chaos", "CRITICAL")
    sections = {"online_learning": {"replay_size": 10_000}, "kafka": {"replication": 3}}
    with fresh_stack() as stack:
        world = World(stack, RUN / "lineage", seed=options.seed, streaming=STREAMING, **sections)
        unlucky = Unlucky(stack, RUN / "unlucky", random.Random(options.seed))
        with world.workers() as workers:
            with unlucky:
                run = Run(world, unlucky, stack, workers, options)
                run.drive()
                unlucky.finish()
            plot(run.memory, options.every, PLOT)
            print("settling", flush=True)
            world.finish_traffic()
            unsettled = settle(world)
        audit = read_back(world)
    problems = [*audit.problems, *unsettled, *unlucky.problems]
    report(audit, run, unlucky, problems, options)
    for problem in problems[:20]:
        print(f"problem: {problem}")
    print(f"{audit.decisions:,} decisions, {audit.closed:,} outcomes, {audit.examples:,} examples: ", end="")
    print(
        f"{len(problems)} problems"
        if problems
        else "all of it adds up, byte for byte, and everything went on by itself"
    )
    return bool(problems)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted; everything that was started has been stopped")
