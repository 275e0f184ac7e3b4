"""Whatever happens to the workers, the store holds what the definition of the join says."""

import contextlib
import os
import random
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from redis import Redis

from contract.crashes import CrashingScripts, KilledError
from contract.reference_store import Expected, reference
from contract.traffic import ACTIONS, Traffic
from ol0.config import StreamingConfig
from ol0.errors import Fenced, Gap, StreamError
from ol0.feedback.handler import FeedbackHandler
from ol0.feedback.join import FeedbackJoin, Message
from ol0.records import Decision, Outcome, Record
from ol0.replay.entries import FEEDBACK, decision_key
from ol0.replay.lua import store_key
from ol0.replay.store import ReplayStore
from ol0.replay.windows import SourcePartition
from ol0.streaming.sink import Partition, SourceRecord

CONFIG = StreamingConfig(reward_window_s=30, allowed_lateness_s=2, early_skew_s=1)
TRIALS = int(os.environ.get("OL0_TRIALS", "40"))
KEYS = "mwofdgpix"
LARGEST_TRIAL = 20_000  # steps


class World:
    """One trial: logs, a store, workers that come and go, and what they published."""

    def __init__(self, client: Redis, prefix: str, seed: int) -> None:
        self.rng = random.Random(seed)
        self.client, self.prefix = client, prefix
        self.capacity = self.rng.choice([5, 20, 64, 500])
        self.max_open = self.rng.choice([10**6, 10**6, 8])
        # A full store waits for the slowest partition, so its log has to go on: in life, ticks see to that.
        drains_ms = [120_000, 400_000] if self.max_open == 8 else [0, 120_000, 400_000]
        self.logs = Traffic(self.rng).run(self.rng.choice([20, 60, 120]), self.rng.choice(drains_ms))
        self.decisions: dict[bytes, Decision] = {}
        self.published: dict[int, Message] = {}
        self.seen: Counter[str] = Counter()
        self.store = ReplayStore(client, prefix)
        starts = {SourcePartition(p.topic, p.number): log[0].offset for p, log in self.logs.items()}
        self.store.register(starts, self.capacity, self.max_open)
        self.snapshot: list[bytes | None] | None = None
        self.scripts: list[CrashingScripts] = []
        self.positions: dict[Partition, int] = {}
        self.owners: dict[Partition, FeedbackJoin] = {}
        self.zombies: list[tuple[FeedbackJoin, Partition, list[SourceRecord], int]] = []
        for partition in self.logs:
            self.assign([partition])

    def pack(self, decision: Decision) -> bytes:
        payload = decision_key(decision.decision_id) + decision.features
        self.decisions[payload] = decision
        return payload

    def encode(self, record: Record) -> bytes:
        assert isinstance(record, Outcome)
        return f"{record.sequence} {record.decision_id} {record.reward} {record.parts}".encode()

    def publish(self, messages: Sequence[Message]) -> None:
        if self.rng.random() < 0.05:
            raise StreamError("not acknowledged, and not written")
        for key, value in messages:
            sequence = int(value.partition(b" ")[0])
            assert self.published.setdefault(sequence, (key, value)) == (key, value), "a repeat differs"
        if self.rng.random() < 0.05:
            raise StreamError("not acknowledged, but written")

    def worker(self) -> FeedbackJoin:
        """A process, as it starts."""
        store = ReplayStore(self.client, self.prefix)
        store.attach(self.store.incarnation)
        self.scripts.append(CrashingScripts(self.client, self.prefix, self.rng, self.meanwhile))
        store._scripts = self.scripts[-1]
        handler = FeedbackHandler(CONFIG, 1, (ACTIONS,), self.pack, self.decisions.__getitem__)
        return FeedbackJoin(store, handler, self.encode, self.publish, self.rng.choice([1, 4, 50]))

    def assign(self, partitions: Sequence[Partition]) -> None:
        """A new worker takes partitions over."""
        join = self.worker()
        for partition in partitions:
            while True:
                with contextlib.suppress(KilledError):
                    self.positions[partition] = join.claim(partition)
                    break
            self.owners[partition] = join

    def batch(self, partition: Partition) -> tuple[list[SourceRecord], int]:
        """What a poll returns: records from the position on, and the offset after them."""
        rest = [source for source in self.logs[partition] if source.offset >= self.positions[partition]]
        records = rest[: self.rng.choice([1, 2, 7, 40])]
        return records, records[-1].offset + 1 if records else self.positions[partition]

    def remaining(self) -> list[Partition]:
        return [partition for partition, log in self.logs.items() if self.positions[partition] <= log[-1].offset]

    def meanwhile(self) -> None:
        if remaining := self.remaining():
            self.seen["meanwhile"] += 1
            self.step(self.rng.choice(remaining), lambda: None)

    def idle(self) -> None:
        self.owners[self.rng.choice(list(self.logs))].idle()

    def step(self, partition: Partition, idle: Callable[[], None]) -> None:
        join = self.owners[partition]
        records, next_offset = self.batch(partition)
        try:
            if records and join.apply(partition, records, next_offset):
                self.positions[partition] = next_offset
            elif records:
                self.seen["full"] += 1
            idle()
        except KilledError:
            self.seen["killed"] += 1
            self.replace(join, partition, records, next_offset)
        except StreamError:
            self.seen["unacknowledged"] += 1
        except Gap:
            self.seen["gap"] += 1
            self.assign([partition])
        if self.rng.random() < 0.03 and self.owners[partition] is join:  # a rebalance while the owner holds a batch
            self.replace(join, partition, records, next_offset)

    def replace(self, join: FeedbackJoin, partition: Partition, records: list[SourceRecord], next_offset: int) -> None:
        self.zombies.append((join, partition, records, next_offset))
        self.assign([owned for owned, owner in self.owners.items() if owner is join])

    def wake_zombie(self) -> None:
        zombie, partition, records, next_offset = self.rng.choice(self.zombies)
        with contextlib.suppress(KilledError, Gap):
            try:
                zombie.apply(partition, records, next_offset)
            except Fenced:
                self.seen["fenced"] += 1
            else:
                # A store that went back gives out epochs a second time. Same offset, same batch: the zombie only does
                # the owner's work, and what the store holds shows that.
                self.seen["not fenced"] += not self.seen["failed over"]

    def fail_over(self) -> None:
        """The store goes back to what it was some time ago, as with an older append-only file."""
        keys = [store_key(self.prefix, name) for name in KEYS]
        if self.snapshot is None:
            self.snapshot = [self.client.dump(key) for key in keys]
            return
        for key, value in zip(keys, self.snapshot, strict=True):
            self.client.delete(key)
            if value is not None:
                self.client.restore(key, 0, value)
        self.snapshot = None
        self.seen["failed over"] += 1
        for (
            partition,
            log,
        ) in self.logs.items():  # who still reads finds out by GAP; for the others that is the next tick
            if self.positions[partition] > log[-1].offset:
                self.assign([partition])

    def run(self) -> None:
        steps = 0
        while remaining := self.remaining():
            steps += 1
            assert steps < LARGEST_TRIAL, "the workers do not get on"
            self.step(self.rng.choice(remaining), self.idle)
            if self.zombies and self.rng.random() < 0.2:
                self.wake_zombie()
            if self.rng.random() < 0.04:
                self.fail_over()
        closer = FeedbackJoin(self.store, *self._quiet())
        closer.claim(min(self.logs, key=str))
        closer.idle()

    def _quiet(self) -> tuple[FeedbackHandler, Callable[[Record], bytes], Callable[[Sequence[Message]], None]]:
        def publish(messages: Sequence[Message]) -> None:
            for key, value in messages:
                sequence = int(value.partition(b" ")[0])
                assert self.published.setdefault(sequence, (key, value)) == (key, value)

        return FeedbackHandler(CONFIG, 1, (ACTIONS,), self.pack, self.decisions.__getitem__), self.encode, publish


