"""Where the consume loop meets the store."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from ol0.errors import StoreError
from ol0.feedback.closing import Publish, WindowCloser
from ol0.feedback.handler import FeedbackHandler
from ol0.feedback.time_watch import TimeWatch
from ol0.kafka.ports import Log, SourceRecord
from ol0.pending import Pending
from ol0.records import Partition
from ol0.replay.protocol import Applied, Claim
from ol0.replay.store import LARGEST_BATCH, ReplayStore


class FeedbackJoin:
    """The sink of the feedback service: partitions in, outcomes out. Implements ``kafka.ports.Sink``.

    Any number of processes may share a store. Each applies its own partitions; windows are closed, and outcomes sent,
    by the owner of the first partition: all could, the store takes each outcome once, but they would all compute it.
    """

    def __init__(
        self,
        store: ReplayStore,
        handler: FeedbackHandler,
        publish: Publish,
        batch_size: int = 500,
        user_limit: int = 0,
        watch: TimeWatch | None = None,
    ) -> None:
        """Makes a join that owns nothing yet.

        Args:
            store: registered or attached.
            handler: which records count, and what windows come to.
            publish: sends outcomes.
            batch_size: windows at a time.
            user_limit: examples that one user may make in an hour of event time; 0: any number.
            watch: hears of what is dropped for its time.
        """
        self._store = store
        self._watch = watch
        self._exclusion = store.exclusion
        self._handler = handler
        self._closer = WindowCloser(store, handler, publish, batch_size, user_limit, watch)
        self._forgets = False  # whether any user was forgotten
        self._to_search = False  # whether the ring may hold examples of theirs
        self._claims: dict[Partition, Claim] = {}
        self._closers_partition = ""  # its owner closes windows
        self._closes = False  # whether that is this process
        self._fed = False  # whether records came since the last ``idle``

    def claim(self, partition: Partition, log: Log) -> int:
        """Takes a partition over and says at which offset to continue: where its log begins, if the store is new to it.

        Raises as ``Registration.admit`` and ``ReplayStore.claim``.
        """
        self._store.registration.admit(partition, log.topic_id, log.first_offset)
        self._claims[partition] = self._store.claim(partition)
        self._closers_partition = self._store.partitions()[0]
        self._closes = any(str(claimed) == self._closers_partition for claimed in self._claims)
        self._to_search = self._forgets  # the store may have been restored from before a user was forgotten
        return self._claims[partition].next_offset

    def apply(self, partition: Partition, records: Sequence[SourceRecord], next_offset: int) -> Pending[bool]:
        """Takes in a batch, exactly once. False: the store is full; nothing was taken in, call again later.

        Args:
            partition: claimed.
            records: what was decoded between the last ``next_offset`` and this one, at most 2,000.
            next_offset: where the next batch starts.

        Raises:
            Fenced: from the result: another process has the partition.
            Gap: from the result: the store is at another offset: claim, seek.
            StoreError: not claimed, or the store is out of reach; or, from the result, that or damaged or wiped.
        """
        claim = self._claims.get(partition)
        if claim is None:
            raise StoreError(f"{partition}: records came before claim(), or after release()")
        if len(records) > LARGEST_BATCH:
            raise StoreError(
                f"{partition}: {len(records)} records at once; set streaming.batch_size to {LARGEST_BATCH}"
            )
        self._fed = True
        arrivals = self._handler.arrivals(claim.watermark_ms, records)
        applied = self._store.apply(partition, claim, next_offset, arrivals)

        def taken() -> bool:
            if applied.result() is Applied.FULL:
                return False
            self._claims[partition] = replace(claim, next_offset=next_offset, watermark_ms=arrivals.watermark_ms)
            if self._watch:
                self._watch.arrived(partition, records, arrivals.counts)
            return True

        return Pending(taken)

    def skip(self, partition: Partition, log: Log) -> int:
        """Continues at the beginning or end of a log that no longer has the next record. Raises StoreError."""
        claim = self._claims[partition]
        to = max(log.first_offset, min(claim.next_offset, log.end))
        if to != claim.next_offset:
            self._store.skip(partition, claim, to)
            self._claims[partition] = replace(claim, next_offset=to)
        return to

    def release(self, partition: Partition) -> None:
        """Forgets a partition that another process takes over. Nothing is pending: every apply was whole."""
        self._claims.pop(partition, None)
        self._closes = any(str(claimed) == self._closers_partition for claimed in self._claims)
        if not self._closes:
            self._closer.rest()

    def forget(self, users: Collection[str]) -> None:
        """Drops what there is of these users, and what will come: see ``FeedbackHandler.forget``.

        Their windows go when they are due, their examples with the next ``idle``. Every process hears of it and
        removes what it let in before.

        Args:
            users: pseudonyms.
        """
        if users:
            self._handler.forget(users)
            self._forgets = self._to_search = True

    def idle(self) -> bool:
        """Closes windows and sends outcomes, as far as that goes without waiting.

        Returns:
            Whether it should be called again before long: there is more to close, or nothing else to do meanwhile.

        Raises:
            StoreError: the store is damaged or out of reach.
            StreamError: outcomes were not acknowledged; they stay in the outbox.
        """
        if not self._closes:
            return False
        if self._to_search:
            self._closer.wait()  # it may bring examples of theirs into the ring, judged before they were forgotten
            self._to_search = False
            self._exclusion.exclude(self._exclusion.examples(self._handler.is_forgotten))
        fed, self._fed = self._fed, False
        return self._closer.step() and (self._closer.is_behind or not fed)

    def finish(self) -> None:
        """Waits for what is under way. Raises as ``idle``."""
        if self._closes:
            self._closer.finish()
