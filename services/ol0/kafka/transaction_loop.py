"""The loop of the services that read Kafka and write Kafka: exactly once, by transactions."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from threading import Event
from types import MappingProxyType
from typing import Final

import structlog

from ol0.config import StreamingConfig
from ol0.errors import ContractError, SignatureError, StreamError
from ol0.kafka.broker_time import BrokerTime
from ol0.kafka.dead_letters.bad_share import BadRecords
from ol0.kafka.dead_letters.writer import DeadLetter
from ol0.kafka.decoding import Batch, BatchReader
from ol0.kafka.lineage import Lineage
from ol0.kafka.messages import Outgoing, cached_lag, coordinates, to_message
from ol0.kafka.ports import Handler
from ol0.kafka.snapshots import Committed, Positions, head_of, moved_offsets, parts_of, surplus
from ol0.kafka.sources import Sources
from ol0.kafka.transactional_writer import STATE, read_stored
from ol0.kafka.transactions import BACK_OFF_S, Aborted, TooLarge, Transactor
from ol0.kafka.uncommitted import Uncommitted
from ol0.observability.loop_stats import LoopStats
from ol0.records import Record, Snapshot, Tick
from ol0.wire.validation import EARLIEST_MS, LATEST_MS

IDLE_SHARE: Final = 9
"""A snapshot that took a second is followed by nine without one: it costs a tenth of the time at most."""
DEAD: Final = ".dlq"
"""How topics of dead letters end."""
FREE_S: Final = 0.02
"""A snapshot that takes less goes with whatever there is to write."""


class TransactionalLoop:
    """Drives one handler. Outputs, positions, dead letters and the handler's snapshot become visible together.

    A transaction is written as soon as there is something to write, else every ``streaming.commit_interval_s``; where
    snapshots are large, seldom enough that they cost a tenth of the time. A restart goes back to the last one and
    handles again what came after it: nothing came of that yet, so nothing is there twice.

    Every partition of the sources belongs to this process; a second one of the same service fences it.

    Args:
        service: names the consumer group, the transactional id and the key of the snapshot.
        sources: logical names of the topics to read.
        handler: what the service is.
        lineage: where the topics are and how their records are written.
        streaming: sizes, waits, and who makes ticks.
        sampled: sources of which a part is looked at; see ``BatchReader``.
        on_round: called after every round, also an empty one.
    """

    def __init__(
        self,
        service: str,
        sources: Sequence[str],
        handler: Handler,
        *,
        lineage: Lineage,
        streaming: StreamingConfig,
        sampled: Mapping[str, int] = MappingProxyType({}),
        on_round: Callable[[LoopStats], None] = lambda _: None,
    ) -> None:
        self._service = service
        self._handler = handler
        self._lineage = lineage
        self._state_topic = lineage.topics.full(STATE)
        self._streaming = streaming
        self._on_round = on_round
        self._time = BrokerTime()
        self._transactor = Transactor(service, lineage.clients, self._time.hear)
        self._sources = Sources(service, sources, lineage)
        self._reader = BatchReader(service, lineage, sampled)
        self._pending = Uncommitted(service, lineage)
        self._bad = BadRecords(lineage.topics, streaming.bad_record_share)
        self._saved = Committed(b"", Positions({}, None), 0)
        self._saved_at = -float("inf")
        self._cost_s = 0.0
        self._aborts = 0
        self._next_tick_ms = 0
        self._newest_ms = 0
        self._log = structlog.get_logger("ol0.loop").bind(service=service)

    def run(self, stop: Event) -> None:
        """Opens, works until ``stop`` is set, writes what has come together and closes.

        Raises:
            Fenced: another process has taken over.
            StreamError: Kafka refuses, a topic is not as declared, or no outcome at all can be used.
        """
        try:
            self.open()
            while not stop.is_set():
                self.step()
            if self._moved:
                self._commit()
        finally:
            self.close()

    def open(self) -> None:
        """Fences the predecessor, takes its state back and goes to where it stopped, in this order.

        Raises:
            StreamError: Kafka does not answer, or the snapshot cannot be read.
        """
        self._transactor.init()
        stored = read_stored(self._service, self._lineage)
        if stored is None:
            self._sources.open(None, None)
            self._saved = Committed(self._handler.snapshot(), self._where(), 0)
            return
        try:
            self._handler.restore(stored.body)
        except ContractError as error:
            raise StreamError(f"{self._service}: cannot restore its snapshot: {error}") from error
        self._newest_ms = stored.time_ms
        if stored.where is None:
            self._sources.open(None, stored.time_ms)
        else:
            self._sources.open(stored.where.topics, None)
            self._note_time(stored.where.append_ms)
        # Of another version's one record no part is there yet: its body is as good as another one.
        self._saved = Committed(stored.body, self._where(), stored.parts)

    def step(self) -> LoopStats:
        """One round: at most one batch, one tick and one transaction.

        Raises:
            Fenced, StreamError: as ``run``.
        """
        began, missed, dropped = time.monotonic(), self._sources.missed, self._pending.dropped
        self._transactor.poll()
        messages = self._sources.read(self._streaming.batch_size, self._streaming.batch_wait_s)
        for message in messages:
            self._time.hear(message)
        batch = self._reader.read(messages)
        self._newest_ms = max(self._newest_ms, batch.time_ms)
        outputs, letters = self._handle(batch)
        self._pending.add(outputs, letters)
        if self._is_due():
            self._commit()
        self._watch(batch, letters)
        done = LoopStats(
            records=len(batch.records) + len(batch.letters) - len(letters),
            dead_letters=len(letters),
            outputs=len(outputs),
            seconds=time.monotonic() - began,
            forged=sum(isinstance(letter.error, SignatureError) for letter in letters),
            missed=self._sources.missed - missed,
            dropped=self._pending.dropped - dropped,
            lag=cached_lag(self._sources.consumer, self._sources.next_offsets),
            written=outputs,
        )
        self._on_round(done)
        return done

    def close(self) -> None:
        """Gives the connections back; a transaction that is open times out or is ended by the successor."""
        self._sources.close()

    def _handle(self, batch: Batch) -> tuple[list[Record], list[DeadLetter]]:
        letters = list(batch.letters)
        outputs: list[Record] = []
        for message, record in batch.records:
            if isinstance(record, Tick) and self._streaming.clock == "wall":
                continue  # regardless of its writer: the time is the brokers'
            try:
                outputs.extend(self._handler.handle(record))
            except ContractError as error:
                letters.append(self._reader.letter(message, "handle", error))
        if (tick := self._due_tick()) is not None:
            outputs.extend(self._handler.handle(tick))
        self._warn(letters)
        return outputs, letters

    def _due_tick(self) -> Tick | None:
        """The time of the brokers, once everything is read that there is.

        Earlier it would close sessions whose outcomes still wait to be read. Before any broker's time is known, from a
        record, a delivery or the snapshot, there is no tick.
        """
        now_ms = self._time.now_ms
        if self._streaming.clock != "wall" or now_ms is None or now_ms < self._next_tick_ms:
            return None
        if not self._sources.caught_up:
            return None
        self._next_tick_ms = now_ms + int(self._streaming.tick_interval_s * 1000)
        return Tick(now_ms)

    @property
    def _moved(self) -> bool:
        return bool(self._pending.messages) or self._sources.places() != self._saved.where.topics

    def _is_due(self) -> bool:
        """Whether it is time for a transaction."""
        passed_s = time.monotonic() - self._saved_at
        if self._pending.flooded:
            return True
        if self._cost_s > FREE_S and passed_s < IDLE_SHARE * self._cost_s:
            return False
        return bool(self._pending.messages) or (passed_s >= self._streaming.commit_interval_s and self._moved)

    def _commit(self) -> None:
        """One transaction; parts of a snapshot that have not changed are not written again."""
        began = time.monotonic()
        saved = Committed.of(self._handler.snapshot(), self._where())
        state = [to_message(one, self._lineage.topics, self._lineage.codec) for one in self._records(saved)]
        gone = [Outgoing(self._state_topic, key.encode(), None) for key in surplus(self._service, self._saved, saved)]
        self._cost_s = time.monotonic() - began
        messages = [*self._pending.messages, *gone, *state]
        try:
            self._transactor.commit(messages, self._sources.consumer, moved_offsets(self._saved, saved))
        except Aborted as aborted:
            self._go_back(aborted)
            return
        self._saved, self._saved_at, self._aborts = saved, time.monotonic(), 0
        self._pending.clear()

    def _records(self, saved: Committed) -> list[Snapshot]:
        """The snapshot in records, the head last; what is on the topic already is not written again."""
        changed = saved.body != self._saved.body or saved.parts != self._saved.parts
        # Nothing may have been read but markers of transactions, and what producers say of the time may be anything.
        time_ms = min(max(self._newest_ms, EARLIEST_MS), LATEST_MS)
        parts = parts_of(self._service, time_ms, saved.body) if changed else []
        return [*parts, head_of(self._service, time_ms, saved.body, saved.where)]

    def _go_back(self, aborted: Aborted) -> None:
        """To the state of the last transaction, and to the records that came after it.

        Raises:
            Aborted: this was not the first time in a row.
            StreamError: a topic that nothing may be left out of takes less than it was declared to.
        """
        pause_s = self._after_too_large(aborted) if isinstance(aborted, TooLarge) else self._after_aborted(aborted)
        self._log.warning("trying again", reason=str(aborted), pause_s=pause_s)
        self._pending.clear()
        self._handler.restore(self._saved.body)
        self._sources.return_to(self._saved.where.topics)
        time.sleep(pause_s)

    def _after_aborted(self, aborted: Aborted) -> float:
        if self._aborts == len(BACK_OFF_S):
            raise aborted
        self._aborts += 1
        return BACK_OFF_S[self._aborts - 1]

    def _after_too_large(self, aborted: TooLarge) -> float:
        if aborted.topic == self._state_topic or aborted.topic.endswith(DEAD):
            raise StreamError(f"{aborted}; `ol0 topics apply` gives {aborted.topic} the size that it needs")
        self._pending.refuse(aborted.topic, aborted.size)
        return 0.0

    def _where(self) -> Positions:
        return Positions(self._sources.places(), self._time.now_ms)

    def _note_time(self, time_ms: int | None) -> None:
        if time_ms is not None:
            self._time.note(time_ms)

    def _warn(self, letters: Sequence[DeadLetter]) -> None:
        """One line a batch, of the first letter, however many come; all of them are in the dead letters."""
        for letter in letters[:1]:
            self._log.warning("dead letters", count=len(letters), first=letter.place, reason=str(letter.error))

    def _watch(self, batch: Batch, letters: Sequence[DeadLetter]) -> None:
        """Counts what could be used; where nothing can, the letters are written before the end."""
        usable = Counter(coordinates(message)[0] for message, record in batch.records if not isinstance(record, Tick))
        usable.subtract(letter.topic for letter in letters if letter.stage == "handle")
        try:
            self._bad.count(usable, letters)
        except StreamError:
            self._commit()
            raise
