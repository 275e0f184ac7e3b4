"""A partition is of one topic: an offset in another one of that name means nothing."""

from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest
from redis import Redis

from contract.store_calls import DECISIONS, FEEDBACK, arrivals, due_windows
from contract.store_keys import contents
from contract.store_world import Delivered
from ol0.errors import Fenced, Gap, StoreError
from ol0.feedback.join import FeedbackJoin
from ol0.kafka.ports import Log
from ol0.records import Partition
from ol0.replay.layout import Key, store_key
from ol0.replay.protocol import Claim
from ol0.replay.registration import Admitted
from ol0.replay.store import ReplayStore

if TYPE_CHECKING:
    from ol0.feedback.handler import FeedbackHandler

NEWCOMER = Partition("t.decisions.v1", 1)
OLD, NEW = "topic-1", "topic-2"


def test_a_partition_that_nobody_registered_begins_where_its_log_does_and_where_all_others_have_passed(
    store: ReplayStore,
) -> None:
    for partition in (DECISIONS, FEEDBACK):
        claim = store.claim(partition)
        store.apply(partition, claim, claim.next_offset + 1, arrivals(9_000)).result()

    assert store.registration.admit(NEWCOMER, OLD, 7) is Admitted.NEW

    assert store.claim(NEWCOMER) == Claim(epoch=1, next_offset=7, watermark_ms=9_000)
    assert store.registration.admit(NEWCOMER, OLD, 8) is Admitted.KNOWN
    assert store.claim(NEWCOMER).next_offset == 7


def test_a_topic_that_was_made_anew_is_refused_with_the_remedy_and_nothing_is_written(
    store: ReplayStore, client: Redis, prefix: str
) -> None:
    assert store.registration.admit(DECISIONS, OLD, 0) is Admitted.KNOWN
    before = contents(client, prefix)

    with pytest.raises(StoreError, match=r"deleted and recreated.*topic-1\) up to offset 5.*`ol0 topics apply`"):
        store.registration.admit(DECISIONS, NEW, 0)

    assert contents(client, prefix) == before


def test_where_it_is_ordered_such_a_partition_begins_anew_and_its_time_goes_on(store: ReplayStore) -> None:
    store.registration.admit(DECISIONS, OLD, 0)
    claim = store.claim(DECISIONS)
    store.apply(DECISIONS, claim, 600, arrivals(9_000, 1, deadline_ms=20_000)).result()

    assert store.registration.begin_anew(DECISIONS, NEW, 3) is Admitted.ANEW
    assert store.registration.begin_anew(DECISIONS, NEW, 3) is Admitted.KNOWN, "once"

    with pytest.raises(Fenced):
        store.apply(DECISIONS, Claim(claim.epoch, 600, 9_000), 601, arrivals(9_000, 2)).result()
    again = store.claim(DECISIONS)
    assert (again.next_offset, again.watermark_ms) == (3, 9_000)
    assert store.counters().open == 1, "what came from the old log stays"


def test_a_broker_without_ids_is_believed(store: ReplayStore) -> None:
    store.registration.admit(DECISIONS, OLD, 0)

    assert store.registration.admit(DECISIONS, "", 0) is Admitted.KNOWN
    with pytest.raises(StoreError, match="recreated"):
        store.registration.admit(DECISIONS, NEW, 0)


def test_time_does_not_wait_for_a_partition_that_is_gone(store: ReplayStore) -> None:
    claim = store.claim(DECISIONS)
    store.apply(DECISIONS, claim, 6, arrivals(9_000)).result()
    assert due_windows(store, 1).watermark_ms == 0

    store.registration.retire(FEEDBACK)

    assert due_windows(store, 1).watermark_ms == 9_000
    assert store.partitions() == [str(DECISIONS)]


def test_another_store_admits_nobody(store: ReplayStore, client: Redis, prefix: str) -> None:
    other = ReplayStore(client, prefix)
    other.attach()
    client.hset(store_key(prefix, Key.META), "incarnation", "another")

    with pytest.raises(StoreError, match="not registered in this incarnation"):
        other.registration.admit(NEWCOMER, OLD, 0)


@pytest.mark.parametrize(
    ("end", "to", "counted"),
    [(200, 90, {"expired": 30}), (45, 45, {"cut": 15}), (200, 0, {})],  # nothing to do: it is all there
)
def test_what_a_log_has_lost_is_passed_over_and_counted(
    store: ReplayStore, end: int, to: int, counted: dict[str, int]
) -> None:
    claim = store.claim(DECISIONS)
    store.apply(DECISIONS, claim, 60, arrivals(9_000, 1, deadline_ms=20_000)).result()
    join = FeedbackJoin(store, cast("FeedbackHandler", None), lambda _: Delivered())
    place, first = Partition(*DECISIONS), to if "expired" in counted else 0
    join.claim(place, Log(OLD, first, end))

    assert join.skip(place, Log(OLD, first, end)) == (to or 60)

    assert store.claim(DECISIONS).next_offset == (to or 60)
    counters = store.counters()
    assert (counters.expired, counters.cut) == (counted.get("expired", 0), counted.get("cut", 0))
    assert counters.open == 1


def test_passing_over_happens_once_and_only_for_the_owner(store: ReplayStore) -> None:
    claim = store.claim(DECISIONS)
    for _ in range(2):  # the first reply was lost
        store.skip(DECISIONS, claim, 90)
    assert store.counters().expired == 85

    with pytest.raises(Gap):
        store.skip(DECISIONS, claim, 95)
    store.claim(DECISIONS)
    with pytest.raises(Fenced):
        store.skip(DECISIONS, replace(claim, next_offset=90), 95)
    assert store.claim(DECISIONS).next_offset == 90
