"""The loop of the feedback service: Kafka into a sink that keeps the offsets itself."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Final

import structlog
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from ol0.config import StreamingConfig
from ol0.errors import Fenced, Gap, OL0Error
from ol0.kafka.dead_letters.bad_share import BadRecords
from ol0.kafka.dead_letters.writer import DeadLetters
from ol0.kafka.decoding import PartitionBatch, PartitionBatchReader
from ol0.kafka.lineage import Lineage
from ol0.kafka.logs.holdups import HoldupWatch
from ol0.kafka.logs.identities import TopicWatch
from ol0.kafka.logs.questions import Asker
from ol0.kafka.messages import LOST, broker_errors, by_partition, cached_lag, coordinates, is_usable
from ol0.kafka.ports import Sink
from ol0.kafka.ticks import Ticker
from ol0.observability.loop_stats import LoopStats
from ol0.pending import Pending
from ol0.records import Partition, Record, Tick

COMMIT_INTERVAL_S: Final = 5.0
"""Kafka's own offsets only show the lag to people; the sink's are the ones that count."""
SOON_S: Final = 0.002
"""How long a poll may take while the sink has more work: less than what the store takes for a step of it."""
MAX_GAPS: Final = 3
"""Gaps of one partition in a row; one is a restored store, this many is a sink that contradicts itself."""


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """A batch that the sink is taking in, and whether it did."""

    partition: Partition
    batch: PartitionBatch
    taken: Pending[bool]


class ConsumeLoop:
    """Feeds a sink from the partitions that Kafka's group gives to this process.

    The sink says at which offset each partition continues, so a record is in it exactly once whatever happens here.
    It takes in what was polled while the next is polled and decoded; of each partition, that follows only when it has.
    Memory is bounded by librdkafka's fetch queue, the messages of two polls and one batch per partition.

    Args:
        service: names the consumer group.
        member: names this process in the group, the same after a restart, and unlike every other one; None: no name.
        sources: logical names of the topics to read.
        sink: takes the records in.
        lineage: where the topics are and how their records are written.
        streaming: sizes, waits, and whose clock ticks.
        check: refuses a decoded record by a ContractError, which makes it a dead letter.
        on_round: called after every round, also an empty one.
    """

    def __init__(
        self,
        service: str,
        member: str | None,
        sources: Sequence[str],
        sink: Sink,
        *,
        lineage: Lineage,
        streaming: StreamingConfig,
        check: Callable[[Record], None] = lambda _: None,
        on_round: Callable[[LoopStats], None] = lambda _: None,
    ) -> None:
        self._service, self._group = service, lineage.clients.group(service)
        self._sources = [lineage.topics.full(name) for name in sources]
        self._sink = sink
        self._streaming = streaming
        self._reader = PartitionBatchReader(service, lineage, check)
        self._on_round = on_round
        self._member = member
        self._consumer = lineage.clients.group_consumer(service, member)
        asker = Asker(lineage.clients.admin)
        self._topics = TopicWatch(asker)
        self._holdups = HoldupWatch(asker, ticking=streaming.clock == "wall")
        self._dead_letters = DeadLetters(lineage)
        self._ticker = Ticker(lineage, streaming)
        self._bad = BadRecords(lineage.topics, streaming.bad_record_share)
        self._next: dict[Partition, int] = {}
        self._held: dict[Partition, PartitionBatch] = {}
        self._under_way: list[_UnderWay] = []
        self._gaps: dict[Partition, int] = {}
        self._lost: set[Partition] = set()
        self._wait_s = streaming.batch_wait_s
        self._commit_at = time.monotonic() + COMMIT_INTERVAL_S
        self._log = structlog.get_logger("ol0.consume").bind(service=service)

    @property
    def owned(self) -> frozenset[Partition]:
        """The partitions that this process has at the moment."""
        return frozenset(self._next)

    def run(self, stop: Event) -> None:
        """Opens, works until ``stop`` is set, finishes the batch at hand and closes.

        Raises:
            Fenced: another process owns one of the partitions, or has the name of this member.
            StoreError: the sink refuses.
            StreamError: Kafka refuses, a dead letter cannot be written, or no decision at all can be used.
        """
        try:
            self.open()
            while not stop.is_set():
                self.step()
            self._settle()
            self._sink.finish()
        finally:
            self.close()

    def open(self) -> None:
        """Joins the group; partitions come with the first rounds."""
        self._consumer.subscribe(
            self._sources, on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
        )

    def step(self) -> LoopStats:
        """One round: what waits, what comes, the ticks that are due, and the sink's own work.

        Raises:
            Fenced, StoreError, StreamError: as ``run``.
        """
        began = time.monotonic()
        for partition, batch in list(self._held.items()):
            self._deliver(partition, batch)
        # One call, for librdkafka takes out of it what a rebalance in the middle has made stale.
        polled = self._consumer.consume(self._streaming.batch_size, self._wait_s)
        messages = [message for message in polled if message.error() is None or self._is_usable(message)]
        letters = self._take(messages)
        self._find_again()
        self._ticker.tick(partition for partition in self._next if partition not in self._held)
        batch_wait_s = self._streaming.batch_wait_s
        self._wait_s = min(SOON_S, batch_wait_s) if self._sink.idle() else batch_wait_s
        self._commit_lag()
        self._topics.look()
        self._holdups.look({it: offset for it, offset in self._next.items() if it not in self._held})
        seconds, lag = time.monotonic() - began, cached_lag(self._consumer, self._next)
        done = LoopStats(len(messages) - letters, letters, 0, seconds, lag=lag)
        self._on_round(done)
        return done

    def close(self) -> None:
        """Releases the partitions and leaves the connection; the group keeps them for this member's return.

        Raises:
            Fenced, StoreError: the last batch was not taken in; the next reader of its partition begins with it.
        """
        try:
            self._settle()
        finally:
            self._commit_at = 0
            self._commit_lag()
            self._consumer.close()
            self._ticker.close()

    def _take(self, messages: Sequence[Message]) -> int:
        """Brings messages into the sink, the bad ones into dead letters first; returns how many were bad."""
        batches: dict[Partition, PartitionBatch] = {}
        for (topic, number), group in by_partition(messages).items():
            partition = Partition(topic, number)
            # What was fetched before the partition was revoked or paused comes again.
            if partition in self._next and partition not in self._held:
                batches[partition] = self._reader.read(partition, group, self._next[partition])
        letters = [letter for batch in batches.values() for letter in batch.letters]
        if letters:
            self._dead_letters.write(letters)
        self._settle()  # also where nothing came
        for partition, batch in batches.items():
            self._deliver(partition, batch)
        usable = Counter[str]()
        for partition, batch in batches.items():
            usable[partition.topic] += sum(type(source.record) is not Tick for source in batch.records)
        self._bad.count(usable, letters)
        return len(letters)

    def _is_usable(self, message: Message) -> bool:
        error = message.error()
        if error is not None and error.code() in LOST:
            topic, number, _ = coordinates(message)
            self._lost.add(Partition(topic, number))
            return False
        try:
            return is_usable(message, self._group)
        except Fenced as error:
            raise Fenced(
                f"another {self._service} process has the name {self._member!r} too and took this one's place: give "
                f"each a --member of its own, or none ({error})"
            ) from error

    def _find_again(self) -> None:
        """Continues in partitions whose logs no longer have what comes next; what was polled before is in by then."""
        if not self._lost:
            return
        self._settle()
        for partition in self._lost & self._next.keys():
            log, before = self._topics.again(partition), self._next[partition]
            self._held.pop(partition, None)
            self._next[partition] = self._sink.skip(partition, log)
            self._log.error(
                "the log no longer has what comes next: it expired unread, or the log was cut",
                partition=str(partition),
                missing=before,
                first=log.first_offset,
                end=log.end,
                goes_on=self._next[partition],
            )
            self._begin_at(partition, self._next[partition])
        self._lost.clear()

    def _deliver(self, partition: Partition, batch: PartitionBatch) -> None:
        """Hands a batch to the sink, which has taken in those of the poll before."""
        # Where the one before was of the same partition and was refused, this one lies behind a hole: it comes again.
        if self._next.get(partition) == batch.first_offset:
            self._next[partition] = batch.next_offset
            taken = self._sink.apply(partition, batch.records, batch.next_offset)
            self._under_way.append(_UnderWay(partition, batch, taken))

    def _settle(self) -> None:
        """Waits for the batches that are under way, and takes in their results."""
        while self._under_way:
            self._finish(self._under_way.pop(0))

    def _finish(self, done: _UnderWay) -> None:
        partition, batch = done.partition, done.batch
        # Elsewhere: the partition was revoked meanwhile, and may even be back. Its owner continues where the sink is.
        ours = self._next.get(partition) == batch.next_offset
        try:
            taken = done.taken.result()
        except Gap as gap:
            if ours:
                self._seek_back(partition, gap)
            return
        if not ours:
            return
        if not taken:
            self._hold(partition, batch)
            return
        self._gaps.pop(partition, None)
        self._heard(partition)
        if self._held.pop(partition, None) is not None:
            self._go_on(partition)

    def _heard(self, partition: Partition) -> None:
        self._ticker.heard(partition)
        self._holdups.heard(partition)

    def _hold(self, partition: Partition, batch: PartitionBatch) -> None:
        """Keeps a batch that found the sink full for the next round; what follows it stays in Kafka."""
        self._next[partition] = batch.first_offset
        if partition not in self._held:
            self._held[partition] = batch
            with broker_errors(f"pause of {partition}"):
                self._consumer.pause([TopicPartition(partition.topic, partition.number)])
            self._log.info("full, waiting", partition=str(partition), offset=batch.next_offset)

    def _seek_back(self, partition: Partition, gap: Gap) -> None:
        """The sink is at another offset, after a restore for example: claim again and read from there."""
        self._gaps[partition] = self._gaps.get(partition, 0) + 1
        if self._gaps[partition] >= MAX_GAPS:
            raise gap
        self._held.pop(partition, None)
        self._next[partition] = self._sink.claim(partition, self._topics.logs([partition])[partition])
        self._log.warning("gap, going back", partition=str(partition), offset=self._next[partition], reason=str(gap))
        self._go_on(partition)

    def _go_on(self, partition: Partition) -> None:
        """Reads a partition from the sink's offset, whatever librdkafka has fetched of it meanwhile."""
        place = TopicPartition(partition.topic, partition.number, self._next[partition])
        with broker_errors(f"seek in {partition} to {place.offset}"):
            self._consumer.resume([place])
            self._consumer.seek(place)

    def _begin_at(self, partition: Partition, offset: int) -> None:
        """Reads a partition that librdkafka has given up: it can no longer seek in it."""
        place = TopicPartition(partition.topic, partition.number, offset)
        with broker_errors(f"reading {partition} from {offset}"):
            self._consumer.incremental_unassign([place])
            self._consumer.incremental_assign([place])
            self._consumer.resume([place])

    def _assigned(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        self._let_finish()
        owned = [Partition(place.topic, place.partition) for place in places]
        logs = self._topics.logs(owned)
        for partition, place in zip(owned, places, strict=True):
            place.offset = self._next[partition] = self._sink.claim(partition, logs[partition])
            self._heard(partition)
        consumer.incremental_assign(places)
        consumer.resume(places)  # one that was full when it left may come back still paused
        self._log.info("assigned", partitions={f"{p.topic}[{p.partition}]": p.offset for p in places})

    def _revoked(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        self._let_finish()
        consumer.incremental_unassign(places)
        for place in places:
            partition = Partition(place.topic, place.partition)
            self._topics.forget(partition)
            for table in (self._next, self._held, self._gaps):
                table.pop(partition, None)
            try:
                self._sink.release(partition)
            except OL0Error as error:
                # The next owner claims it with a newer epoch; nothing depends on this release.
                self._log.warning("not released", partition=str(partition), reason=str(error))

    def _let_finish(self) -> None:
        """Partitions change hands between two batches; the results of the last ones are for ``_settle``."""
        for one in self._under_way:
            one.taken.wait()

    def _commit_lag(self) -> None:
        if time.monotonic() < self._commit_at or not self._next:
            return
        self._commit_at = time.monotonic() + COMMIT_INTERVAL_S
        places = [TopicPartition(p.topic, p.number, offset) for p, offset in self._next.items()]
        try:
            self._consumer.commit(offsets=places, asynchronous=True)
        except KafkaException as exception:
            self._log.warning("lag not reported", reason=str(exception))
