"""The long work of the audit in pieces that need nothing of each other, so that each may have a process of its own.

First the logs: what counts of them goes into files, by decision. Then the buckets of these files: what the definition
of the join makes of the decisions in one, each held against its outcome.
"""

import struct
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from multiprocessing import get_context
from operator import attrgetter
from pathlib import Path
from typing import Final, Self, TypeVar

import numpy as np
from confluent_kafka import OFFSET_BEGINNING, TIMESTAMP_LOG_APPEND_TIME, KafkaError, Message, TopicPartition
from numpy.typing import NDArray

from ol0.config import Settings
from ol0.errors import ContractError
from ol0.feedback.handler import FeedbackHandler
from ol0.kafka.lineage import Lineage
from ol0.kafka.messages import coordinates
from ol0.kafka.ports import SourceRecord
from ol0.observability.logs import configure_logs
from ol0.records import Decision, Outcome, Partition, Record, Tick
from ol0.replay.layout import FIELD_BYTES, FeedbackEntry, decision_key, user_key
from ol0.wire.codec import HEADER
from ol0.wire.payloads import DECISION_ID_BYTES, Payloads
from testbed.comparison import field_of
from testbed.reference_store import Closed, Log, Windows
from testbed.worlds import EXPERTS, KIND_COUNT

Piece = TypeVar("Piece")
Found = TypeVar("Found")

