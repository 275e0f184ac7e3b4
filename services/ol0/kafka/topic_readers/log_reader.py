"""Reading several topics from their beginning, as a bystander: no group, no commits, nothing that others notice."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import structlog
from confluent_kafka import OFFSET_BEGINNING, KafkaError, Message, TopicPartition

from ol0.config import Settings
from ol0.errors import ContractError, StreamError
from ol0.kafka.clients import Clients
from ol0.kafka.logs.identities import Identities
from ol0.kafka.messages import broker_errors, coordinates
from ol0.kafka.rights import missing_right
from ol0.records import Partition, Record, Tick
from ol0.wire.codec import Codec
from ol0.wire.topics import Topics

Followed = tuple[str, Record, int]
"""Logical topic, record, and the broker's timestamp in milliseconds."""
READER: Final = "follow"
"""Names the consumer group, of which nothing is kept."""
WAIT_S: Final = 0.25
"""Four rounds a second are soon enough for people, and cost next to nothing."""
BATCH: Final = 500
ANSWER_S: Final = 10.0


class LogReader:
    """Follows topics for as long as it lives, through restarts of the broker. Used by one thread.

    A topic that was recreated under its name is read from its beginning; what was read of it before that was noticed
    comes once more.

    Args:
        settings: says which lineage and where.
        names: logical names of the topics, such as ``outcomes``. Their partitions have to exist.
        since: the offset at which a partition is begun, by full name and number; those that are left out at the first.

    Raises:
        StreamError: the broker does not say where they end.
    """

    def __init__(
        self, settings: Settings, names: Sequence[str], since: Mapping[Partition, int] = MappingProxyType({})
    ) -> None:
        topics = Topics(settings.kafka.topic_prefix, settings.kafka.partitions)
        self._specs = {topics.full(name): topics.spec(name) for name in names}
        self._codec = Codec()
        self._log = structlog.get_logger("ol0.follow")
        self._clients = Clients(settings.kafka, topics)
        self._identities = Identities(self._specs, self._clients)
        places = sorted(
            Partition(full, number) for full, spec in self._specs.items() for number in range(spec.partitions)
        )
        self._next = {place: since.get(place, OFFSET_BEGINNING) for place in places}
        self._begin()
        with broker_errors("ends of topics"):
            self._unread = {place: self._end(TopicPartition(*place)) for place in places}

    def _begin(self) -> None:
        self._consumer = self._clients.assigned_consumer(READER, reset="earliest")
        self._consumer.assign([TopicPartition(*place, offset) for place, offset in self._next.items()])

    @property
    def caught_up(self) -> bool:
        """Whether everything has been read that there was when the following began."""
        return not self._unread

    def poll(self) -> list[Followed]:
        """What came since the last call, each partition in its order; waits ``WAIT_S`` for more unless there is much.

        Ticks and deletions are passed over, and so is a record that cannot be decoded, with a line in the log.
        """
        if recreated := self._identities.changed():
            self._log.warning("topics were recreated; reading them from their beginning", topics=recreated)
            self._next |= {place: OFFSET_BEGINNING for place in self._next if place[0] in recreated}
            self._consumer.close()
            self._begin()
        messages = self._consumer.consume(BATCH, WAIT_S)
        return [followed for message in messages if (followed := self._decode(message)) is not None]

    def to_the_end(self, silence_s: float) -> Iterator[Record]:
        """Everything that there was when the following began.

        Raises:
            StreamError: nothing came for ``silence_s`` seconds, and there is more.
        """
        deadline_s = time.monotonic() + silence_s
        while not self.caught_up:
            if time.monotonic() > deadline_s:
                names = ", ".join(spec.name for spec in self._specs.values())
                raise StreamError(f"{names} cannot be read to the end: nothing came for {silence_s:g} s; is Kafka up?")
            for _, record, _ in self.poll():
                deadline_s = time.monotonic() + silence_s
                yield record

    def close(self) -> None:
        """Gives the connection back."""
        self._consumer.close()

    def _wanted(self, error: KafkaError, message: Message) -> tuple[str, list[str]]:
        if error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
            return "Describe", [self._clients.group(READER)]
        return "Read", [str(message.topic())]

    def _end(self, place: TopicPartition) -> int:
        """The offset after the last record that may be read now."""
        return int(self._consumer.get_watermark_offsets(place, ANSWER_S)[1])

    def _decode(self, message: Message) -> Followed | None:
        if (error := message.error()) is not None:
            if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - librdkafka's own codes begin so
                self._unread.pop(Partition(*coordinates(message)[:2]), None)
            else:
                right = missing_right(error, *self._wanted(error, message))
                self._log.warning("cannot read", topic=message.topic(), reason=f"{error.str()}{right}")
            return None
        topic, number, offset = coordinates(message)
        partition = Partition(topic, number)
        self._next[partition] = offset + 1
        # While others keep writing, the broker never says that this is the end.
        if offset + 1 >= self._unread.get(partition, math.inf):
            del self._unread[partition]
        spec = self._specs[topic]
        if message.value() is None and spec.compacted:
            return None
        try:
            record = self._codec.decode_from(spec, message.value())
        except ContractError as error:
            self._log.warning("skipped", topic=topic, partition=number, offset=offset, reason=str(error))
            return None
        return None if isinstance(record, Tick) else (spec.name, record, message.timestamp()[1])
