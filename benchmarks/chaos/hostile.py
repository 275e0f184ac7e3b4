"""Records that nobody should send, and somebody does."""

import io
import json
import struct
from collections.abc import Iterator, Mapping
from typing import Final

import fastavro
from confluent_kafka import Producer

from ol0.clock import wall_clock_ms
from ol0.config import Settings
from ol0.kafka.lineage import Lineage

LONG: Final = 600_000
"""Characters of an id that no outcome could carry."""
LARGE_KEY_BYTES: Final = 20_000_000
"""Compressed it is small, and no dead letter could carry it."""
DECISION_ID: Final = "00000000-0000-4000-8000-000000000000"
WITHIN_S: Final = 60.0


class Hostile:
    """Sends some of each kind; every one has to become a dead letter, and nothing else may come of it."""

    def __init__(self, settings: Settings) -> None:
        self._servers = settings.kafka.bootstrap_servers
        self._topics = Lineage.of(settings.kafka).topics
        self.sent = 0

    def strike(self) -> None:
        """One of each, and waits until the broker has them."""
        producer = Producer(
            {
                "bootstrap.servers": self._servers,
                "message.max.bytes": 2 * LARGE_KEY_BYTES,
                "compression.type": "gzip",
                "log_level": 0,
            }
        )
        for topic, key, value in self._records():
            producer.produce(self._topics.full(topic), value, key=key)
            self.sent += 1
        producer.flush(WITHIN_S)

    def _records(self) -> Iterator[tuple[str, bytes, bytes]]:
        long = "x" * LONG
        now_ms = wall_clock_ms()
        thumb: Mapping[str, object] = {
            "feedback_id": "hostile",
            "decision_id": DECISION_ID,
            "session_id": "hostile",
            "source": "somebody",
            "time_ms": now_ms,
            "thumb": 1,
        }
        yield "feedback.user", b"hostile", json.dumps({**thumb, "session_id": long}).encode()
        yield "feedback.user", b"hostile", json.dumps({**thumb, "source": long}).encode()
        yield "feedback.user", b"hostile", json.dumps({**thumb, "time_ms": now_ms // 1000}).encode()
        yield "feedback.user", bytes(LARGE_KEY_BYTES), b"unreadable: with a key that is only long, a thumb would count"
        yield "feedback.user", b"hostile", _avro_thumb({**thumb, "session_id": long})
        yield "feedback.tool", b"hostile", b'{"feedback_id": "a", "feedback_id": "b"}'
        yield "feedback.implicit", b"hostile", b"\x00\x00\x00\x00\x63 framed with somebody else's id"
        yield "decisions", b"hostile", b"\xef\xbb\xbf{}"


def _avro_thumb(record: Mapping[str, object]) -> bytes:
    schema = fastavro.schema.load_schema("services/ol0/schemas/user_feedback.avsc")
    body = io.BytesIO()
    fastavro.schemaless_writer(body, schema, record)
    return struct.pack(">bI", 0, 2) + body.getvalue()
