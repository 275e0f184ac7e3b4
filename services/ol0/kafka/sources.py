"""Where a transactional loop reads: every partition of its topics, and what to do where a log is not as it was left."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import structlog
from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, Message, TopicPartition

from ol0.errors import StreamError
from ol0.kafka.lineage import Lineage
from ol0.kafka.logs.holdups import StallWatch
from ol0.kafka.logs.questions import AskedTopics, Asker, Described, Repeated, describe
from ol0.kafka.messages import GATHER_S, LOST, broker_errors, coordinates, is_usable
from ol0.kafka.snapshots import TopicPlace, next_offsets
from ol0.records import Partition

BROKER_TIMEOUT_S: Final = 10.0
LOOK_S: Final = 5.0
"""How often to ask for new partitions and recreated topics: a question costs the broker next to nothing."""


class Sources:
    """Reads all partitions of some topics, and knows where it is in each.

    A record that no longer exists does not stop it for good: where the log begins behind the position, it continues at
    the beginning; where it ends before it, at the end; a topic that was recreated and a partition that was added are
    read from their beginning. Each of these is a line in the log, and ``missed`` counts what can be counted.
    """

    def __init__(self, service: str, names: Sequence[str], lineage: Lineage) -> None:
        self._service = service
        self._clients = lineage.clients
        self._topics = [lineage.topics.full(name) for name in names]
        self.consumer: Consumer = lineage.clients.assigned_consumer(service)
        self._asker = Asker(lineage.clients.admin)
        self._ids: dict[str, str] = {}
        self._retired: set[str] = set()  # ids from before a topic was recreated: a broker that lags may report them
        self._next: dict[Partition, int] = {}
        self._ended: set[Partition] = set()
        self._stalls = StallWatch(self._asker)
        self._questions = Repeated[AskedTopics](LOOK_S)
        self._log = structlog.get_logger("ol0.sources").bind(service=service)
        self.missed = 0

    @property
    def caught_up(self) -> bool:
        """Whether everything that there is has been read."""
        return bool(self._next) and self._ended >= self._next.keys()

    @property
    def next_offsets(self) -> Mapping[Partition, int]:
        """Of the record that comes next in each partition."""
        return self._next

    def places(self) -> dict[str, TopicPlace]:
        """Where each topic continues, by full name."""
        return {
            topic: TopicPlace(topic_id, {n: offset for (name, n), offset in self._next.items() if name == topic})
            for topic, topic_id in self._ids.items()
        }

    def open(self, places: Mapping[str, TopicPlace] | None, since_ms: int | None) -> None:
        """Goes to where a snapshot was.

        Args:
            places: what the snapshot says; None: it says nothing, or there is none. Then the group's offsets count.
            since_ms: of a snapshot without places: where the group's offset is forgotten too, a partition begins with
                the first record of this time. Never at the beginning in silence, or old orders are obeyed again.

        Raises:
            StreamError: the broker does not answer, or a topic is missing.
        """
        described = self._describe()
        known = self._remembered(described, since_ms) if places is None else places
        for topic, told in described.items():
            self._enter(topic, told, known.get(topic))
        self._assign()
        self._log.info("open", partitions={f"{topic}[{n}]": offset for (topic, n), offset in self._next.items()})

    def return_to(self, places: Mapping[str, TopicPlace]) -> None:
        """Goes back to where a transaction began that was aborted."""
        self._ids = {topic: place.topic_id for topic, place in places.items()}
        self._next = next_offsets(places)
        self._assign()

    def read(self, limit: int, wait_s: float) -> list[Message]:
        """Up to ``limit`` messages: waits at most ``wait_s`` for the first, then takes what is there.

        Raises:
            Fenced, StreamError: as ``messages.is_usable``, but for what was deleted unread.
        """
        self._look()
        messages = self.consumer.consume(1, wait_s)
        if messages and limit > 1:
            messages += self.consumer.consume(limit - 1, GATHER_S)
        good = [message for message in messages if message.error() is None]
        for message in good:
            topic, number, offset = coordinates(message)
            partition = Partition(topic, number)
            self._next[partition] = offset + 1
            self._ended.discard(partition)
            self._stalls.heard(partition)
        for message in messages:
            if (error := message.error()) is not None:
                self._note(error, message)
        return good

    def close(self) -> None:
        """Gives the connection back."""
        self.consumer.close()

    def _note(self, error: KafkaError, message: Message) -> None:
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - librdkafka's own codes begin so
            # Behind the last record there may be a commit marker, which takes an offset and is no record.
            topic, number, offset = coordinates(message)
            partition = Partition(topic, number)
            self._ended.add(partition)
            self._stalls.heard(partition)
            self._next[partition] = max(offset, self._next.get(partition, 0))
        elif error.code() in LOST:
            self._compare(self._describe())
            number = message.partition() or 0
            self._settle(str(message.topic()), [number], [number])
            self._assign()
        else:
            is_usable(message, self._clients.group(self._service))

    def _look(self) -> None:
        """Asks now and then what partitions there are, and whether one is stuck; waits for no answer."""
        if stalled := self._stalls.stalled(self._next):
            self._log.warning(
                "the consumer gives nothing of partitions that have more to read; continuing with a new one",
                partitions={str(partition): self._next[partition] for partition in stalled},
            )
            self.consumer.close()
            self.consumer = self._clients.assigned_consumer(self._service)
            self._assign()
        asked = self._questions.answered(lambda: AskedTopics(self._asker.admin, self._topics, BROKER_TIMEOUT_S))
        if asked is None:
            return
        try:
            described = asked.topics()
        except StreamError:
            return  # an outage: reading says so, and continues afterwards
        if self._compare(described):
            self._assign()

    def _compare(self, described: Mapping[str, Described]) -> bool:
        """Takes in topics that were recreated and partitions that were added; whether there are any."""
        changed = False
        for topic, told in described.items():
            known = {n for name, n in self._next if name == topic}
            if told.topic_id in self._retired:
                continue
            if told.topic_id != self._ids.get(topic) or not known >= set(told.partitions):
                self._enter(topic, told, self.places().get(topic))
                changed = True
        return changed

    def _enter(self, topic: str, told: Described, place: TopicPlace | None) -> None:
        """Continues in a topic as it is now, at ``place`` where that is a place in this very topic."""
        same = place is not None and place.topic_id in ("", told.topic_id)
        if place is not None and not same:
            self._retired.add(place.topic_id)
            self._log.warning(
                "a topic was recreated; reading it from its beginning. Unread records of the old topic are lost",
                topic=topic,
                was=place.topic_id,
                now=told.topic_id,
            )
        offsets = place.offsets if place is not None and same else {}
        if same and (new := sorted(set(told.partitions) - offsets.keys())):
            self._log.warning("partitions were added; reading them from their beginning", topic=topic, partitions=new)
        self._ids[topic] = told.topic_id
        self._next = {key: offset for key, offset in self._next.items() if key[0] != topic}
        self._next |= {Partition(topic, n): offsets.get(n, 0) for n in told.partitions}
        self._settle(topic, told.partitions, offsets.keys())

    def _settle(self, topic: str, numbers: Sequence[int], expected: Collection[int]) -> None:
        """Moves positions that the log does not have, or has no more, to where it continues.

        Args:
            topic: full name.
            numbers: its partitions.
            expected: those of which a place was known, so that something is missing.
        """
        for number, (first, end) in self._clients.bounds(topic, numbers, BROKER_TIMEOUT_S).items():
            partition = Partition(topic, number)
            was = self._next[partition]
            self._next[partition] = now = min(max(was, first), end)
            where = {"topic": topic, "partition": number, "was": was, "now": now}
            if was < first and number in expected:
                self.missed += first - was
                self._log.error(
                    "records were deleted before they were read; continuing where the log begins. They are lost to "
                    "this service: it was away for longer than the topic's retention (`ol0 topics diff`), or behind",
                    **where,
                    missed=first - was,
                )
            elif was > end:
                self._log.error(
                    "the log ends before the place that was read: a broker has lost its tail. Continuing at its end",
                    **where,
                )

    def _remembered(self, described: Mapping[str, Described], since_ms: int | None) -> dict[str, TopicPlace]:
        """Where the group was, by Kafka, which forgets it of a partition that is quiet for a week."""
        places = {}
        for topic, told in described.items():
            group = self._clients.group(self._service)
            with broker_errors(f"{self._service}: committed offsets of {topic}", "Read", group):
                asked = [TopicPartition(topic, n) for n in told.partitions]
                committed = self.consumer.committed(asked, BROKER_TIMEOUT_S)
            offsets = {place.partition: place.offset for place in committed if place.offset != OFFSET_INVALID}
            forgotten = sorted(set(told.partitions) - offsets.keys())
            if forgotten and since_ms is not None:
                offsets |= self._since(topic, forgotten, since_ms)
            if offsets:
                places[topic] = TopicPlace("", offsets)
        return places

    def _since(self, topic: str, numbers: Sequence[int], since_ms: int) -> dict[int, int]:
        """The first offset of this time, by partition; its end where there is none."""
        with broker_errors(f"{self._service}: offsets of {topic}"):
            found = self.consumer.offsets_for_times(
                [TopicPartition(topic, n, since_ms) for n in numbers], BROKER_TIMEOUT_S
            )
        ends = self._clients.bounds(topic, numbers, BROKER_TIMEOUT_S)
        offsets = {it.partition: it.offset if it.offset >= 0 else ends[it.partition][1] for it in found}
        self._log.warning(
            "Kafka has forgotten where this service was, and its snapshot is of a version that did not keep it; "
            "continuing with the first record of the snapshot's time",
            topic=topic,
            offsets=offsets,
            since_ms=since_ms,
        )
        return offsets

    def _describe(self) -> dict[str, Described]:
        described = describe(self._asker.admin, self._topics, BROKER_TIMEOUT_S)
        missing = [topic for topic in self._topics if topic not in described]
        if missing:
            raise StreamError(f"{self._service}: no topic {missing[0]}; `ol0 topics apply` makes it")
        return described

    def _assign(self) -> None:
        self._ended.clear()
        self.consumer.assign([TopicPartition(topic, n, offset) for (topic, n), offset in sorted(self._next.items())])
