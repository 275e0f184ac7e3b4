"""The two questions that every fault ends in, asked of whole logs with bounded memory.

Does every record add up, and does the store hold what the definition of the join (contract.reference_store) makes of
the logs as Kafka has them, with the append times that it gave them, byte for byte?
"""

import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from confluent_kafka import OFFSET_BEGINNING, KafkaError, Message, TopicPartition
from numpy.typing import NDArray

from contract.comparison import ENTRY_BYTES, field_of
from contract.reference_store import Closed, Log, Said, Windows
from ol0.config import Settings
from ol0.errors import ContractError
from ol0.feedback.handler import FeedbackHandler
from ol0.feedback.service import SOURCES
from ol0.records import Decision, Outcome, Tick
from ol0.replay.connection import connect
from ol0.replay.counters import Counters
from ol0.replay.entries import FIELD_BYTES, decision_key, user_key
from ol0.replay.lua import store_key
from ol0.replay.store import ReplayStore
from ol0.streaming.lineage import Lineage
from ol0.streaming.messages import coordinates
from ol0.streaming.payloads import Payloads
from ol0.streaming.sink import Partition, SourceRecord
from worlds import EXPERTS, KIND_COUNT

HOUR_MS = 3_600_000
CLOSED = np.dtype(
    [
        ("field", f"S{FIELD_BYTES}"),
        ("reward", "<f8"),
        ("number", "<i8"),
        ("used", "<i8"),
        ("user", "S8"),
        ("payload", "S16"),
    ]
)
"""One closed window: what the reference makes of it, and under which number its outcome is on the log."""


@dataclass
class Audit:
    """What was found.

    Attributes:
        decisions: good ones on the logs, copies included; likewise ``feedback``.
        closed: windows, by the definition of the join.
        examples: those with a reward, but for what was too much of one user.
        repeated_outcomes: copies on the outcomes topic, each the same as the first.
        problems: empty where everything adds up and every byte is right.
        bad: records that cannot be used, by partition and offset.
    """

    decisions: int
    feedback: int
    closed: int
    examples: int
    repeated_outcomes: int
    problems: list[str]
    bad: list[tuple[Partition, int]]


