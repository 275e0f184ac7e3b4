"""The join as one writes it first: a hash a decision and a hash for its feedback, in transactions of 500 records.

The same records, the same reward rule, the same outcomes on a topic, hiredis. It promises nothing: offsets are
committed after the store was written, so a crash applies records twice; windows close by what this process has seen.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final, cast

from confluent_kafka import Consumer, Message, Producer
from redis import Redis

from benchmarks.plain import LATENESS_MS, WINDOW_MS, decode, entry, judge, outcome
from benchmarks.traffic import SOURCES
from benchmarks.worker import Stopwatch, Work
from ol0.config import load_settings
from ol0.wire.topics import Topics

BATCH: Final = 500


class NaiveJoin:
    """Decisions and feedback into Redis; windows that have passed into examples and outcomes."""

    def __init__(self, client: Redis, producer: Producer, outcomes: str, partitions: int) -> None:
        self.closed = 0
        self._client, self._producer, self._outcomes = client, producer, outcomes
        self._seen: dict[tuple[str | None, int | None], int] = {}
        self._partitions = partitions

    def apply(self, messages: Sequence[Message]) -> None:
        """One batch, in one MULTI."""
        pipeline = self._client.pipeline(transaction=True)
        for message in messages:
            value = message.value()
            assert value is not None
            datum = decode(value)
            place = (message.topic(), message.partition())
            self._seen[place] = max(self._seen.get(place, 0), cast("int", datum["time_ms"]))
            if "features" in datum:
                pipeline.hset(f"n:d:{datum['decision_id']}", "payload", value)
                pipeline.zadd("n:open", {str(datum["decision_id"]): cast("int", datum["time_ms"]) + WINDOW_MS})
            elif "feedback_id" in datum:
                pipeline.hset(f"n:f:{datum['decision_id']}", str(datum["feedback_id"]), entry(datum))
        pipeline.execute()

    def close(self) -> None:
        """Every window that all partitions have passed."""
        if len(self._seen) < self._partitions:
            return
        watermark = min(self._seen.values()) - LATENESS_MS
        while due := cast("list[bytes]", self._client.zrangebyscore("n:open", "-inf", watermark, 0, BATCH)):
            self._close([name.decode() for name in due])

    def _close(self, names: Sequence[str]) -> None:
        lookup = self._client.pipeline(transaction=False)
        for name in names:
            lookup.hget(f"n:d:{name}", "payload")
            lookup.hvals(f"n:f:{name}")
        found = lookup.execute()
        pipeline = self._client.pipeline(transaction=True)
        for name, payload, entries in zip(names, found[::2], found[1::2], strict=True):
            decision = decode(payload)
            judged = judge(entries, cast("list[int]", decision["action"]))
            pipeline.delete(f"n:d:{name}", f"n:f:{name}")
            pipeline.zrem("n:open", name)
            if judged.value is not None:
                pipeline.hset(f"n:x:{name}", mapping={"payload": payload, "reward": judged.value})
                pipeline.zadd("n:priorities", {name: 1.0})
            value = outcome(decision, judged, self.closed)
            self._producer.produce(self._outcomes, value, str(decision["session_id"]).encode())
            self._producer.poll(0)
            self.closed += 1
        pipeline.execute()


def main() -> None:
    """Reads the arguments, works, reports."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--expected", type=int, required=True, help="outcomes after which it is done")
    parser.add_argument("--group", required=True, help="one that has read nothing yet")
    arguments = parser.parse_args()
    settings = load_settings(arguments.config)
    topics = Topics(settings.kafka.topic_prefix, settings.kafka.partitions)
    servers = settings.kafka.bootstrap_servers
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": arguments.group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([topics.full(name) for name in SOURCES])
    client: Redis = Redis.from_url(settings.redis.url.get_secret_value())
    partitions = sum(topics.spec(name).partitions for name in SOURCES)
    producer = Producer({"bootstrap.servers": servers, "linger.ms": 5, "compression.type": "lz4"})
    join = NaiveJoin(client, producer, topics.full("outcomes"), partitions)
    watch, records = Stopwatch(), 0
    while join.closed < arguments.expected:
        polled = consumer.consume(BATCH, settings.streaming.batch_wait_s)
        messages = [message for message in polled if message.error() is None]
        if not messages:
            continue
        watch.start()
        records += len(messages)
        join.apply(messages)
        join.close()
        consumer.commit(asynchronous=True)
    producer.flush()
    wall_s, cpu_s = watch.read()
    consumer.close()
    Work(wall_s, cpu_s, 0.0, records, join.closed).say()


if __name__ == "__main__":
    main()
