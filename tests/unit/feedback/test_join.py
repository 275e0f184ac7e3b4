from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, cast

import pytest

from ol0.config import StreamingConfig
from ol0.errors import StoreError, StreamError
from ol0.feedback.handler import FeedbackHandler
from ol0.feedback.join import FeedbackJoin
from ol0.feedback.outbox import Message, pack_message
from ol0.records import Tick
from ol0.replay.windows import Applied, Arrivals, Claim, ClosedWindow, Due, SourcePartition, Unsent
from ol0.streaming.codec import Codec
from ol0.streaming.payloads import Payloads
from ol0.streaming.sink import Partition, SourceRecord

if TYPE_CHECKING:
    from ol0.replay.store import ReplayStore

FIRST, SECOND = Partition("t.decisions.v1", 0), Partition("t.decisions.v1", 1)


class MemoryExclusion:
    """Counts how often the ring was searched."""

    def __init__(self) -> None:
        self.searches = 0

    def examples(self, _matches: Callable[[bytes], bool]) -> list[bytes]:
        self.searches += 1
        return []

    def exclude(self, _examples: Sequence[bytes]) -> int:
        return 0


class MemoryStore:
    """What the join asks of a store, with answers that a test sets."""

    def __init__(self) -> None:
        self.answer = Applied.DONE
        self.applied: list[tuple[Claim, int]] = []
        self.due_calls = 0
        self.commits: list[Unsent] = []
        self.exclusion = MemoryExclusion()

    def claim(self, _partition: SourcePartition) -> Claim:
        return Claim(epoch=1, next_offset=10, watermark_ms=0)

    def partitions(self) -> list[str]:
        return ["t.decisions.v1[0]", "t.decisions.v1[1]"]

    def apply(self, _partition: SourcePartition, claim: Claim, next_offset: int, _arrivals: Arrivals) -> Applied:
        self.applied.append((claim, next_offset))
        return self.answer

    def due(self, _limit: int) -> Due:
        self.due_calls += 1
        return Due(0, 0, 0, [], 0)

    def commit(
        self, _sequence: int, _windows: Sequence[ClosedWindow], _counts: Mapping[str, int], _user_limit: int
    ) -> bool:
        raise AssertionError("nothing is due")

    def unsent(self) -> Unsent | None:
        return next(iter(self.commits), None)

    def trim(self, sent: Unsent) -> None:
        self.commits = [commit for commit in self.commits if commit.last > sent.last]


def ignore(_messages: Sequence[Message]) -> None:
    pass


def make(
    store: MemoryStore,
    publish: Callable[[Sequence[Message]], None] = ignore,
) -> FeedbackJoin:
    config = StreamingConfig(allowed_lateness_s=0)
    handler = FeedbackHandler(config, 1, (2,), Payloads(Codec()))
    return FeedbackJoin(cast("ReplayStore", store), handler, publish, batch_size=2)


TICKS = [SourceRecord(10, 5_000, Tick())]


def test_a_batch_goes_on_where_the_last_one_ended() -> None:
    store = MemoryStore()
    join = make(store)
    assert join.claim(FIRST) == 10

    join.apply(FIRST, TICKS, 11)
    join.apply(FIRST, [], 15)

    assert store.applied == [(Claim(1, 10, 0), 11), (Claim(1, 11, 5_000), 15)]


def test_a_batch_that_was_applied_before_its_reply_was_lost_counts_as_applied() -> None:
    store = MemoryStore()
    join = make(store)
    join.claim(FIRST)
    store.answer = Applied.ALREADY

    assert join.apply(FIRST, TICKS, 11)
    join.apply(FIRST, [], 12)

    assert store.applied[-1][0].next_offset == 11


def test_a_full_store_leaves_the_position_where_it_was() -> None:
    store = MemoryStore()
    join = make(store)
    join.claim(FIRST)
    store.answer = Applied.FULL

    assert not join.apply(FIRST, TICKS, 11)
    join.apply(FIRST, TICKS, 11)

    assert store.applied[0] == store.applied[1]


def test_records_of_a_partition_that_was_released_are_refused() -> None:
    join = make(MemoryStore())
    join.claim(FIRST)
    join.release(FIRST)

    with pytest.raises(StoreError, match="before claim"):
        join.apply(FIRST, TICKS, 11)


def test_a_batch_that_no_script_could_take_names_the_setting() -> None:
    join = make(MemoryStore())
    join.claim(FIRST)

    with pytest.raises(StoreError, match=r"streaming\.batch_size"):
        join.apply(FIRST, TICKS * 2_001, 3_000)


def test_only_the_owner_of_the_first_partition_closes_windows() -> None:
    store = MemoryStore()
    join = make(store)
    join.claim(SECOND)
    join.idle()
    assert store.due_calls == 0

    join.claim(FIRST)
    join.idle()
    assert store.due_calls == 1

    join.release(FIRST)
    join.idle()
    assert store.due_calls == 1


def test_outcomes_are_sent_with_their_session_as_key_until_none_is_left() -> None:
    store, sent = MemoryStore(), list[Message]()
    messages = [(b"session-%d" % number, b"outcome-%d" % number) for number in range(5)]
    store.commits = [
        Unsent(2, b"".join(pack_message(*message) for message in messages[:3])),
        Unsent(4, b"".join(pack_message(*message) for message in messages[3:])),
    ]
    join = make(store, sent.extend)
    join.claim(FIRST)

    join.idle()

    assert sent == messages
    assert store.commits == []


def test_outcomes_that_were_not_acknowledged_stay_in_the_outbox() -> None:
    def refuse(messages: Sequence[Message]) -> None:
        raise StreamError("not acknowledged")

    store = MemoryStore()
    store.commits = [Unsent(0, pack_message(b"session", b"outcome"))]
    join = make(store, refuse)
    join.claim(FIRST)

    with pytest.raises(StreamError):
        join.idle()
    assert len(store.commits) == 1


def test_the_ring_is_searched_when_somebody_is_forgotten_and_whenever_the_store_may_have_gone_back() -> None:
    store = MemoryStore()
    exclusion, join = store.exclusion, make(store)
    join.claim(FIRST)
    join.forget(set())
    join.idle()
    assert exclusion.searches == 0

    join.forget({"pseudonym"})
    join.idle()
    join.idle()
    assert exclusion.searches == 1

    join.claim(FIRST)
    join.idle()
    assert exclusion.searches == 2
