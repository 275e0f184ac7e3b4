"""What a consume loop polls of one partition at once, decoded and checked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Message

from ol0.errors import ContractError
from ol0.kafka.dead_letters.writer import DeadLetter
from ol0.kafka.lineage import Lineage
from ol0.kafka.ports import Partition, SourceRecord
from ol0.records import Record


@dataclass(frozen=True, slots=True)
class Portion:
    """Records of one partition, those that cannot be used, and the offsets that all of them lie between.

    Attributes:
        records: decoded and checked.
        letters: what cannot be used.
        first_offset: what was expected; the first record may lie behind it.
        next_offset: where the partition goes on.
    """

    records: Sequence[SourceRecord]
    letters: Sequence[DeadLetter]
    first_offset: int
    next_offset: int


class PortionReader:
    """Makes portions out of messages. ``check`` refuses a decoded record by a ContractError."""

    def __init__(self, service: str, lineage: Lineage, check: Callable[[Record], None]) -> None:
        self._service = service
        self._topics = lineage.topics
        self._codec = lineage.codec
        self._check = check

    def read(self, partition: Partition, messages: Sequence[Message], expected: int) -> Portion:
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
        return Portion(records, letters, expected, next_offset)
