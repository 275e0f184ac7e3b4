"""The feedback service itself, until every window is closed and every outcome sent."""

import argparse
from pathlib import Path
from threading import Event, Thread
from typing import Final, cast

from redis import Redis

from benchmarks.worker import Stopwatch, Work
from ol0.config import load_settings
from ol0.feedback.service import run
from ol0.observability.loop_stats import LoopStats
from ol0.observability.rounds import Rounds
from ol0.replay.connection import connect
from ol0.replay.layout import Key, store_key

LOOK_S: Final = 0.02
"""How often the store is asked: often beside a run of seconds, and next to nothing beside its work."""


class Finish(Rounds):
    """Counts the rounds of the service, with the metrics that they cost; stops it from a thread of its own."""

    def __init__(self, client: Redis, prefix: str, expected: int, appendonly: str, *, metrics: bool) -> None:
        super().__init__("feedback")
        self._metrics = metrics
        self.stop, self.watch = Event(), Stopwatch()
        self.records = 0
        self.ended = (0.0, 0.0)
        self._client = client
        self._outcomes, self._outbox = (store_key(prefix, Key.META), "count:outcomes"), store_key(prefix, Key.OUTBOX)
        self._expected, self._appendonly = expected, appendonly

    def __call__(self, done: LoopStats) -> None:
        """Told by the loop after each round."""
        if self._metrics:
            super().__call__(done)
        if not self.watch.running:  # the service would not start without; the first batch is in by now at most
            self._client.config_set("appendonly", self._appendonly)
        if done.records:
            self.watch.start(done.seconds)
            self.records += done.records

    def wait(self) -> None:
        """Until every outcome is sent, which is closed and sent beside the loop's rounds; or the service has failed."""
        while not self.stop.wait(LOOK_S):
            outcomes = cast("bytes | None", self._client.hget(*self._outcomes))
            if int(outcomes or 0) >= self._expected and not self._client.xlen(self._outbox):
                self.ended = self.watch.read()
                self.stop.set()


def main() -> None:
    """Reads the arguments, works, reports."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--expected", type=int, required=True, help="outcomes after which it is done")
    parser.add_argument("--member", default="0", help="its name in the consumer group")
    parser.add_argument("--appendonly", choices=("yes", "no"), default="yes", help="no: the store forgets on a crash")
    parser.add_argument("--metrics", choices=("yes", "no"), default="yes", help="no: rounds are told to nobody")
    arguments = parser.parse_args()
    settings = load_settings(arguments.config)
    prefix, appendonly = settings.kafka.topic_prefix, arguments.appendonly
    metrics = arguments.metrics == "yes"
    finish = Finish(connect(settings.redis), prefix, arguments.expected, appendonly, metrics=metrics)
    waiting = Thread(target=finish.wait)
    waiting.start()
    try:
        run(settings, finish.stop, finish, arguments.member)
    finally:
        finish.stop.set()
        waiting.join()
    wall_s, cpu_s = finish.ended
    Work(wall_s, cpu_s, 0.0, finish.records, arguments.expected).say()


if __name__ == "__main__":
    main()
