"""What a transactional loop reads at once, decoded and put into the order of events."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Message

from ol0.errors import ContractError, StreamError
from ol0.kafka.dead_letters.writer import DeadLetter
from ol0.kafka.lineage import Lineage
from ol0.kafka.messages import coordinates
from ol0.kafka.ports import SourceRecord
from ol0.records import Partition, Record, Tick


@dataclass(frozen=True, slots=True)
class PartitionBatch:
    """Records of one partition, those that cannot be used, and the offsets that all of them lie between.

    Attributes:
        records: decoded and checked.
        letters: what cannot be used.
        first_offset: what was expected; the first record may lie behind it.
        next_offset: where the partition continues.
    """

    records: Sequence[SourceRecord]
    letters: Sequence[DeadLetter]
    first_offset: int
    next_offset: int


class PartitionBatchReader:
    """Makes batches out of messages. ``check`` refuses a decoded record by a ContractError."""

    def __init__(self, service: str, lineage: Lineage, check: Callable[[Record], None]) -> None:
        self._service = service
        self._topics = lineage.topics
        self._codec = lineage.codec
        self._check = check

    def read(self, partition: Partition, messages: Sequence[Message], expected: int) -> PartitionBatch:
        """Decodes messages of ``partition``; what lies before the ``expected`` offset has been read before."""
        spec = self._topics.spec(self._topics.logical(partition.topic))
        records: list[SourceRecord] = []
        letters: list[DeadLetter] = []
        next_offset = expected
        for message in messages:
            offset = message.offset()
            assert offset is not None
            if offset < next_offset:
                continue
            next_offset = offset + 1
            stage, value = "decode", message.value()
            try:
                record = self._codec.decode_from(spec, value)
                stage = "check"
                self._check(record)
            except ContractError as error:
                letters.append(DeadLetter.of(message, service=self._service, stage=stage, error=error))
            else:
                kind, time_ms = message.timestamp()
                records.append(SourceRecord(offset, time_ms, record, value, kind == TIMESTAMP_LOG_APPEND_TIME))
        return PartitionBatch(records, letters, expected, next_offset)


@dataclass(frozen=True, slots=True)
class Batch:
    """Records with their messages, what could not be decoded, and the newest time (0: none)."""

    records: Sequence[tuple[Message, Record]]
    letters: Sequence[DeadLetter]
    time_ms: int


class BatchReader:
    """Makes batches out of messages.

    Args:
        service: named in errors.
        lineage: where the topics are and how their records are read.
        sampled: by logical name, how many messages of a source are looked at in a batch: spread over it, the others not
            even decoded. What is bad among them is for those who read all of it, and their ticks are no time of this
            service: it may be far ahead in a source that it passes over.
    """

    def __init__(self, service: str, lineage: Lineage, sampled: Mapping[str, int] = MappingProxyType({})) -> None:
        self._service = service
        self._sampled = {lineage.topics.full(name): count for name, count in sampled.items()}
        self._topics = lineage.topics
        self._codec = lineage.codec

    def read(self, messages: Sequence[Message]) -> Batch:
        """Decodes messages in the order of events.

        Raises:
            StreamError: one cannot be decoded, and its topic has no dead letters.
        """
        records: list[tuple[Message, Record]] = []
        letters: list[DeadLetter] = []
        for message in in_event_order(self._thinned(messages)):
            sampled = message.topic() in self._sampled
            try:
                record = self._decode(message)
            except ContractError as error:
                if not sampled:
                    letters.append(self.letter(message, "decode", error))
            else:
                if record is not None and not (sampled and isinstance(record, Tick)):
                    records.append((message, record))
        times = [message.timestamp()[1] for message in messages]
        return Batch(records, letters, max(times, default=0))

    def letter(self, message: Message, stage: str, error: ContractError) -> DeadLetter:
        """The dead letter of a message.

        Raises:
            StreamError: its topic has none: what it carries must not be passed over.
        """
        topic, partition, offset = coordinates(message)
        if not self._topics.spec(self._topics.logical(topic)).dead_letters:
            raise StreamError(
                f"{self._service}: {topic}[{partition}] at {offset} cannot be used: {error}. The topic has no dead "
                "letters, for nothing in it may be passed over: find out who wrote it"
            ) from error
        return DeadLetter.of(message, service=self._service, stage=stage, error=error)

    def _thinned(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Without those of the sampled sources that are not looked at."""
        if not self._sampled:
            return messages
        kept = [message for message in messages if message.topic() not in self._sampled]
        for topic, count in self._sampled.items():
            whole = [message for message in messages if message.topic() == topic]
            kept += whole[:: -(-len(whole) // count) or 1]
        return kept

    def _decode(self, message: Message) -> Record | None:
        """The record of a message, a tick with its time filled in; None for a deletion in a compacted topic."""
        topic, _, _ = coordinates(message)
        spec = self._topics.spec(self._topics.logical(topic))
        value = message.value()
        if value is None and spec.compacted:
            return None
        record = self._codec.decode_from(spec, value)
        return Tick(message.timestamp()[1]) if record == Tick(None) else record


def in_event_order(messages: Sequence[Message]) -> list[Message]:
    """By time, then topic, partition and offset; never against the order of a partition.

    A message counts as late as the latest before it in its partition, because producers' clocks may run back.
    """
    latest: dict[tuple[str, int], int] = {}
    keyed = []
    for message in messages:
        topic, partition, offset = coordinates(message)
        place = (topic, partition)
        latest[place] = max(latest.get(place, 0), message.timestamp()[1])
        keyed.append(((latest[place], topic, partition, offset), message))
    return [message for _, message in sorted(keyed, key=lambda pair: pair[0])]
