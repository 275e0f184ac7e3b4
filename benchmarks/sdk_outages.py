"""Ten outages of every kind in a row, 50 threads that decide and report: is each record delivered or counted?

``python -m benchmarks.sdk_outages``: a quarter of an hour, with a broker of its own. One router lives
through all outages of a kind. In the midst of each another one closes, which is the worst moment there is.
"""

import argparse
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

from benchmarks.measure import say
from ol0 import Router
from ol0.kafka.sending.producer_thread import GRACE_S, Account
from ol0.sdk.options import Options
from ol0.sdk.release_watcher import STOP_S
from testbed.outages import OUTAGES, WITHIN_S, Place, a_place
from testbed.serving_states import features
from testbed.waiting import wait_until

THREADS = 50
PAUSE_S = 0.1
SMALL_QUEUE = {"queue.buffering.max.messages": 300}
"""So that it is full in every outage."""
CLOSE_S = 3.0
"""In place of the ten seconds of ``router.FLUSH_S``: 80 of them are enough."""
BOUND_S = CLOSE_S + GRACE_S + STOP_S
"""What ``Router.close`` promises, the follower included."""


@dataclass
class Figures:
    """Of one kind of outage."""

    made: int = 0
    delivered: int = 0
    dropped: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    longest_close_s: float = 0.0
    longest_decide_s: float = 0.0
    longest_deaf_s: float = 0.0
    problems: list[str] = field(default_factory=list)

    def note(self, problem: str) -> None:
        """Something that may not be: told at once, and at the end."""
        self.problems.append(problem)
        say(f"PROBLEM: {problem}")

    def row(self, kind: str) -> str:
        """Of the table in results.md."""
        sums = f"{self.made:,} | {self.delivered:,} | {self.dropped:,}"
        times = f"{self.longest_close_s:.1f} | {1000 * self.longest_decide_s:.0f} | {self.longest_deaf_s:.1f}"
        reasons = ", ".join(f"{name} {count:,}" for name, count in self.reasons.most_common())
        return f"| {kind} | {sums} | {times} | {reasons} |\n"


class Traffic:
    """Threads that decide and report through one router until they are stopped."""

    def __init__(self, router: Router) -> None:
        self._router, self._stop = router, threading.Event()
        self.decided = [0] * THREADS
        self.longest_s = 0.0
        self._threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(THREADS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> int:
        """Ends the threads; returns how many records they made."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        return 2 * sum(self.decided)

    def _run(self, number: int) -> None:
        vector = features(1)[0]
        while not self._stop.wait(PAUSE_S):
            began_s = time.perf_counter()
            choice = self._router.prompt(f"s{number}").decide(vector)
            self._router.report(choice.decision_id, f"s{number}", thumb=1)
            self.longest_s = max(self.longest_s, time.perf_counter() - began_s)
            self.decided[number] += 1


def check(name: str, made: int, account: Account, figures: Figures) -> None:
    """Every record that the threads made has to be in the account of a router that is closed."""
    figures.made, figures.delivered = figures.made + made, figures.delivered + account.delivered
    figures.dropped += account.dropped
    figures.reasons.update(account.reasons)
    if (account.made, account.delivered + account.dropped, account.waiting) != (made, made, 0):
        figures.note(f"{name}: {made:,} records were made; {account}")


def close(name: str, router: Router, traffic: Traffic, figures: Figures) -> None:
    """Stops, closes, and looks at the sums."""
    made = traffic.stop()
    began_s = time.monotonic()
    router.close()
    took_s = time.monotonic() - began_s
    figures.longest_close_s = max(figures.longest_close_s, took_s)
    figures.longest_decide_s = max(figures.longest_decide_s, traffic.longest_s)
    if took_s > BOUND_S:
        figures.note(f"{name}: close took {took_s:.1f} s")
    check(name, made, router.account, figures)


def open_router(place: Place) -> Router:
    """One with a small queue and little patience."""
    return Router.open(place.with_options({**SMALL_QUEUE, "message.timeout.ms": 20_000}), Options(wait_s=5.0))


def fork(router: Router, place: Place, sequence: int, figures: Figures) -> Callable[[], None]:
    """A child that decides, reports and leaves: its account is its own."""
    before = router.account.made
    if not (pid := os.fork()):
        status = 1
        try:
            choice = router.prompt("child").decide(features(1)[0])
            router.report(choice.decision_id, "child", thumb=1)
            router.close()
            status = 0 if router.account == Account(2, 2) else 2
        finally:
            os._exit(status)
    if status := os.waitpid(pid, 0)[1]:
        figures.note(f"a forked child ended with {status}")
    if router.account.made < before:
        figures.note("a fork has changed the parent's account")
    return lambda: place.release(sequence)


def recover(name: str, router: Router, sequence: int, figures: Figures) -> None:
    """Waits until records arrive again, and the newest serving state serves."""
    began_s, before = time.monotonic(), router.account.delivered

    def recovered() -> bool:
        return router.account.delivered > before and router.serving is not None and router.serving[0] == sequence

    try:
        wait_until(recovered, WITHIN_S)
    except AssertionError:
        figures.note(f"{name}: deaf: {router.account}, serving {router.serving}, due {sequence}")
    figures.longest_deaf_s = max(figures.longest_deaf_s, time.monotonic() - began_s)


def play(place: Place, kind: str, rounds: int, first: int) -> Figures:
    """All outages of one kind."""
    figures, router = Figures(), open_router(place)
    traffic = Traffic(router)
    for number in range(rounds):
        name, sequence = f"{kind} {number + 1}", first + number
        closing = open_router(place)
        if kind == "denied":  # nothing was sent before: its producer gets no id, which is the fatal error
            end = OUTAGES[kind](place, sequence)
            doomed = Traffic(closing)
        else:
            doomed = Traffic(closing)
            time.sleep(0.5)
            end = fork(router, place, sequence, figures) if kind == "fork" else OUTAGES[kind](place, sequence)
        time.sleep(1)
        close(f"{name}, closed in the midst", closing, doomed, figures)
        end()
        recover(name, router, sequence, figures)
        say(f"  {name}: {router.account}")
    close(f"{kind}, at the end", router, traffic, figures)
    return figures


def main() -> None:
    """Reads the arguments, plays, prints a table; fails where a sum does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--only", choices=[*OUTAGES, "fork"], action="append", help="may be given more than once")
    arguments = parser.parse_args()
    problems, sequence = [], 2
    with (
        tempfile.TemporaryDirectory() as folder,
        a_place(Path(folder)) as place,
        patch("ol0.sdk.router.FLUSH_S", CLOSE_S),
    ):
        for kind in arguments.only or [*OUTAGES, "fork"]:
            figures = play(place, kind, arguments.rounds, sequence)
            sequence += arguments.rounds
            problems += figures.problems
            sys.stdout.write(figures.row(kind))
            sys.stdout.flush()
    sys.exit("\n".join(problems) or 0)


if __name__ == "__main__":
    main()
