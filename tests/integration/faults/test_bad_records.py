"""Fault 10: bytes that are no record, or none of this lineage, among those that are."""

import gzip
import json
import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from confluent_kafka import KafkaError, Message, Producer

from ol0.feedback.service import SOURCES
from ol0.kafka.dead_letters.reader import once, read_letters
from ol0.kafka.messages import coordinates
from ol0.records import ImplicitFeedback, ImplicitKind, Partition
from ol0.stacks.native import NativeStack
from ol0.wire.codec import Codec
from testbed.faults.traffic import FEATURES, TEMPLATE
from testbed.faults.world import World
from testbed.worlds import KIND_COUNT

CODEC = Codec()
GOOD = CODEC.encode(TEMPLATE)
BOMB_BYTES = 16 * 1024**2
NAN = np.full(KIND_COUNT, np.nan, "<f4").tobytes()
SIGN = ImplicitFeedback(
    "feedback-1", TEMPLATE.decision_id, "session", "editor", TEMPLATE.time_ms, ImplicitKind.COPY, float("nan")
)
THUMB = {"feedback_id": "f", "decision_id": TEMPLATE.decision_id, "session_id": "s", "source": "ann", "thumb": 1}
ENDLESS = replace(TEMPLATE, session_id="s" * 600_000)
BAD: dict[str, tuple[str, bytes, str]] = {
    "trailing bytes": ("decisions", GOOD + b"\0\0", "left over"),
    "truncated": ("decisions", GOOD[:-3], "truncated"),
    "decompression bomb": ("decisions", CODEC.encode_valid(replace(TEMPLATE, features=bytes(BOMB_BYTES))), "at most"),
    "NaN among the features": ("decisions", CODEC.encode_valid(replace(TEMPLATE, features=NAN)), "not finite"),
    "NaN for a strength": ("feedback.implicit", CODEC.encode_valid(SIGN), "0 to 1"),
    "wrong dimension": ("decisions", CODEC.encode(replace(TEMPLATE, features=FEATURES[0] * 2)), "features"),
    "unknown schema id": ("feedback.user", b"\0\0\0\0\x63" + GOOD[5:], "schema id 99"),
    "a record of another topic": ("feedback.tool", GOOD, "a Decision"),
    "nothing at all": ("feedback.user", b"", "empty"),
    "a session of 600 kB": (
        "decisions",
        CODEC.encode_valid(ENDLESS),
        "256 at most",
    ),
    "a time in seconds": ("feedback.user", json.dumps({**THUMB, "time_ms": 1_790_000_000}).encode(), "milliseconds"),
    "half a surrogate": ("feedback.user", json.dumps({**THUMB, "time_ms": "\ud800"}).encode(), "JSON: "),
}
COPIES = 4
WITHIN_S = 60.0


class Vandal:
    """Writes whatever it likes, compressed, in messages that unpack to far more than a topic allows."""

    def __init__(self, world: World) -> None:
        self._topics = world.lineage.topics
        self._producer = Producer(
            {
                "bootstrap.servers": world.settings.kafka.bootstrap_servers,
                "compression.type": "gzip",
                "message.max.bytes": 4 * BOMB_BYTES,
            }
        )
        self.places: dict[tuple[Partition, int], str] = {}

    def send(self, name: str) -> None:
        topic, value, _ = BAD[name]
        full = self._topics.full(topic)
        self._producer.produce(full, value, os.urandom(4), on_delivery=self._noting(name))
        assert not self._producer.flush(WITHIN_S)

    def _noting(self, name: str) -> Callable[[KafkaError | None, Message], None]:
        def note(error: KafkaError | None, message: Message) -> None:
            assert error is None, error
            topic, number, offset = coordinates(message)
            self.places[Partition(topic, number), offset] = name

        return note


def test_bad_records_of_every_kind_become_dead_letters_and_nothing_else(stack: NativeStack, tmp_path: Path) -> None:
    assert len(gzip.compress(BAD["decompression bomb"][1])) < 100_000  # the broker sees nothing wrong
    world = World(stack, tmp_path, seed=10)
    vandal = Vandal(world)
    kinds = [*BAD] * COPIES
    random.Random(10).shuffle(kinds)
    with world.workers() as workers:
        world.start_traffic(250)
        for number, kind in enumerate(kinds):
            vandal.send(kind)
            world.wait_for_more_decisions(5)
            if number in {10, 25}:
                workers.kill_9(str(number % 2))  # between a letter and its offset, perhaps: it may come twice
        world.wait_for(lambda counters: counters.examples > world.settings.online_learning.replay_size)
        world.stop_traffic()
        world.settle()
        assert sum(workers.restarts.values()) >= 2
    found = world.audit()

    # Each bad record is a dead letter with its reason, whatever stands around it
    letters = list(once(read_letters(world.lineage, SOURCES)))
    reasons = {}
    for letter in letters:
        assert letter.source is not None
        reasons[Partition(letter.source.topic, letter.source.partition), letter.source.offset] = letter.message
    assert reasons.keys() == vandal.places.keys() == set(found.bad)
    for place, kind in vandal.places.items():
        assert BAD[kind][2] in reasons[place], (kind, reasons[place])