class Spill:
    """Things by decision, in files, so that one bucket of decisions at a time is in memory."""

    def __init__(self, folder: Path, name: str, buckets: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._paths = [folder / f"{name}-{number}.pickle" for number in range(buckets)]
        self._files: list[BinaryIO] = [path.open("wb") for path in self._paths]

    def put(self, key: bytes, thing: object) -> None:
        pickle.dump(thing, self._files[key[0] % len(self._files)])

    def take(self, bucket: int) -> Iterator[object]:
        self._files[bucket].close()
        with self._paths[bucket].open("rb") as file:
            while file.peek(1):
                yield pickle.load(file)  # noqa: S301 - written by this process, a moment ago
        self._paths[bucket].unlink()


def messages_of(lineage: Lineage, partitions: Sequence[Partition]) -> Iterator[tuple[Partition, Message]]:
    """These partitions from their beginning to their end, each in its order."""
    consumer = lineage.clients.assigned_consumer("audit", reset="earliest")
    unread = set(partitions)
    try:
        consumer.assign([TopicPartition(it.topic, it.number, OFFSET_BEGINNING) for it in partitions])
        while unread:
            for message in consumer.consume(500, 0.1):
                error, (topic, number, _) = message.error(), coordinates(message)
                if error is None:
                    yield Partition(topic, number), message
                elif error.code() == KafkaError._PARTITION_EOF:
                    unread.discard(Partition(topic, number))
    finally:
        consumer.close()


class Auditor:
    """Looks at a lineage whose processes have stopped and whose windows have all closed.

    Args:
        settings: of the lineage.
        folder: for what does not fit into memory.
        buckets: into so many pieces; memory is that of one of them.
    """

    def __init__(self, settings: Settings, folder: Path, buckets: int = 1) -> None:
        self._settings, self._buckets = settings, buckets
        self._lineage = Lineage.of(settings.kafka)
        self._payloads = Payloads(self._lineage.codec)
        self._handler = FeedbackHandler(settings.streaming, KIND_COUNT, (EXPERTS,), self._payloads)
        self._sources = Spill(folder, "sources", buckets)
        self._outcomes = Spill(folder, "outcomes", buckets)
        self._decisions = self._feedback = self._repeated = 0
        self._problems: list[str] = []
        self.bad: list[tuple[Partition, int]] = []

    def audit(self) -> Audit:
        watermark_ms = self._read_sources()
        self._read_outcomes()
        closed = np.concatenate([self._close(bucket, watermark_ms) for bucket in range(self._buckets)])
        closed = closed[np.argsort(closed["field"])]
        in_order = bool((closed["number"] == np.arange(len(closed))).all())
        self._expect("the outcomes are not numbered in the order of closing", in_order)
        examples = closed[self._makes_example(closed)]
        self._compare_counters(closed, len(examples))
        self._compare_ring(examples)
        return Audit(
            self._decisions, self._feedback, len(closed), len(examples), self._repeated, self._problems, self.bad
        )

    def _partitions(self, names: Sequence[str]) -> list[Partition]:
        topics = self._lineage.topics
        return [
            Partition(topics.full(name), number) for name in names for number in range(topics.spec(name).partitions)
        ]

    def _read_sources(self) -> int:
        """Everything that counts into the spill; the watermark at the end."""
        partitions = self._partitions(SOURCES)
        logs = {partition: Log(self._settings.streaming) for partition in partitions}
        for partition, message in messages_of(self._lineage, partitions):
            for it in logs[partition].read(self._records(partition, message)):
                self._sources.put(decision_key(it.decision_id) if isinstance(it, Decision) else it[0], it)
        return min(log.watermark_ms for log in logs.values())

    def _records(self, partition: Partition, message: Message) -> Iterator[SourceRecord]:
        """The record of a message, if it is one."""
        spec = self._lineage.topics.spec(self._lineage.topics.logical(partition.topic))
        _, _, offset = coordinates(message)
        try:
            record = self._lineage.codec.decode_from(spec, message.value())
            self._handler.check(record)
        except ContractError:
            self.bad.append((partition, offset))
            return
        self._decisions += isinstance(record, Decision)
        self._feedback += not isinstance(record, Decision | Tick)
        yield SourceRecord(offset, message.timestamp()[1], record)

    def _read_outcomes(self) -> None:
        for _, message in messages_of(self._lineage, self._partitions(["outcomes"])):
            outcome = self._lineage.codec.decode(message.value() or b"")
            assert isinstance(outcome, Outcome)
            self._outcomes.put(decision_key(outcome.decision_id), outcome)

    def _close(self, bucket: int, watermark_ms: int) -> NDArray[np.void]:
        """The windows of one bucket, each held against its outcome."""
        windows = Windows(self._settings.streaming)
        for it in self._sources.take(bucket):
            windows.take(cast("Decision | Said", it))
        expected = windows.close(watermark_ms)
        self._expect(f"{len(expected.open)} windows are open", not expected.open)
        outcomes: dict[str, Outcome] = {}
        for thing in self._outcomes.take(bucket):
            assert isinstance(thing, Outcome)
            first = outcomes.setdefault(thing.decision_id, thing)
            self._repeated += first is not thing
            self._expect(f"{thing.decision_id} has two outcomes: {first} and {thing}", first == thing)
        rows = np.zeros(len(expected.closed), CLOSED)
        for number, it in enumerate(expected.closed):
            rows[number] = self._row(it, outcomes.pop(it.decision.decision_id, None))
        self._expect(f"outcomes of no decision: {list(outcomes)[:3]}", not outcomes)
        return rows

    def _row(self, it: Closed, outcome: Outcome | None) -> tuple[bytes, float, int, int, bytes, bytes]:
        decision, judged = it.decision, it.reward
        expected = (decision.session_id, decision.user, decision.action, it.deadline_ms, judged.value, judged.parts)
        if outcome is None:
            self._problems.append(f"{decision.decision_id} has no outcome")
        else:
            found = (
                outcome.session_id,
                outcome.user,
                outcome.action,
                outcome.window_end_ms,
                outcome.reward,
                outcome.parts,
            )
            self._expect(f"{decision.decision_id}: {found} is not {expected}", found == expected)
        return (
            field_of(it),
            np.nan if judged.value is None else judged.value,
            -1 if outcome is None else outcome.sequence,
            judged.used,
            user_key(decision.user),
            blake2b(self._payloads.pack(decision, user_key(decision.user)), digest_size=16).digest(),
        )

    def _makes_example(self, closed: NDArray[np.void]) -> NDArray[np.bool_]:
        """Those with a reward, but for what is too much of one user in an hour."""
        rewarded: NDArray[np.bool_] = ~np.isnan(closed["reward"])
        limit = self._settings.streaming.user_rate_limit
        if limit is None:
            return rewarded
        of_hour: dict[tuple[int, bytes], int] = {}
        for number in np.flatnonzero(rewarded):
            user = bytes(closed["user"][number])
            if user:  # all zeros, which numpy strips: nobody
                hour_of_user = int(closed["field"][number][:13]) // HOUR_MS, user
                of_hour[hour_of_user] = of_hour.get(hour_of_user, 0) + 1
                rewarded[number] = of_hour[hour_of_user] <= limit
        return rewarded

    def _compare_counters(self, closed: NDArray[np.void], examples: int) -> None:
        counters, capacity = self._counters(), self._settings.online_learning.replay_size
        self._problems += counters.imbalances()
        null = int(np.isnan(closed["reward"]).sum())
        for name, found, expected in (
            ("decisions", counters.decisions, self._decisions),
            ("feedback", counters.feedback, self._feedback),
            ("open", counters.open, 0),
            ("waiting", counters.waiting, 0),
            ("outcomes", counters.outcomes, len(closed)),
            ("null rewards", counters.null_rewards, null),
            ("examples", counters.examples, examples),
            ("capped", counters.capped, len(closed) - null - examples),
            ("evicted", counters.evicted, max(0, examples - capacity)),
            ("feedback used", counters.feedback_used, int(closed["used"].sum())),
        ):
            self._expect(f"{name}: {found} in the store, {expected} by the logs", found == expected)

    def _counters(self) -> Counters:
        return ReplayStore(connect(self._settings.redis), self._settings.kafka.topic_prefix).counters()

    def _compare_ring(self, examples: NDArray[np.void]) -> None:
        """Entries, priorities and payloads, byte for byte."""
        client, prefix = connect(self._settings.redis), self._settings.kafka.topic_prefix
        capacity = self._settings.online_learning.replay_size
        newest = np.arange(len(examples))[-capacity:]
        slots = np.zeros(capacity, np.dtype([("field", f"S{FIELD_BYTES}"), ("reward", "<f4")]))
        slots["field"][newest % capacity] = examples["field"][newest]
        slots["reward"][newest % capacity] = examples["reward"][newest]
        assert slots.itemsize == ENTRY_BYTES
        ring = client.get(store_key(prefix, "i"))
        self._expect("the ring is not what the logs say, byte for byte", ring == slots.tobytes())
        priorities = np.frombuffer(cast("bytes", client.get(store_key(prefix, "p"))), "<f4")
        self._expect("priorities where no example is", set(np.flatnonzero(priorities)) == set(newest % capacity))
        payloads = cast("dict[bytes, bytes]", client.hgetall(store_key(prefix, "o")))
        found = {field: blake2b(payload, digest_size=16).digest() for field, payload in payloads.items()}
        width = f"V{FIELD_BYTES}", "V16"
        fields, digests = (
            np.ascontiguousarray(examples[name][newest]).view(kind)
            for name, kind in zip(("field", "payload"), width, strict=True)
        )
        expected = {field.tobytes(): digest.tobytes() for field, digest in zip(fields, digests, strict=True)}
        self._expect("the payloads are not those of the ring", found == expected)

    def _expect(self, problem: str, holds: bool) -> None:  # noqa: FBT001 - what is expected
        if not holds:
            self._problems.append(problem)
