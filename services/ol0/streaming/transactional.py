"""The loop of the services that read Kafka and write Kafka: exactly once through one transaction per batch."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from threading import Event
from types import MappingProxyType
from typing import Final

import structlog
from confluent_kafka import OFFSET_INVALID, TopicPartition

from ol0.config import StreamingConfig
from ol0.errors import ContractError, SignatureError, StreamError
from ol0.records import Record, Snapshot, Tick
from ol0.streaming.bad_records import BadRecords
from ol0.streaming.batch import Batch, BatchReader
from ol0.streaming.dead_letters import DeadLetter, outgoing
from ol0.streaming.handler import Handler
from ol0.streaming.lineage import Lineage
from ol0.streaming.messages import Outgoing, broker_errors, coordinates, gather, to_message
from ol0.streaming.round import Round
from ol0.streaming.transactor import Transactor, retry_aborted
from ol0.streaming.writer import read_snapshots

BROKER_TIMEOUT_S: Final = 10.0


class TransactionalLoop:
    """Drives one handler. Outputs, offsets, dead letters and the handler's snapshot become visible together.

    Every partition of the sources belongs to this process; a second one of the same service fences it.

    Args:
        service: names the consumer group, the transactional id and the key of the snapshot.
        sources: logical names of the topics to read.
        handler: what the service is.
        lineage: where the topics are and how their records are written.
        streaming: sizes, waits, and whose clock ticks.
        clock: milliseconds since 1970 UTC.
        sampled: sources of which a part is looked at; see ``BatchReader``.
        on_round: told after every round, also an empty one.
    """

    def __init__(
        self,
        service: str,
        sources: Sequence[str],
        handler: Handler,
        *,
        lineage: Lineage,
        streaming: StreamingConfig,
        clock: Callable[[], int],
        sampled: Mapping[str, int] = MappingProxyType({}),
        on_round: Callable[[Round], None] = lambda _: None,
    ) -> None:
        self._service = service
        self._sources = sources
        self._handler = handler
        self._lineage = lineage
        self._streaming = streaming
        self._clock = clock
        self._on_round = on_round
        self._transactor = Transactor(service, lineage.clients)
        self._consumer = lineage.clients.assigned_consumer(service)
        self._reader = BatchReader(service, lineage, sampled)
        self._bad = BadRecords(lineage.topics, streaming.bad_record_share)
        self._tick_ms = int(streaming.tick_interval_s * 1000)
        self._next_tick_ms = 0
        self._committed = b""
        self._log = structlog.get_logger("ol0.loop").bind(service=service)

    def run(self, stop: Event) -> None:
        """Opens, works until ``stop`` is set, finishes the batch at hand and closes.

        Raises:
            Fenced: another process has taken over.
            StreamError: Kafka refuses, a topic is not as declared, or no outcome at all can be used.
        """
        try:
            self.open()
            while not stop.is_set():
                self.step()
        finally:
            self.close()

    def open(self) -> None:
        """Fences the predecessor, takes its state back and goes to where it stopped, in this order.

        Raises:
            StreamError: Kafka does not answer, or the snapshot cannot be read.
        """
        self._transactor.init()
        self._restore()
        start = [place for name in self._sources for place in self._start(name)]
        self._consumer.assign(start)
        self._log.info("open", partitions={f"{p.topic}[{p.partition}]": p.offset for p in start})

    def step(self) -> Round:
        """One round: at most one batch and one tick, in at most one transaction.

        Raises:
            Fenced, StreamError: as ``run``.
        """
        began = time.monotonic()
        self._transactor.poll()
        batch = self._reader.read(gather(self._consumer, self._streaming.batch_size, self._wait_s()))
        done = self._transact(batch, self._due_tick(), began)
        self._on_round(done)
        return done

    def close(self) -> None:
        """Gives the connections back; a transaction that is open times out or is ended by the successor."""
        self._consumer.close()

    def _restore(self) -> None:
        snapshots = read_snapshots(self._service, self._lineage)
        snapshot = snapshots.get(self._service)
        if snapshot is None:
            self._committed = self._handler.snapshot()
            return
        try:
            self._handler.restore(snapshot.body)
        except ContractError as error:
            raise StreamError(f"{self._service}: cannot restore its snapshot: {error}") from error
        self._committed = snapshot.body

    def _start(self, name: str) -> list[TopicPartition]:
        """Where to begin in each partition: the committed offset, or the first that the log has."""
        topic = self._lineage.topics.full(name)
        with broker_errors(f"{self._service}: committed offsets of {topic}"):
            numbers = sorted(self._consumer.list_topics(topic, BROKER_TIMEOUT_S).topics[topic].partitions)
            if not numbers:
                raise StreamError(f"{self._service}: no topic {topic}; `ol0 topics apply` makes it")
            committed = self._consumer.committed([TopicPartition(topic, n) for n in numbers], BROKER_TIMEOUT_S)
        bounds = self._lineage.clients.bounds(topic, numbers, BROKER_TIMEOUT_S)
        offsets = {place.partition: place.offset for place in committed if place.offset != OFFSET_INVALID}
        return [TopicPartition(topic, n, offsets.get(n, bounds[n][0])) for n in numbers]

    def _wait_s(self) -> float:
        """How long to wait for records: a tick that is due soon does not wait for them."""
        if self._streaming.clock != "wall":
            return self._streaming.batch_wait_s
        return min(self._streaming.batch_wait_s, max(self._next_tick_ms - self._clock(), 0) / 1000)

    def _due_tick(self) -> Tick | None:
        now_ms = self._clock()
        if self._streaming.clock != "wall" or now_ms < self._next_tick_ms:
            return None
        self._next_tick_ms = now_ms + self._tick_ms
        return Tick(now_ms)

    def _transact(self, batch: Batch, tick: Tick | None, began: float) -> Round:
        """Handles a batch; after an aborted transaction once more, from the state before it.

        The messages stay at hand, so nothing has to be read again.
        """
        rounds: list[Round] = []
        retry_aborted(
            lambda: rounds.append(self._attempt(batch, tick, began)),
            lambda: self._handler.restore(self._committed),
        )
        return rounds[-1]

    def _attempt(self, batch: Batch, tick: Tick | None, began: float) -> Round:
        letters = list(batch.letters)
        outputs: list[Record] = []
        for message, record in batch.records:
            try:
                outputs.extend(self._handler.handle(record))
            except ContractError as error:
                letters.append(self._reader.letter(message, "handle", error))
        if tick is not None:
            outputs.extend(self._handler.handle(tick))
        if batch.offsets or outputs:
            dead = [outgoing(letter, self._lineage.topics) for letter in letters]
            time_ms = batch.time_ms or self._clock()
            self._commit([*self._encode(outputs), *dead], batch.offsets, time_ms)
        self._warn(letters)
        usable = Counter(coordinates(message)[0] for message, record in batch.records if not isinstance(record, Tick))
        usable.subtract(letter.topic for letter in letters if letter.stage == "handle")
        self._bad.count(usable, letters)
        used = len(batch.records) + len(batch.letters) - len(letters)
        forged = sum(isinstance(letter.error, SignatureError) for letter in letters)
        return Round(used, len(letters), len(outputs), time.monotonic() - began, forged)

    def _warn(self, letters: Sequence[DeadLetter]) -> None:
        """One line a batch, of the first letter, however many somebody sends; all of them are in the dead letters."""
        for letter in letters[:1]:
            self._log.warning("dead letters", count=len(letters), first=letter.place, reason=str(letter.error))

    def _commit(self, messages: Sequence[Outgoing], offsets: Sequence[TopicPartition], time_ms: int) -> None:
        """One transaction; an unchanged snapshot is not written again."""
        body = self._handler.snapshot()
        snapshot = [] if body == self._committed else self._encode([Snapshot(self._service, time_ms, body)])
        self._transactor.commit([*messages, *snapshot], self._consumer, offsets)
        self._committed = body

    def _encode(self, records: Sequence[Record]) -> list[Outgoing]:
        try:
            return [to_message(record, self._lineage.topics, self._lineage.codec) for record in records]
        except ContractError as error:
            raise StreamError(f"{self._service} made a record that no reader would take: {error}") from error