CLOSED: Final = np.dtype(
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

MOST_BUCKETS: Final = 256
"""The first byte of a decision's key chooses, and each bucket is an open file."""
LENGTH: Final = struct.Struct("<cI")
"""Before each thing in a file: what it is, and its bytes."""
DECISION, SAID, OUTCOME = b"d", b"s", b"o"
"""A decision and an outcome as they are on the log; of feedback that counts, key of the decision and entry."""
KEY_BYTES: Final = 16
OUTCOME_ID: Final = slice(HEADER.size + 1, HEADER.size + DECISION_ID_BYTES)
"""Where the id of its decision stands in an outcome, behind a byte of length."""
CHOICE: Final = attrgetter("session_id", "user", "action")
JUDGEMENT: Final = attrgetter("session_id", "user", "action", "window_end_ms", "reward", "parts")


class Spill:
    """Things by decision, in files, so that one bucket of decisions at a time is in memory."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._files = [path.open("wb") for path in paths]

    def close(self) -> None:
        for file in self._files:
            file.close()

    def put(self, key: bytes, kind: bytes, thing: bytes) -> None:
        self._files[key[0] % len(self._files)].write(LENGTH.pack(kind, len(thing)) + thing)

    @staticmethod
    def take(path: Path) -> Iterator[tuple[bytes, bytes]]:
        """Everything in a file, which is gone then."""
        data, at = path.read_bytes(), 0
        path.unlink()
        while at < len(data):
            kind, size = LENGTH.unpack_from(data, at)
            at += LENGTH.size + size
            yield kind, data[at - size : at]


@dataclass
class Read:
    """What was on some partitions.

    Attributes:
        watermarks_ms: how far the time of each source has come.
        decisions: good ones, copies included; likewise ``feedback``.
        outcomes: copies included.
        bad: records that cannot be used, by partition and offset.
    """

    watermarks_ms: list[int] = field(default_factory=list)
    decisions: int = 0
    feedback: int = 0
    outcomes: int = 0
    bad: list[tuple[Partition, int]] = field(default_factory=list)

    def __str__(self) -> str:
        good = f"{self.decisions:,} decisions, {self.feedback:,} feedback, {self.outcomes:,} outcomes"
        return f"{good}, {len(self.bad):,} bad"

    def __add__(self, other: Self) -> "Read":
        return Read(
            self.watermarks_ms + other.watermarks_ms,
            self.decisions + other.decisions,
            self.feedback + other.feedback,
            self.outcomes + other.outcomes,
            self.bad + other.bad,
        )


@dataclass
class Judged:
    """What was found of the decisions of one bucket.

    Attributes:
        rows: of ``CLOSED``, shape (windows,), in the order of closing.
        repeated_outcomes: copies on the outcomes topic.
        problems: what is wrong.
    """

    rows: NDArray[np.void]
    repeated_outcomes: int
    problems: list[str]


@dataclass(frozen=True)
class Pieces:
    """The work on one lineage whose processes have stopped, and how it is cut.

    Attributes:
        settings: of the lineage.
        folder: for what does not fit into memory.
        readings: partitions that are read together; together they are all sources and outcomes.
        buckets: into so many the decisions are divided; at most ``MOST_BUCKETS``.
    """

    settings: Settings
    folder: Path
    readings: Sequence[Sequence[Partition]]
    buckets: int

    def read(self, reading: int) -> Read:
        """Lays down what counts on some of the partitions."""
        with closing(Spill(self._path(reading, bucket) for bucket in range(self.buckets))) as spill:
            return Reader(self.settings, self.readings[reading], spill).read()

    def judge(self, watermark_ms: int, in_store: Collection[bytes], bucket: int) -> Judged:
        """Holds the decisions of a bucket against what everybody has laid down.

        Args:
            watermark_ms: the least of all sources.
            in_store: fields of the payloads that the store has; ``Judged.rows`` has a digest for no others.
            bucket: its number.
        """
        judge = Judge(self.settings, in_store)
        for reading in range(len(self.readings)):
            for kind, thing in Spill.take(self._path(reading, bucket)):
                judge.take(kind, thing)
        return judge.close(watermark_ms)

    def _path(self, reading: int, bucket: int) -> Path:
        return self.folder / f"{reading}-{bucket}.spill"


class Reader:
    """Reads partitions from their beginning to their end, and lays down what counts of them."""

    def __init__(self, settings: Settings, partitions: Sequence[Partition], spill: Spill) -> None:
        self._lineage = Lineage.of(settings.kafka)
        self._handler = FeedbackHandler(settings.streaming, KIND_COUNT, (EXPERTS,), Payloads(self._lineage.codec))
        topics = self._lineage.topics
        self._specs = {it.topic: topics.spec(topics.logical(it.topic)) for it in partitions}
        self._logs = {it: Log(settings.streaming) for it in partitions if it.topic != topics.full("outcomes")}
        self._partitions, self._spill = partitions, spill
        self._read = Read()

    def read(self) -> Read:
        for partition, message in messages_of(self._lineage, self._partitions):
            if partition in self._logs:
                self._take_source(partition, message)
            else:
                self._take_outcome(message.value() or b"")
        self._read.watermarks_ms = [log.watermark_ms for log in self._logs.values()]
        return self._read

    def _take_source(self, partition: Partition, message: Message) -> None:
        value = message.value()
        _, _, offset = coordinates(message)
        try:
            record = self._lineage.codec.decode_from(self._specs[partition.topic], value)
            self._handler.check(record)
        except ContractError:
            self._read.bad.append((partition, offset))
            return
        self._read.decisions += isinstance(record, Decision)
        self._read.feedback += not isinstance(record, Decision | Tick)
        kind, time_ms = message.timestamp()
        source = SourceRecord(offset, time_ms, record, is_stamped=kind == TIMESTAMP_LOG_APPEND_TIME)
        for it in self._logs[partition].read([source]):
            if isinstance(it, Decision):
                self._spill.put(decision_key(it.decision_id), DECISION, value or b"")
            else:
                key, entry = it
                self._spill.put(key, SAID, key + entry.pack())

    def _take_outcome(self, value: bytes) -> None:
        """Looks at its decision's id only: it is read when its decision is there to compare it with."""
        self._read.outcomes += 1
        self._spill.put(decision_key(value[OUTCOME_ID].decode()), OUTCOME, value)


class Judge:
    """Holds some decisions against their outcomes. First ``take`` everything about them, then ``close``."""

    def __init__(self, settings: Settings, in_store: Collection[bytes]) -> None:
        self._codec = Lineage.of(settings.kafka).codec
        self._payloads = Payloads(self._codec)
        self._windows = Windows(settings.streaming)
        self._outcomes: dict[str, Outcome] = {}
        self._in_store = in_store
        self._repeated = 0
        self._problems: list[str] = []

    def take(self, kind: bytes, thing: bytes) -> None:
        if kind == DECISION:
            self._windows.take(self._codec.decode_valid(Decision, thing))
        elif kind == SAID:
            (entry,) = FeedbackEntry.unpack_pile(thing[KEY_BYTES:])
            self._windows.take((thing[:KEY_BYTES], entry))
        else:
            self._take_outcome(self._codec.decode(thing))

    def _take_outcome(self, outcome: Record) -> None:
        assert isinstance(outcome, Outcome)
        first = self._outcomes.setdefault(outcome.decision_id, outcome)
        if first is not outcome:
            self._repeated += 1
            if first != outcome:
                self._problems.append(f"{outcome.decision_id} has two outcomes: {first} and {outcome}")

    def close(self, watermark_ms: int) -> Judged:
        expected, outcomes = self._windows.close(watermark_ms), self._outcomes
        if expected.open:
            self._problems.append(f"{len(expected.open)} windows are open")
        rows = [self._row(it, outcomes.pop(it.decision.decision_id, None)) for it in expected.closed]
        if outcomes:
            self._problems.append(f"outcomes of no decision: {list(outcomes)[:3]}")
        return Judged(np.array(rows, CLOSED), self._repeated, self._problems)

    def _row(self, it: Closed, outcome: Outcome | None) -> tuple[bytes, float, int, int, bytes, bytes]:
        decision, judged = it.decision, it.reward
        if outcome is None:
            self._problems.append(f"{decision.decision_id} has no outcome")
        elif (found := JUDGEMENT(outcome)) != (
            expected := (*CHOICE(decision), it.deadline_ms, judged.value, judged.parts)
        ):
            self._problems.append(f"{decision.decision_id}: {found} is not {expected}")
        lies_in, user = field_of(it), user_key(decision.user)
        digest = b""
        if lies_in in self._in_store:
            digest = blake2b(self._payloads.pack(decision, user), digest_size=16).digest()
        return (
            lies_in,
            np.nan if judged.value is None else judged.value,
            -1 if outcome is None else outcome.sequence,
            judged.used,
            user,
            digest,
        )


def side_by_side(processes: int, function: Callable[[Piece], Found], pieces: Sequence[Piece]) -> Iterator[Found]:
    """What a function makes of each piece, in their order, from so many processes; one is this one.

    More are spawned: no client of Kafka or of the store survives a fork.
    """
    if processes == 1:
        yield from map(function, pieces)
        return
    quiet = partial(configure_logs, "audit", "CRITICAL")
    with ProcessPoolExecutor(processes, get_context("spawn"), quiet) as pool:
        yield from pool.map(function, pieces)


def messages_of(lineage: Lineage, partitions: Sequence[Partition]) -> Iterator[tuple[Partition, Message]]:
    """These partitions from their beginning to their end, each in its order."""
    consumer = lineage.clients.assigned_consumer("audit", reset="earliest")
    of = {(it.topic, it.number): it for it in partitions}
    unread = set(of)
    try:
        consumer.assign([TopicPartition(it.topic, it.number, OFFSET_BEGINNING) for it in partitions])
        while unread:
            for message in consumer.consume(500, 0.1):
                error, (topic, number, _) = message.error(), coordinates(message)
                if error is None:
                    yield of[topic, number], message
                elif error.code() == KafkaError._PARTITION_EOF:
                    unread.discard((topic, number))
    finally:
        consumer.close()