def compare(world: World, expected: Expected) -> None:
    """Ring, payloads, outcomes and counters, byte for byte and one by one."""
    examples = [
        (b"%013d" % closed.deadline_ms + decision_key(closed.decision.decision_id), closed)
        for closed in expected.closed
        if closed.reward.value is not None
    ]
    ring = bytearray(world.capacity * 33)
    for number, (field, closed) in enumerate(examples):
        slot = number % world.capacity * 33
        ring[slot : slot + 33] = field + np.float32(closed.reward.value).tobytes()
    assert world.client.get(store_key(world.prefix, "i")) == bytes(ring)

    live = [(field, world.pack(closed.decision)) for field, closed in examples[-world.capacity :]]
    payloads = world.client.hgetall(store_key(world.prefix, "o"))
    assert [payloads[field] for field, _ in live] == [payload for _, payload in live]
    assert len(payloads) == len(live) + expected.open

    assert sorted(world.published) == list(range(len(expected.closed)))
    for sequence, closed in enumerate(expected.closed):
        text = f"{sequence} {closed.decision.decision_id} {closed.reward.value} {closed.reward.parts}"
        assert world.published[sequence] == (closed.decision.session_id.encode(), text.encode())
    assert world.store.outbox(1) == []
    compare_counters(world, expected, len(examples))


