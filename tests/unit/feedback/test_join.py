from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

import pytest

from ol0.config import StreamingConfig
from ol0.errors import StoreError
from ol0.feedback.closing import Publish
from ol0.feedback.handler import FeedbackHandler
from ol0.feedback.join import FeedbackJoin
from ol0.feedback.outbox import Message, pack_message
from ol0.kafka.ports import Log, SourceRecord
from ol0.pending import Pending
from ol0.records import Partition, Tick
from ol0.replay.protocol import NOTHING_TO_DO, Applied, Arrivals, Claim, Commit, Exchange, Unsent
from ol0.replay.registration import Admitted
from ol0.wire.codec import Codec
from ol0.wire.payloads import Payloads

if TYPE_CHECKING:
    from ol0.replay.store import ReplayStore

FIRST, SECOND = Partition("t.decisions.v1", 0), Partition("t.decisions.v1", 1)


class MemoryExclusion:
    """Counts how often the ring was searched, with all turns of the store over."""

    def __init__(self, store: "MemoryStore") -> None:
        self.searches = 0
        self._store = store

    def examples(self, _matches: Callable[[bytes], bool]) -> list[bytes]:
        assert self._store.replies == self._store.turns, "a turn may bring more examples"
        self.searches += 1
        return []

    def exclude(self, _examples: Sequence[bytes]) -> int:
        return 0


class MemoryRegistration:
    """Knows every partition."""

    def admit(self, _partition: Partition, _topic_id: str, _first_offset: int) -> Admitted:
        return Admitted.KNOWN


class MemoryStore:
    """What the join asks of a store, with answers that a test sets."""

    def __init__(self) -> None:
        self.answer = Applied.DONE
        self.applied: list[tuple[Claim, int]] = []
        self.turns = self.replies = 0
        self.commits: list[Unsent] = []
        self.exclusion = MemoryExclusion(self)
        self.registration = MemoryRegistration()

    def claim(self, _partition: Partition) -> Claim:
        return Claim(epoch=1, next_offset=10, watermark_ms=0)

    def partitions(self) -> list[str]:
        return ["t.decisions.v1[0]", "t.decisions.v1[1]"]

    def apply(self, _partition: Partition, claim: Claim, next_offset: int, _arrivals: Arrivals) -> Pending[Applied]:
        self.applied.append((claim, next_offset))
        return Pending(lambda: self.answer)

    def turn(
        self, _limit: int, commit: Commit | None = None, sent: Unsent | None = None, *, ask_unsent: bool = True
    ) -> Pending[Exchange]:
        assert commit is None, "nothing is due"
        self.turns += 1
        if sent is not None:
            self.commits = [one for one in self.commits if one.last > sent.last]
        found = Exchange(NOTHING_TO_DO.due, next(iter(self.commits), None) if ask_unsent else None)

        def reply() -> Exchange:
            self.replies += 1
            return found

        return Pending(reply)


class Delivered:
    """Acknowledged already."""

    def done(self) -> bool:
        return True

    def wait(self) -> None:
        pass


def ignore(_messages: Sequence[Message]) -> Delivered:
    return Delivered()


def make(store: MemoryStore, publish: Publish = ignore) -> FeedbackJoin:
    config = StreamingConfig(allowed_lateness_s=0)
    handler = FeedbackHandler(config, 1, (2,), Payloads(Codec()))
    return FeedbackJoin(cast("ReplayStore", store), handler, publish, batch_size=2)


LOG = Log("topic-1", 0, 100)
TICKS = [SourceRecord(10, 5_000, Tick())]


def test_a_batch_goes_on_where_the_last_one_ended() -> None:
    store = MemoryStore()
    join = make(store)
    assert join.claim(FIRST, LOG) == 10

    join.apply(FIRST, TICKS, 11).result()
    join.apply(FIRST, [], 15).result()

    assert store.applied == [(Claim(1, 10, 0), 11), (Claim(1, 11, 5_000), 15)]


def test_a_batch_that_was_applied_before_its_reply_was_lost_counts_as_applied() -> None:
    store = MemoryStore()
    join = make(store)
    join.claim(FIRST, LOG)
    store.answer = Applied.ALREADY

    assert join.apply(FIRST, TICKS, 11).result()
    join.apply(FIRST, [], 12).result()

    assert store.applied[-1][0].next_offset == 11


def test_a_full_store_leaves_the_position_where_it_was() -> None:
    store = MemoryStore()
    join = make(store)
    join.claim(FIRST, LOG)
    store.answer = Applied.FULL

    assert not join.apply(FIRST, TICKS, 11).result()
    join.apply(FIRST, TICKS, 11).result()

    assert store.applied[0] == store.applied[1]


def test_records_of_a_partition_that_was_released_are_refused() -> None:
    join = make(MemoryStore())
    join.claim(FIRST, LOG)
    join.release(FIRST)

    with pytest.raises(StoreError, match="before claim"):
        join.apply(FIRST, TICKS, 11)


def test_a_batch_that_no_script_could_take_names_the_setting() -> None:
    join = make(MemoryStore())
    join.claim(FIRST, LOG)

    with pytest.raises(StoreError, match=r"streaming\.batch_size"):
        join.apply(FIRST, TICKS * 2_001, 3_000)


def test_only_the_owner_of_the_first_partition_closes_windows() -> None:
    store = MemoryStore()
    join = make(store)
    join.claim(SECOND, LOG)
    join.idle()
    assert store.turns == 0

    join.claim(FIRST, LOG)
    join.idle()
    assert store.turns == 1

    join.release(FIRST)
    join.idle()
    assert store.turns == 1


def test_whoever_gives_the_first_partition_up_leaves_no_turn_under_way() -> None:
    store = MemoryStore()
    join = make(store)
    join.claim(FIRST, LOG)
    join.claim(SECOND, LOG)
    join.idle()

    join.release(SECOND)
    assert (store.turns, store.replies) == (1, 0)
    join.release(FIRST)
    assert (store.turns, store.replies) == (1, 1)


def test_the_loop_comes_back_soon_where_outcomes_are_under_way_and_no_records_come_in() -> None:
    store = MemoryStore()
    join = make(store)
    join.claim(FIRST, LOG)
    assert not join.idle()
    assert not join.idle()

    store.commits = [Unsent(0, pack_message(b"session", b"outcome"))]
    join.idle()
    join.apply(FIRST, TICKS, 11).result()
    assert not join.idle(), "records come in: the next may wait until there are enough of them"
    assert join.idle()
    assert not join.idle()
    assert store.commits == []


def test_the_ring_is_searched_when_somebody_is_forgotten_and_whenever_the_store_may_have_gone_back() -> None:
    store = MemoryStore()
    exclusion, join = store.exclusion, make(store)
    join.claim(FIRST, LOG)
    join.forget(set())
    join.idle()
    assert exclusion.searches == 0

    join.forget({"pseudonym"})
    join.idle()
    join.idle()
    assert exclusion.searches == 1

    join.claim(FIRST, LOG)
    join.idle()
    assert exclusion.searches == 2
