"""A real broker, a real store, and a lineage on them that is filled with traffic."""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
from pydantic import SecretStr
from redis import Redis

from benchmarks.traffic import DIMENSION, EXPERTS, SOURCES, START_MS, STEP_MS, traffic
from ol0.config import RedisConfig, Settings, load_settings
from ol0.controller.checkpoint import write_checkpoint
from ol0.controller.controller import Manifest
from ol0.controller.heads import Head, Mixer
from ol0.kafka.lineage import Lineage
from ol0.kafka.messages import to_message, write
from ol0.kafka.sending.record_sender import RecordSender
from ol0.operator.setup.lineage import apply_topics
from ol0.records import Partition, Tick
from ol0.replay.budget import MOST_OPEN
from ol0.replay.connection import connect
from ol0.replay.store import ReplayStore
from ol0.stacks.native import NativeStack
from ol0.stacks.ports import LOOPBACK
from ol0.stacks.stack import STORE_BYTES
from ol0.stacks.valkey import Valkey

PARTITIONS: Final = 4
PATIENCE_S: Final = 60.0


class Stage:
    """One lineage, its topics full; its store can be emptied, which starts the join anew.

    Attributes:
        config: settings file, for programs of their own.
        settings: the same, read.
        client: to the store.
    """

    def __init__(self, stack: NativeStack, folder: Path, prefix: str = "bench") -> None:
        self.config = folder / f"{prefix}.json"
        base = folder / "base.safetensors"
        base.write_bytes(a_base())
        tree: Mapping[str, object] = {
            "kafka": {
                "bootstrap_servers": stack.bootstrap_servers,
                "topic_prefix": prefix,
                "partitions": {**dict.fromkeys(SOURCES, PARTITIONS), "outcomes": PARTITIONS},
            },
            "redis": {"url": stack.redis_url},
            "serving": {"base": str(base)},
            "streaming": {"clock": "ticks"},  # event time is the traffic's, however long it lies in Kafka
        }
        self.config.write_text(json.dumps(tree), encoding="utf-8")
        self.settings: Settings = load_settings(self.config)
        self.client: Redis = connect(self.settings.redis)
        self._now_ms = START_MS
        # A rewrite of the append-only file would run beside one of the sides, and not beside the other.
        self.client.config_set("auto-aof-rewrite-percentage", 0)
        apply_topics(self.settings)

    @property
    def lineage(self) -> Lineage:
        """As seen from Kafka."""
        return Lineage.of(self.settings.kafka)

    @property
    def places(self) -> list[tuple[str, int]]:
        """Every source partition, by full topic name."""
        topics = self.lineage.topics
        return [(topics.full(name), number) for name in SOURCES for number in range(PARTITIONS)]

    def fill(self, decisions: int, seed: int = 0) -> int:
        """Sends traffic, then ticks that close every window; returns how many records that is, ticks included.

        Event time goes on where the last call ended.
        """
        lineage = self.lineage
        producer = lineage.clients.producer()
        records = traffic(decisions, seed, self._now_ms)
        for sent in records:
            message = to_message(sent.record, lineage.topics, lineage.codec)
            while True:
                try:
                    write(producer, message)
                    break
                except BufferError:
                    producer.poll(0.1)
        producer.flush(PATIENCE_S)
        streaming = self.settings.streaming
        quiet_s = 2 * streaming.reward_window_s + streaming.allowed_lateness_s
        self._now_ms += decisions * STEP_MS + round(1000 * quiet_s)
        RecordSender(lineage).send_ticks(Tick(self._now_ms), self.places)
        return len(records) + len(self.places)

    def empty_store(self) -> ReplayStore:
        """A store that has seen nothing, whose partitions start at the beginning of the topics."""
        self.client.flushall()
        store = ReplayStore(self.client, self.settings.kafka.topic_prefix)
        store.register(
            {Partition(*place): 0 for place in self.places},
            self.settings.online_learning.replay_size,
            self.settings.streaming.max_open or MOST_OPEN,
        )
        return store

    def store_cpu_s(self) -> float:
        """CPU that the store has used so far, in seconds."""
        info = self.client.info("cpu")
        assert isinstance(info, dict)
        return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="ol0-bench-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def stage() -> Iterator[Stage]:
    """A stack of its own with one lineage."""
    with scratch() as folder, NativeStack(folder / "stack") as stack:
        yield Stage(stack, folder)


@contextmanager
def store() -> Iterator[Redis]:
    """A store without a broker."""
    with scratch() as folder:
        valkey = Valkey(folder, maxmemory_bytes=STORE_BYTES)
        valkey.start()
        try:
            client = connect(RedisConfig(url=SecretStr(f"redis://{LOOPBACK}:{valkey.port}/0")))
            client.config_set("auto-aof-rewrite-percentage", 0)
            yield client
        finally:
            valkey.stop()


def a_base() -> bytes:
    """A base of one part, 384 features and ten experts."""
    rng = np.random.default_rng(0)
    head = Head(rng.normal(size=(EXPERTS, DIMENSION)).astype(np.float32), np.zeros(EXPERTS, np.float32))
    return write_checkpoint(Manifest(None, None, 0, ("expert",), 0.1), (head,), (head,), Mixer.closed(DIMENSION))
