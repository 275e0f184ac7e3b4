"""Where the consume loop meets the store."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from ol0.errors import StoreError
from ol0.feedback.handler import FeedbackHandler
from ol0.feedback.outbox import Message, unpack_messages
from ol0.replay.store import LARGEST_BATCH, ReplayStore
from ol0.replay.windows import Applied, Claim, Due, SourcePartition
from ol0.streaming.sink import Partition, SourceRecord


class FeedbackJoin:
    """The sink of the feedback service: partitions in, outcomes out. Implements ``streaming.sink.Sink``.

    Any number of processes may share a store. Each applies its own partitions; windows are closed, and outcomes sent,
    by whoever owns the first partition: all could, the store takes each outcome once, but they would all compute it.
    ``idle`` may run in another thread than the other methods.
    """

    def __init__(
        self,
        store: ReplayStore,
        handler: FeedbackHandler,
        publish: Callable[[Sequence[Message]], None],
        batch_size: int = 500,
        user_limit: int = 0,
    ) -> None:
        """Makes a join that owns nothing yet.

        Args:
            store: registered or attached.
            handler: which records count, and what windows come to.
            publish: sends (session id, outcome) messages; returns when all are acknowledged, else raises.
            batch_size: windows at a time.
            user_limit: examples that one user may make in an hour of event time; 0: any number.
        """
        self._store = store
        self._exclusion = store.exclusion
        self._handler = handler
        self._publish = publish
        self._batch_size = batch_size
        self._user_limit = user_limit
        self._forgets = False  # whether any user was forgotten
        self._to_search = False  # whether the ring may hold examples of theirs
        self._claims: dict[SourcePartition, Claim] = {}
        self._closer = ""  # name of the partition whose owner closes windows
        self._closes = False  # whether that is this process

    def claim(self, partition: Partition) -> int:
        """Takes a partition over and says at which offset to go on. Raises as ``ReplayStore.claim``."""
        source = _source(partition)
        self._claims[source] = self._store.claim(source)
        self._closer = self._store.partitions()[0]
        self._closes = any(str(claimed) == self._closer for claimed in self._claims)
        self._to_search = self._forgets  # the store may have been restored from before somebody was forgotten
        return self._claims[source].next_offset

    def apply(self, partition: Partition, records: Sequence[SourceRecord], next_offset: int) -> bool:
        """Takes in a batch, exactly once. False: the store is full; nothing was taken in, call again later.

        Args:
            partition: claimed.
            records: what was decoded between the last ``next_offset`` and this one, at most 2,000.
            next_offset: where the next batch starts.

        Raises:
            Fenced: somebody else has the partition.
            Gap: the store is at another offset: claim, seek.
            StoreError: not claimed; or the store is damaged, wiped, or out of reach.
        """
        source = _source(partition)
        claim = self._claims.get(source)
        if claim is None:
            raise StoreError(f"{source}: records came before claim(), or after release()")
        if len(records) > LARGEST_BATCH:
            raise StoreError(f"{source}: {len(records)} records at once; set streaming.batch_size to {LARGEST_BATCH}")
        arrivals = self._handler.arrivals(claim.watermark_ms, records)
        if self._store.apply(source, claim, next_offset, arrivals) is Applied.FULL:
            return False
        self._claims[source] = replace(claim, next_offset=next_offset, watermark_ms=arrivals.watermark_ms)
        return True

    def release(self, partition: Partition) -> None:
        """Forgets a partition that somebody else takes over. Nothing is pending: every apply was whole."""
        self._claims.pop(_source(partition), None)
        self._closes = any(str(claimed) == self._closer for claimed in self._claims)

    def forget(self, users: Collection[str]) -> None:
        """Drops what there is of these users, and what will come: see ``FeedbackHandler.forget``.

        Their windows go when they are due, their examples with the next ``idle``. Every process is told, so whatever
        one of them let in before it knew goes too.

        Args:
            users: pseudonyms.
        """
        if users:
            self._handler.forget(users)
            self._forgets = self._to_search = True

    def idle(self) -> None:
        """Closes windows until none is due, then sends outcomes until none is left.

        Raises:
            StoreError: the store is damaged or out of reach.
            StreamError: outcomes were not acknowledged; they stay in the outbox.
        """
        if not self._closes:
            return
        while due := self._store.due(self._batch_size):
            self._close(due)
        if self._to_search:  # last: what was due and not yet known to be theirs may have closed just now
            self._to_search = False  # before the search, for somebody may be forgotten meanwhile
            self._exclusion.exclude(self._exclusion.examples(self._handler.is_forgotten))
        while unsent := self._store.unsent():
            self._publish(list(unpack_messages(unsent.outcomes)))
            self._store.trim(unsent)

    def _close(self, due: Due) -> None:
        """Computes and commits. Where somebody else was faster, or a user is forgotten, the next ``due`` shows it."""
        closing = self._handler.close(due.windows, due.next_outcome)
        if closing.forgotten:
            self._exclusion.forget(closing.forgotten)
        else:
            self._store.commit(due.sequence, closing.windows, closing.counts, self._user_limit)


def _source(partition: Partition) -> SourcePartition:
    return SourcePartition(partition.topic, partition.number)
