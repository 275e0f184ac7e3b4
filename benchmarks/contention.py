"""Learner steps a second while the feedback service takes in all it can, against the same learner alone."""

import argparse
import random
import time

from benchmarks.measure import Row, alternate, median, say, show
from benchmarks.stage import Stage, a_base, stage
from benchmarks.traffic import decisions
from benchmarks.worker import finish, start
from ol0.config import OnlineLearningConfig
from ol0.controller.checkpoint import read_checkpoint
from ol0.learner.decoding import DecodedReplay
from ol0.learning.anchors import AnchorSet
from ol0.learning.gradient.trainer import HeadTrainer
from ol0.replay.anchors import AnchorStore
from ol0.replay.buffer import ReplayBuffer
from ol0.replay.layout import NOBODY
from ol0.replay.store import ReplayStore
from ol0.wire.codec import Codec
from ol0.wire.payloads import Payloads

GOAL = 0.5
IDLE_S = 3.0


class Learning:
    """A learner on the lineage's store, and a feedback service that can be let loose beside it."""

    def __init__(self, place: Stage, count: int) -> None:
        self._place, self._count = place, count
        self._config = OnlineLearningConfig()
        self._store = ReplayStore(place.client, place.settings.kafka.topic_prefix)
        self._sent = 0
        self._ingest().wait_for_end()
        payloads, rng = Payloads(Codec()), random.Random(0)
        anchors = [
            (payloads.pack(one, NOBODY), float(rng.random() < 0.5)) for one in decisions(self._config.anchors, 99)
        ]
        AnchorStore(place.client, place.settings.kafka.topic_prefix).add_anchors(anchors)
        base = read_checkpoint(a_base())
        buffer = ReplayBuffer(place.client, place.settings.kafka.topic_prefix, self._store.attach(), 1e-3)
        self._replay = DecodedReplay(buffer, base, payloads.unpack, self._config.replay_size + self._config.batch_size)
        self._replay.refresh()
        split = AnchorSet.split(self._replay.anchors(), self._config.calibration_share, 0)
        self._learner = HeadTrainer(base, split, self._config, 0)

    def idle(self) -> float:
        """Steps a second with nothing else to do."""
        began, steps = time.perf_counter(), 0
        while time.perf_counter() - began < IDLE_S:
            steps += self._step()
        return self._told("idle", steps / (time.perf_counter() - began))

    def busy(self) -> float:
        """Steps a second between the first record that the service takes in and its last outcome."""
        ingest = self._ingest()
        while self._store.counters().decisions <= ingest.before:
            time.sleep(0.01)
        began, steps = time.perf_counter(), 0
        while not ingest.done():
            steps += self._step()
        rate = steps / (time.perf_counter() - began)
        ingest.wait_for_end()
        return self._told("full ingest", rate)

    def _step(self) -> int:
        self._replay.refresh()
        return len(self._learner.update(self._replay))

    def _ingest(self) -> "Ingest":
        before = self._sent
        self._sent += self._count
        self._place.fill(self._count, seed=self._sent)
        return Ingest(self._place, self._store, before, self._sent)

    @staticmethod
    def _told(name: str, rate: float) -> float:
        say(f"  {name}: {rate:,.0f} learner steps/s")
        return rate


class Ingest:
    """One run of the feedback service over what was just sent."""

    def __init__(self, place: Stage, store: ReplayStore, before: int, expected: int) -> None:
        self.before = before
        self._store, self._expected = store, expected
        self._process = start("ours", str(place.config), "--expected", str(expected))

    def done(self) -> bool:
        """Whether every window is closed."""
        return self._store.counters().outcomes >= self._expected or self._process.poll() is not None

    def wait_for_end(self) -> None:
        """Until the service has left. Raises WorkerError."""
        finish(self._process)


def rows(count: int, rounds: int) -> list[Row]:
    """One row."""
    with stage() as place:
        place.empty_store()
        learning = Learning(place, count)
        rates = alternate(rounds, {"idle": learning.idle, "busy": learning.busy})
    idle, busy = median(rates["idle"]), median(rates["busy"])
    runs = {"ours": rates["busy"], "peer": rates["idle"]}
    name = "learner steps/s under full ingest against idle"
    return [Row(name, GOAL, True, busy / idle, busy, idle, "steps/s", rounds, runs=runs)]


def main() -> None:
    """Reads the arguments, prints the rows as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decisions", type=int, default=15_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    show(rows(arguments.decisions, arguments.rounds))


if __name__ == "__main__":
    main()
