"""Looking through topics for what mentions a text, within a span of append times, as a bystander."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from confluent_kafka import OFFSET_END, KafkaError, Message, TopicPartition

from ol0.errors import ContractError
from ol0.kafka.lineage import Lineage
from ol0.kafka.messages import broker_errors, coordinates, is_usable
from ol0.records import Partition, Record

READER: Final = "trace"
"""Names the consumer group, of which nothing is kept."""
ANSWER_S: Final = 10.0
WAIT_S: Final = 0.25
BATCH: Final = 500


@dataclass(frozen=True, slots=True)
class Span:
    """Append times from ``from_ms`` on and before ``to_ms``, by the broker's clock."""

    from_ms: int
    to_ms: int


@dataclass(slots=True)
class Searched:
    """What was looked through of one topic: records, and the append times of the first and the last of them in ms."""

    records: int = 0
    first_ms: int | None = None
    last_ms: int | None = None
    whole: bool = False

    def note(self, time_ms: int) -> None:
        """One more record was looked at."""
        self.records += 1
        self.first_ms = time_ms if self.first_ms is None else min(self.first_ms, time_ms)
        self.last_ms = time_ms if self.last_ms is None else max(self.last_ms, time_ms)


class SpanReader:
    """Reads a span of topics once: no group, no commits. Decodes only records whose bytes hold the text.

    Args:
        lineage: where the topics are.
        names: logical names of the topics.
        span: what is read of them.
        text: bytes that a record has to hold; schemas and JSON write ids as they are.

    Attributes:
        searched: what was looked through so far, by logical name.

    Raises:
        StreamError: the broker does not say where the span begins and ends.
    """

    def __init__(self, lineage: Lineage, names: Sequence[str], span: Span, text: bytes) -> None:
        self._specs = {lineage.topics.full(name): lineage.topics.spec(name) for name in names}
        self._codec, self._span, self._text = lineage.codec, span, text
        self._group = lineage.clients.group(READER)
        self._consumer = lineage.clients.assigned_consumer(READER, reset="earliest")
        self.searched: Mapping[str, Searched] = {name: Searched() for name in names}
        places = [Partition(topic, n) for topic, spec in self._specs.items() for n in range(spec.partitions)]
        with broker_errors("where a span of time begins"):
            self._left = self._ends(places)
            self._consumer.assign(self._starts(list(self._left)))
        self._end_topics(self._specs)

    def records(self, deadline_s: float) -> Iterator[Record]:
        """What mentions the text, each partition in its order; ends with the span or at ``time.monotonic`` deadline.

        Raises:
            StreamError: a topic is missing, or reading it is not allowed.
        """
        with closing(self._consumer):
            while self._left and time.monotonic() < deadline_s:
                for message in self._consumer.consume(BATCH, WAIT_S):
                    if (record := self._take(message)) is not None:
                        yield record

    def _ends(self, places: Sequence[Partition]) -> dict[Partition, int]:
        """Offsets at which reading ends, of the partitions that hold anything of the span."""
        later = {Partition(it.topic, it.partition): it.offset for it in self._at(self._span.to_ms, places)}
        bounds = {it: self._consumer.get_watermark_offsets(TopicPartition(*it), ANSWER_S) for it in places}
        ends = {it: later[it] if later[it] >= 0 else bounds[it][1] for it in places}
        return {it: end for it, end in ends.items() if bounds[it][0] < end}

    def _starts(self, places: Sequence[Partition]) -> list[TopicPartition]:
        starts = self._at(self._span.from_ms, places) if places else []
        for it in starts:
            if it.offset < 0:  # nothing is so new
                it.offset = OFFSET_END
        return starts

    def _at(self, time_ms: int, places: Sequence[Partition]) -> list[TopicPartition]:
        asked = [TopicPartition(it.topic, it.number, max(0, time_ms)) for it in places]
        found: list[TopicPartition] = self._consumer.offsets_for_times(asked, ANSWER_S)
        return found

    def _take(self, message: Message) -> Record | None:
        error = message.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - librdkafka's own code
            is_usable(message, self._group)
            return None
        topic, number, offset = coordinates(message)
        partition = Partition(topic, number)
        end = self._left.get(partition)
        if end is None or error is not None or offset >= end - 1:
            self._end(partition)
        is_in_span = error is None and end is not None and offset < end
        return self._looked_at(topic, message) if is_in_span else None

    def _looked_at(self, topic: str, message: Message) -> Record | None:
        spec, value = self._specs[topic], message.value() or b""
        self.searched[spec.name].note(message.timestamp()[1])
        if self._text not in value:
            return None
        try:
            return self._codec.decode_from(spec, value)
        except ContractError:
            return None  # a service has made it a dead letter

    def _end(self, partition: Partition) -> None:
        self._left.pop(partition, None)
        self._end_topics([partition.topic])

    def _end_topics(self, topics: Sequence[str] | Mapping[str, object]) -> None:
        for topic in topics:
            if all(it.topic != topic for it in self._left):
                self.searched[self._specs[topic].name].whole = True
