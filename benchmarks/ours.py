"""The feedback service itself, until every window is closed and every outcome sent."""

import argparse
from pathlib import Path
from threading import Event

from benchmarks.worker import Stopwatch, Work
from ol0.config import load_settings
from ol0.feedback.service import run
from ol0.replay.connection import connect
from ol0.replay.store import ReplayStore
from ol0.streaming.round import Round


class Finish:
    """Sees every round of the service; stops it when all is done."""

    def __init__(self, store: ReplayStore, expected: int) -> None:
        self.stop, self.watch = Event(), Stopwatch()
        self.records = 0
        self.ended = (0.0, 0.0)
        self._store, self._expected = store, expected

    def __call__(self, done: Round) -> None:
        """Told by the loop after each round, whose own work lies behind it."""
        if done.records:
            self.watch.start(done.seconds)
            self.records += done.records
            self.ended = self.watch.read()
        if self._store.counters().outcomes >= self._expected and not self._store.outbox(1):
            self.stop.set()


def main() -> None:
    """Reads the arguments, works, reports."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--expected", type=int, required=True, help="outcomes after which it is done")
    parser.add_argument("--member", default="0")
    arguments = parser.parse_args()
    settings = load_settings(arguments.config)
    finish = Finish(ReplayStore(connect(settings.redis), settings.kafka.topic_prefix), arguments.expected)
    run(settings, finish.stop, finish, arguments.member)
    wall_s, cpu_s = finish.ended
    Work(wall_s, cpu_s, 0.0, finish.records, arguments.expected).say()


if __name__ == "__main__":
    main()
