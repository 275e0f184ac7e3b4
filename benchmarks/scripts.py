"""The store's scripts with batches of 500, server side; and the memory of an open decision.

Durations come from the server's slow log, which times exactly the script: what everybody else waits for. The ring is
full, so that every commit also evicts. Memory is the growth of ``used_memory`` while 20,000 windows open, beside the
bytes of their payloads.
"""

import argparse
import random
from collections.abc import Sequence
from hashlib import sha1

from redis import Redis

from benchmarks.measure import Row, median, percentile, show
from benchmarks.stage import store
from benchmarks.traffic import DIMENSION, EXPERTS, START_MS, STEP_MS, decisions, feedback
from ol0.config import StreamingConfig
from ol0.feedback.handler import FeedbackHandler
from ol0.feedback.join import FeedbackJoin
from ol0.feedback.outbox import Message
from ol0.kafka.ports import Log, SourceRecord
from ol0.records import Partition, Record, Tick
from ol0.replay.script_runner import script_source
from ol0.replay.store import ReplayStore
from ol0.wire.codec import Codec
from ol0.wire.payloads import Payloads

BATCH = 500
SCRIPTS = ("apply", "due", "commit")
CAPACITY = 10_000
FLOOR_MS = 5.0
MEMORY_GOAL = 1.15
DECISIONS, FEEDBACK = Partition("bench.decisions.v1", 0), Partition("bench.feedback.user.v1", 0)


class Feed:
    """A join without Kafka: batches of records into the store, outcomes to nowhere."""

    def __init__(self, client: Redis) -> None:
        self.codec = Codec()
        self.config = StreamingConfig(clock="ticks")
        client.flushall()
        self.store = ReplayStore(client, "bench")
        self.store.register({Partition(one.topic, one.number): 0 for one in (DECISIONS, FEEDBACK)}, CAPACITY, 10**6)
        handler = FeedbackHandler(self.config, DIMENSION, (EXPERTS,), Payloads(self.codec))
        self.join = FeedbackJoin(self.store, handler, _Nowhere)
        self.offsets = {partition: self.join.claim(partition, Log("", 0, 0)) for partition in (DECISIONS, FEEDBACK)}
        self.now_ms = START_MS

    def apply(self, partition: Partition, records: Sequence[Record]) -> None:
        """One batch."""
        first = self.offsets[partition]
        batch = [
            SourceRecord(first + i, START_MS, record, self.codec.encode(record)) for i, record in enumerate(records)
        ]
        self.offsets[partition] = first + len(batch)
        self.join.apply(partition, batch, self.offsets[partition]).result()

    def close(self) -> None:
        """Closes every window that is due."""
        self.join.idle()  # lists them
        while self.join.idle():
            pass

    def pass_time(self, by_ms: int) -> None:
        """Closes every window that ends until then."""
        self.now_ms += by_ms
        for partition in (DECISIONS, FEEDBACK):
            self.apply(partition, [Tick(self.now_ms + round(1000 * self.config.allowed_lateness_s))])
        self.close()


def fill(feed: Feed, count: int) -> None:
    """Decisions in batches of 500, 500 feedback records after each, windows closing as time passes."""
    rng = random.Random(0)
    made = decisions(count, start_ms=feed.now_ms)
    for at in range(0, count, BATCH):
        batch = made[at : at + BATCH]
        said = [sent.record for decision in batch for sent in feedback(decision, rng)]
        feed.apply(DECISIONS, batch)
        for part in range(0, len(said), BATCH):
            feed.apply(FEEDBACK, said[part : part + BATCH])
        feed.close()
    feed.pass_time(count * STEP_MS + 10**6)


def durations_ms(client: Redis, count: int) -> dict[str, list[float]]:
    """Milliseconds of every call, by script."""
    names = {sha1(script_source(name).encode()).hexdigest().encode(): name for name in SCRIPTS}  # noqa: S324 - the server's
    feed = Feed(client)
    fill(feed, CAPACITY + BATCH)  # the ring is full from here on
    found: dict[str, list[float]] = {name: [] for name in names.values()}
    client.config_set("slowlog-max-len", 100_000)
    client.config_set("slowlog-log-slower-than", 0)
    client.slowlog_reset()
    fill(feed, count)
    for entry in client.slowlog_get(100_000):
        verb, _, rest = entry["command"].partition(b" ")
        if verb == b"EVALSHA" and (name := names.get(rest.partition(b" ")[0])):
            found[name].append(entry["duration"] / 1_000)
    return found


def memory(client: Redis, count: int) -> tuple[float, float]:
    """Bytes of the store and of the payload, each for one open decision."""
    feed = Feed(client)
    made = decisions(count)
    payload = sum(len(feed.codec.encode(decision)) for decision in made)
    before = _used(client)
    for at in range(0, count, BATCH):
        feed.apply(DECISIONS, made[at : at + BATCH])
    return (_used(client) - before) / count, payload / count


def rows(count: int) -> list[Row]:
    """Script times and memory."""
    with store() as client:
        times = durations_ms(client, count)
        used, payload = memory(client, count)
    found = [
        Row(
            f"script {name}, batch of {BATCH}, p99",
            1.0,
            higher_is_better=False,
            ratio=percentile(values, 0.99) / FLOOR_MS,
            ours=percentile(values, 0.99),
            peer=FLOOR_MS,
            unit="ms",
            n=len(values),
            note=f"median {median(values):.2f} ms",
        )
        for name, values in times.items()
    ]
    return [
        *found,
        Row(
            "memory of an open decision against its payload",
            MEMORY_GOAL,
            False,
            used / payload,
            used,
            payload,
            "bytes",
            count,
        ),
    ]


def _used(client: Redis) -> int:
    info = client.info("memory")
    assert isinstance(info, dict)
    return int(info["used_memory"])


class _Nowhere:
    """Takes outcomes as if a broker had them."""

    def __init__(self, _messages: Sequence[Message]) -> None:
        pass

    def done(self) -> bool:
        return True

    def wait(self) -> None:
        pass


def main() -> None:
    """Reads the arguments, prints the rows as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--decisions", type=int, default=20_000)
    show(rows(parser.parse_args().decisions))


if __name__ == "__main__":
    main()