def compare_counters(world: World, expected: Expected, examples: int) -> None:
    counters = world.store.counters()
    assert counters.imbalances() == []
    records = [source.record for log in world.logs.values() for source in log]
    assert counters.decisions == sum(isinstance(record, Decision) for record in records)
    assert counters.feedback == sum(hasattr(record, "feedback_id") for record in records)
    assert (counters.outcomes, counters.open) == (len(expected.closed), expected.open)
    assert (counters.examples, counters.evicted) == (examples, max(0, examples - world.capacity))
    assert counters.feedback_used == expected.used
    piles = world.client.hvals(store_key(world.prefix, "f"))
    assert counters.waiting == sum(map(len, piles)) // FEEDBACK.size
    known = set(world.client.zrange(store_key(world.prefix, "d"), 0, -1))
    known |= set(world.client.zrange(store_key(world.prefix, "g"), 0, -1))
    assert set(world.client.hkeys(store_key(world.prefix, "f"))) <= known, "feedback that nothing will ever delete"


def test_the_store_holds_what_the_definition_says(client: Redis, new_prefix: Callable[[], str]) -> None:
    seen: Counter[str] = Counter()
    base = int(os.environ.get("OL0_SEED", "0"))
    for seed in range(base, base + TRIALS):
        try:
            world = World(client, new_prefix(), seed)
            world.run()
            compare(world, reference(world.logs, CONFIG))
        except AssertionError as error:
            pytest.fail(f"trial {seed} (OL0_SEED={seed} OL0_TRIALS=1 repeats it): {error}")
        for name, first, again in (repeat for scripts in world.scripts for repeat in scripts.repeats):
            if name == "apply" and first in (b"OK", b"DUP"):
                assert again == b"DUP"
                seen["repeated"] += 1
        seen.update(world.seen)
        counters = world.store.counters()
        seen.update({f"decisions {reason}": count for reason, count in counters.decisions_dropped.items()})
        seen.update({f"feedback {reason}": count for reason, count in counters.feedback_dropped.items()})
        client.delete(*(store_key(world.prefix, name) for name in KEYS))

    # A trial in which nothing happened proves nothing.
    happened = {"killed", "fenced", "full", "gap", "failed over", "unacknowledged", "repeated", "meanwhile"}
    happened |= {f"decisions {reason}" for reason in ("late", "duplicate", "future")}
    happened |= {f"feedback {reason}" for reason in ("late", "early", "duplicate", "superseded", "orphan", "future")}
    assert {name for name in happened if not seen[name]} <= (set() if TRIALS >= 40 else happened)
    assert not seen["not fenced"]
