"""What the store refuses, and how it says so."""

from dataclasses import replace
from typing import Any

import pytest
from redis import Redis

from contract.store_calls import DECISIONS, FEEDBACK, arrivals, commit, due_windows, thumbs
from contract.store_keys import ALL_KEYS, contents
from ol0.errors import Fenced, Gap, StoreError
from ol0.records import Partition
from ol0.replay.counters import FeedbackDrop
from ol0.replay.layout import FeedbackEntry, Key, store_key
from ol0.replay.protocol import Applied, Arrivals, Claim, ClosedWindow
from ol0.replay.store import ReplayStore


def test_registering_again_changes_nothing(store: ReplayStore, client: Redis, prefix: str) -> None:
    store.apply(DECISIONS, store.claim(DECISIONS), 6, arrivals(0, 1)).result()
    before = contents(client, prefix)

    again = ReplayStore(client, prefix)

    assert again.register({DECISIONS: 77, FEEDBACK: 77}, capacity=4, max_open=3) == store.incarnation
    assert contents(client, prefix) == before


def test_another_capacity_is_refused(store: ReplayStore) -> None:
    with pytest.raises(StoreError, match=r"has 4 slots, online_learning\.replay_size says 5"):
        store.register({}, capacity=5, max_open=3)


def test_a_partition_that_joins_later_opens_nothing_again(store: ReplayStore) -> None:
    for partition in (DECISIONS, FEEDBACK):
        claim = store.claim(partition)
        store.apply(partition, claim, claim.next_offset + 1, arrivals(9_000)).result()

    newcomer = Partition("t.decisions.v1", 1)
    store.register({newcomer: 0}, capacity=4, max_open=3)

    assert store.claim(newcomer) == Claim(epoch=1, next_offset=0, watermark_ms=9_000)


def test_a_claim_starts_at_the_registered_offset_and_fences_the_one_before(store: ReplayStore) -> None:
    first, second = store.claim(DECISIONS), store.claim(DECISIONS)

    assert (first.next_offset, second.epoch) == (5, first.epoch + 1)
    with pytest.raises(Fenced, match=r"t\.decisions\.v1\[0\], offset 5, epoch 1"):
        store.apply(DECISIONS, first, 6, arrivals(0, 1)).result()


def test_a_batch_counts_once_however_often_it_is_sent(store: ReplayStore) -> None:
    claim = store.claim(DECISIONS)

    assert store.apply(DECISIONS, claim, 7, arrivals(0, 1, 2)).result() is Applied.DONE
    assert store.apply(DECISIONS, claim, 7, arrivals(0, 1, 2)).result() is Applied.ALREADY
    assert store.counters().decisions == 2


@pytest.mark.parametrize("start", [4, 6])
def test_a_batch_from_another_offset_is_a_gap(store: ReplayStore, start: int) -> None:
    claim = store.claim(DECISIONS)

    with pytest.raises(Gap, match="GAP"):
        store.apply(DECISIONS, replace(claim, next_offset=start), 9, arrivals(0, 1)).result()


def test_an_epoch_that_the_store_never_gave_out_is_a_gap(store: ReplayStore) -> None:
    claim = store.claim(DECISIONS)

    with pytest.raises(Gap, match="UNCLAIMED"):
        store.apply(DECISIONS, replace(claim, epoch=claim.epoch + 1), 9, arrivals(0, 1)).result()


def test_an_unregistered_partition_is_refused_with_the_remedy(store: ReplayStore) -> None:
    with pytest.raises(StoreError, match="ol0 topics apply"):
        store.claim(Partition("t.decisions.v1", 9))


def test_a_store_that_was_made_anew_is_not_the_one_that_was_claimed(
    store: ReplayStore, client: Redis, prefix: str
) -> None:
    claim = store.claim(DECISIONS)
    client.delete(*(store_key(prefix, name) for name in ALL_KEYS))
    other = ReplayStore(client, prefix)
    other.register({DECISIONS: 5}, capacity=4, max_open=3)
    assert other.claim(DECISIONS) == claim  # nothing else tells the two apart

    with pytest.raises(StoreError, match="ol0 replay rebuild"):
        store.apply(DECISIONS, claim, 6, arrivals(0, 1)).result()
    with pytest.raises(StoreError, match="ol0 replay rebuild"):
        store.claim(DECISIONS)
    with pytest.raises(StoreError, match="ol0 replay rebuild"):
        store.registration.bound(9)
    with pytest.raises(StoreError, match=f"is {other.incarnation}, expected {store.incarnation}"):
        ReplayStore(client, prefix).attach(store.incarnation)


def test_attaching_to_a_store_that_is_not_there_says_what_makes_one(client: Redis, prefix: str) -> None:
    with pytest.raises(StoreError, match="ol0 topics apply"):
        ReplayStore(client, prefix).attach()


@pytest.mark.parametrize("field", ["head", "sequence", "capacity", "max_priority", "count:waiting"])
def test_a_lost_number_is_found_before_anything_is_written(
    store: ReplayStore, client: Redis, prefix: str, field: str
) -> None:
    claim = store.claim(DECISIONS)
    client.hdel(store_key(prefix, Key.META), field)
    before = contents(client, prefix)

    with pytest.raises(StoreError, match="ol0 replay rebuild"):
        store.apply(DECISIONS, claim, 6, arrivals(0, 1)).result()
    assert contents(client, prefix) == before


@pytest.mark.parametrize(
    "bad",
    [
        replace(arrivals(0, 1), decision_keys=b"short"),
        replace(arrivals(0, 1), deadlines="12"),
        replace(arrivals(0, 1), deadlines="-000000001000"),
        replace(arrivals(0, 1), payloads=[]),
        replace(arrivals(0, 1), targets=b"a" * 16),
        replace(arrivals(0, 1), feedback=b"a" * 48),
        arrivals(-1, 1),
        pytest.param(arrivals(0, *range(1, 2_002)), id="more decisions than a script may unpack"),
        pytest.param(thumbs(0, 1, *map(str, range(2_001))), id="more feedback than a script may unpack"),
    ],
)
def test_a_malformed_batch_is_refused_before_anything_is_written(
    store: ReplayStore, client: Redis, prefix: str, bad: Arrivals
) -> None:
    claim = store.claim(DECISIONS)
    before = contents(client, prefix)

    with pytest.raises(StoreError, match="BAD"):
        store.apply(DECISIONS, claim, 6, bad).result()
    assert contents(client, prefix) == before


def test_a_full_store_refuses_decisions_of_fast_partitions_only(store: ReplayStore) -> None:
    # Given as many open windows as there may be, and decisions ahead of feedback
    claim = store.claim(DECISIONS)
    store.apply(DECISIONS, claim, 8, arrivals(500, 1, 2, 3)).result()
    claim = replace(claim, next_offset=8)

    # When more come, then they wait; ticks of the same partition, and the slowest partition, do not
    assert store.apply(DECISIONS, claim, 9, arrivals(500, 4)).result() is Applied.FULL
    assert store.apply(DECISIONS, claim, 9, arrivals(600)).result() is Applied.DONE
    assert store.apply(FEEDBACK, store.claim(FEEDBACK), 1, arrivals(0, 5)).result() is Applied.DONE


def test_a_full_store_refuses_feedback_of_fast_partitions_too(store: ReplayStore) -> None:
    claim = store.claim(FEEDBACK)
    store.apply(FEEDBACK, claim, 1, arrivals(500)).result()
    claim = replace(claim, next_offset=1)
    names = [f"thumb-{number}" for number in range(8 * 3 + 1)]

    assert store.apply(FEEDBACK, claim, 2, thumbs(500, 1, *names)).result() is Applied.FULL
    assert store.apply(FEEDBACK, claim, 2, thumbs(500, 1, *names[:-1])).result() is Applied.DONE


def test_a_flood_of_feedback_on_one_decision_is_cut_off_and_counted(client: Redis, prefix: str) -> None:
    store = ReplayStore(client, prefix)
    store.register({FEEDBACK: 0}, capacity=4, max_open=1_000)

    flood = thumbs(0, 1, *(f"thumb-{number}" for number in range(300)))
    store.apply(FEEDBACK, store.claim(FEEDBACK), 1, flood).result()

    counters = store.counters()
    assert (counters.waiting, sum(counters.feedback_dropped.values())) == (256, 44)
    assert counters.imbalances() == []


def test_feedback_waits_as_long_as_the_last_of_its_decision(client: Redis, prefix: str) -> None:
    store = ReplayStore(client, prefix)
    store.register({FEEDBACK: 0}, capacity=4, max_open=10)
    claim = store.claim(FEEDBACK)

    # Given feedback until 600, then some until 110, and the watermark between the two
    store.apply(FEEDBACK, claim, 1, thumbs(0, 1, "later", time_ms=500)).result()
    store.apply(FEEDBACK, replace(claim, next_offset=1), 2, thumbs(200, 1, "earlier", time_ms=10)).result()
    commit(store, 0, [], {})
    assert store.counters().waiting == 2

    store.apply(FEEDBACK, replace(claim, next_offset=2), 3, arrivals(600)).result()
    assert due_windows(store, 10).expired == 1
    commit(store, 0, [], {})
    assert store.counters().feedback_dropped[FeedbackDrop.ORPHAN] == 2
    assert store.counters().imbalances() == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"time_ms": 11.0, "effective_ms": 12.0}, FeedbackDrop.DUPLICATE),  # a sender that repeats itself dates anew
        ({"value": 0.0}, FeedbackDrop.CONFLICTING),
        ({"code": 3}, FeedbackDrop.CONFLICTING),
        ({"source": b"somebody"}, FeedbackDrop.CONFLICTING),
    ],
)
def test_an_id_that_says_something_else_is_no_copy_and_the_earlier_one_holds(
    store: ReplayStore, change: dict[str, Any], reason: FeedbackDrop
) -> None:
    claim = store.claim(FEEDBACK)
    first = thumbs(0, 1, "id")
    store.apply(FEEDBACK, claim, 1, first).result()
    (entry,) = FeedbackEntry.unpack_pile(first.feedback)

    second = replace(first, feedback=entry._replace(**{"effective_ms": 12.0, **change}).pack())
    store.apply(FEEDBACK, replace(claim, next_offset=1), 2, second).result()

    dropped = store.counters().feedback_dropped
    assert {name for name, count in dropped.items() if count} == {reason}
    assert store.counters().imbalances() == []


def test_feedback_that_comes_between_the_listing_of_a_window_and_its_commit_is_late(store: ReplayStore) -> None:
    claims = {partition: store.claim(partition) for partition in (DECISIONS, FEEDBACK)}
    store.apply(DECISIONS, claims[DECISIONS], 6, arrivals(5_000, 1)).result()
    store.apply(FEEDBACK, claims[FEEDBACK], 1, arrivals(5_000)).result()
    due = due_windows(store, 10)

    late = thumbs(5_000, 1, "thumb", time_ms=5_000)
    store.apply(FEEDBACK, replace(claims[FEEDBACK], next_offset=1), 2, late).result()
    commit(store, due.sequence, [ClosedWindow(due.windows[0].decision_key, None, b"outcome")], {})

    assert store.counters().feedback_dropped[FeedbackDrop.LATE] == 1
    assert store.counters().imbalances() == []
