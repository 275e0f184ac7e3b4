"""What the store refuses, and how it says so."""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TypeAlias, cast

import pytest
from pydantic import SecretStr
from redis import Redis
from redis.exceptions import RedisError

from contract.store_keys import ALL_KEYS, contents
from ol0.config import RedisConfig
from ol0.errors import Fenced, Gap, StoreError
from ol0.replay.budget import largest_store_bytes
from ol0.replay.connection import check_memory, check_settings, connect
from ol0.replay.counters import FeedbackDrop
from ol0.replay.entries import FeedbackEntry, feedback_key, payload_field, source_key, user_key
from ol0.replay.lua import Scripts, store_key
from ol0.replay.rebuild import rebuild_store
from ol0.replay.stats import read_stats
from ol0.replay.store import ReplayStore
from ol0.replay.windows import Applied, Arrivals, Claim, ClosedWindow, Commit, Published, SourcePartition, Unsent
from waiting import wait_until

DECISIONS = SourcePartition("t.decisions.v1", 0)
FEEDBACK = SourcePartition("t.feedback.user.v1", 0)


def arrivals(watermark_ms: int, *numbers: int, deadline_ms: int = 1_000) -> Arrivals:
    """One decision for each number."""
    return Arrivals(
        watermark_ms=watermark_ms,
        patience_ms=100,
        decision_keys=b"".join(number.to_bytes(16) for number in numbers),
        deadlines="".join(f"{deadline_ms + number:013d}" for number in numbers),
        payloads=[b"payload-%d" % number for number in numbers],
        targets=b"",
        feedback=b"",
        counts={"decisions": len(numbers)},
    )


def thumbs(watermark_ms: int, target: int, *names: str, time_ms: int = 10) -> Arrivals:
    """One thumb for each name, all about one decision."""
    entries = [FeedbackEntry(feedback_key(name), source_key("user"), time_ms, time_ms, 1.0, 1) for name in names]
    return replace(
        arrivals(watermark_ms),
        targets=target.to_bytes(16) * len(names),
        feedback=b"".join(entry.pack() for entry in entries),
        counts={"feedback": len(names)},
    )


def unsent(store: ReplayStore) -> Unsent | None:
    """The oldest outcomes of the outbox."""
    return store.turn(0).result().unsent


def trim(store: ReplayStore, sent: Unsent) -> None:
    """Forgets outcomes up to these."""
    store.turn(0, sent=sent).wait()


@pytest.fixture
def store(client: Redis, prefix: str) -> ReplayStore:
    made = ReplayStore(client, prefix)
    made.register({DECISIONS: 5, FEEDBACK: 0}, capacity=4, max_open=3)
    return made


def test_registering_again_changes_nothing(store: ReplayStore, client: Redis, prefix: str) -> None:
    store.apply(DECISIONS, store.claim(DECISIONS), 6, arrivals(0, 1))
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
        store.apply(partition, claim, claim.next_offset + 1, arrivals(9_000))

    newcomer = SourcePartition("t.decisions.v1", 1)
    store.register({newcomer: 0}, capacity=4, max_open=3)

    assert store.claim(newcomer) == Claim(epoch=1, next_offset=0, watermark_ms=9_000)


def test_a_claim_starts_at_the_registered_offset_and_fences_the_one_before(store: ReplayStore) -> None:
    first, second = store.claim(DECISIONS), store.claim(DECISIONS)

    assert (first.next_offset, second.epoch) == (5, first.epoch + 1)
    with pytest.raises(Fenced, match=r"t\.decisions\.v1\[0\], offset 5, epoch 1"):
        store.apply(DECISIONS, first, 6, arrivals(0, 1))


def test_a_batch_counts_once_however_often_it_is_sent(store: ReplayStore) -> None:
    claim = store.claim(DECISIONS)

    assert store.apply(DECISIONS, claim, 7, arrivals(0, 1, 2)) is Applied.DONE
    assert store.apply(DECISIONS, claim, 7, arrivals(0, 1, 2)) is Applied.ALREADY
    assert store.counters().decisions == 2


@pytest.mark.parametrize("start", [4, 6])
def test_a_batch_from_another_offset_is_a_gap(store: ReplayStore, start: int) -> None:
    claim = store.claim(DECISIONS)

    with pytest.raises(Gap, match="GAP"):
        store.apply(DECISIONS, replace(claim, next_offset=start), 9, arrivals(0, 1))


def test_an_epoch_that_the_store_never_gave_out_is_a_gap(store: ReplayStore) -> None:
    claim = store.claim(DECISIONS)

    with pytest.raises(Gap, match="UNCLAIMED"):
        store.apply(DECISIONS, replace(claim, epoch=claim.epoch + 1), 9, arrivals(0, 1))


def test_an_unregistered_partition_is_refused_with_the_remedy(store: ReplayStore) -> None:
    with pytest.raises(StoreError, match="ol0 topics apply"):
        store.claim(SourcePartition("t.decisions.v1", 9))


def test_a_store_that_was_made_anew_is_not_the_one_that_was_claimed(
    store: ReplayStore, client: Redis, prefix: str
) -> None:
    claim = store.claim(DECISIONS)
    client.delete(*(store_key(prefix, name) for name in ALL_KEYS))
    other = ReplayStore(client, prefix)
    other.register({DECISIONS: 5}, capacity=4, max_open=3)
    assert other.claim(DECISIONS) == claim  # nothing else tells the two apart

    with pytest.raises(StoreError, match="ol0 replay rebuild"):
        store.apply(DECISIONS, claim, 6, arrivals(0, 1))
    with pytest.raises(StoreError, match="ol0 replay rebuild"):
        store.claim(DECISIONS)
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
    client.hdel(store_key(prefix, "m"), field)
    before = contents(client, prefix)

    with pytest.raises(StoreError, match="ol0 replay rebuild"):
        store.apply(DECISIONS, claim, 6, arrivals(0, 1))
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
        store.apply(DECISIONS, claim, 6, bad)
    assert contents(client, prefix) == before


def test_a_full_store_refuses_decisions_of_fast_partitions_only(store: ReplayStore) -> None:
    # Given as many open windows as there may be, and decisions ahead of feedback
    claim = store.claim(DECISIONS)
    store.apply(DECISIONS, claim, 8, arrivals(500, 1, 2, 3))
    claim = replace(claim, next_offset=8)

    # When more come, then they wait; ticks of the same partition, and the slowest partition, do not
    assert store.apply(DECISIONS, claim, 9, arrivals(500, 4)) is Applied.FULL
    assert store.apply(DECISIONS, claim, 9, arrivals(600)) is Applied.DONE
    assert store.apply(FEEDBACK, store.claim(FEEDBACK), 1, arrivals(0, 5)) is Applied.DONE


def test_a_full_store_refuses_feedback_of_fast_partitions_too(store: ReplayStore) -> None:
    claim = store.claim(FEEDBACK)
    store.apply(FEEDBACK, claim, 1, arrivals(500))
    claim = replace(claim, next_offset=1)
    names = [f"thumb-{number}" for number in range(8 * 3 + 1)]

    assert store.apply(FEEDBACK, claim, 2, thumbs(500, 1, *names)) is Applied.FULL
    assert store.apply(FEEDBACK, claim, 2, thumbs(500, 1, *names[:-1])) is Applied.DONE


def test_a_flood_of_feedback_on_one_decision_is_cut_off_and_counted(client: Redis, prefix: str) -> None:
    store = ReplayStore(client, prefix)
    store.register({FEEDBACK: 0}, capacity=4, max_open=1_000)

    store.apply(FEEDBACK, store.claim(FEEDBACK), 1, thumbs(0, 1, *(f"thumb-{number}" for number in range(300))))

    counters = store.counters()
    assert (counters.waiting, sum(counters.feedback_dropped.values())) == (256, 44)
    assert counters.imbalances() == []


def test_feedback_waits_as_long_as_the_last_of_its_decision(client: Redis, prefix: str) -> None:
    store = ReplayStore(client, prefix)
    store.register({FEEDBACK: 0}, capacity=4, max_open=10)
    claim = store.claim(FEEDBACK)

    # Given feedback until 600, then some until 110, and the watermark between the two
    store.apply(FEEDBACK, claim, 1, thumbs(0, 1, "later", time_ms=500))
    store.apply(FEEDBACK, replace(claim, next_offset=1), 2, thumbs(200, 1, "earlier", time_ms=10))
    store.commit(0, [], {})
    assert store.counters().waiting == 2

    store.apply(FEEDBACK, replace(claim, next_offset=2), 3, arrivals(600))
    assert store.due(10).expired == 1
    store.commit(0, [], {})
    assert store.counters().feedback_dropped[FeedbackDrop.ORPHAN] == 2
    assert store.counters().imbalances() == []


def test_feedback_that_comes_between_the_listing_of_a_window_and_its_commit_is_late(store: ReplayStore) -> None:
    claims = {partition: store.claim(partition) for partition in (DECISIONS, FEEDBACK)}
    store.apply(DECISIONS, claims[DECISIONS], 6, arrivals(5_000, 1))
    store.apply(FEEDBACK, claims[FEEDBACK], 1, arrivals(5_000))
    due = store.due(10)

    store.apply(FEEDBACK, replace(claims[FEEDBACK], next_offset=1), 2, thumbs(5_000, 1, "thumb", time_ms=5_000))
    store.commit(due.sequence, [ClosedWindow(due.windows[0].decision_key, None, b"outcome")], {})

    assert store.counters().feedback_dropped[FeedbackDrop.LATE] == 1
    assert store.counters().imbalances() == []


def test_windows_close_once_and_in_order_of_deadline_then_id(store: ReplayStore) -> None:
    for partition, batch in ((DECISIONS, arrivals(5_000, 3, 1, 2)), (FEEDBACK, arrivals(5_000))):
        claim = store.claim(partition)
        store.apply(partition, claim, claim.next_offset + 1, batch)

    due = store.due(10)
    assert [int.from_bytes(window.decision_key) for window in due.windows] == [1, 2, 3]
    closed = [ClosedWindow(window.decision_key, 0.5, b"outcome") for window in due.windows]

    assert store.commit(due.sequence, closed, {})
    assert not store.commit(due.sequence, closed, {}), "a second worker, or a repeated call"
    assert store.counters().outcomes == 3


def test_windows_that_were_listed_at_another_sequence_are_not_closed(store: ReplayStore) -> None:
    # As after a store went back: the window is open and due, and yet others come before it.
    for partition, batch in ((DECISIONS, arrivals(5_000, 1, 2)), (FEEDBACK, arrivals(5_000))):
        claim = store.claim(partition)
        store.apply(partition, claim, claim.next_offset + 1, batch)

    assert not store.commit(1, [ClosedWindow((2).to_bytes(16), 0.5, b"outcome")], {})
    assert len(store.due(10).windows) == 2


def test_a_window_that_is_not_due_cannot_be_closed(store: ReplayStore) -> None:
    store.apply(DECISIONS, store.claim(DECISIONS), 6, arrivals(0, 1))

    assert not store.commit(0, [ClosedWindow((1).to_bytes(16), 0.5, b"outcome")], {})


DUE = [number.to_bytes(16) for number in range(1, 6)]
HALF, ANN = struct.pack("<f", 0.5), user_key("ann")


@pytest.mark.parametrize(
    "words",
    [
        [DUE[0] + b"\0", HALF, ANN, 0, "", 1, b"outcome"],
        [DUE[0], b"", ANN, 0, "", 1, b"outcome"],
        [DUE[0], HALF, b"", 0, "", 1, b"outcome"],
        [DUE[0], HALF, ANN, "many", "", 1, b"outcome"],
        [DUE[0], HALF, ANN, 0, "", "many", b"outcome"],
        [DUE[0], HALF, ANN, 0, "", 2, b"outcome"],
        [DUE[0], HALF, ANN, 0, "", 1],
        [DUE[0], HALF, ANN, 0, "", 0, b"outcome"],
        pytest.param([b"".join(DUE), HALF * 5, ANN * 5, 0, "", 5, b"outcomes"], id="more than the ring has slots"),
    ],
)
def test_a_malformed_closing_is_refused_before_anything_is_written(
    client: Redis, prefix: str, words: list[bytes | str | int]
) -> None:
    store = ReplayStore(client, prefix)
    store.register({DECISIONS: 5}, capacity=4, max_open=9)
    store.apply(DECISIONS, store.claim(DECISIONS), 6, arrivals(5_000, *range(1, 6)))
    before = contents(client, prefix)

    assert Scripts(client, prefix).call("commit", 0, *words)[0] == b"BAD"
    assert contents(client, prefix) == before


@pytest.mark.parametrize("script", ["exclude", "forget"])
def test_a_list_that_is_cut_off_takes_nothing_out(store: ReplayStore, client: Redis, prefix: str, script: str) -> None:
    store.apply(DECISIONS, store.claim(DECISIONS), 6, arrivals(0, 1))
    slot = b"\0\0\0\0" if script == "exclude" else b""
    field = payload_field(1_001, DUE[0])
    before = contents(client, prefix)

    assert Scripts(client, prefix).call(script, slot + field + slot + field[:-1])[0] == b"BAD"
    assert contents(client, prefix) == before


def test_a_window_with_another_deadline_is_not_the_one_to_forget(
    store: ReplayStore, client: Redis, prefix: str
) -> None:
    store.apply(DECISIONS, store.claim(DECISIONS), 6, arrivals(0, 1))
    before = contents(client, prefix)

    assert store.exclusion.forget([payload_field(999, DUE[0])]) == 0
    assert contents(client, prefix) == before


def close_all(store: ReplayStore, first: int, *deadlines_ms: int, user: str | None = "ann", limit: int = 2) -> None:
    """Lets one decision for each deadline in, in this order, and closes it with the reward 1."""
    claims = {partition: store.claim(partition) for partition in (DECISIONS, FEEDBACK)}
    for number, deadline_ms in enumerate(deadlines_ms, first):
        decided = arrivals(deadline_ms, number, deadline_ms=deadline_ms - number)
        for partition, batch in ((DECISIONS, decided), (FEEDBACK, arrivals(deadline_ms))):
            claim = claims[partition]
            store.apply(partition, claim, claim.next_offset + 1, batch)
            claims[partition] = replace(claim, next_offset=claim.next_offset + 1)
        while due := store.due(2):
            made = [(it, b"" if it.published else b"outcome") for it in due.windows]
            closed = [ClosedWindow(it.decision_key, 1.0, outcome, user_key(user)) for it, outcome in made]
            assert store.commit(due.sequence, closed, {}, limit)


def send_all(store: ReplayStore) -> tuple[int, int]:
    """How many outcomes there were to send, and the number of the last."""
    count, last = 0, -1
    while found := unsent(store):
        count, last = count + found.outcomes.count(b"outcome"), found.last
        trim(store, found)
    return count, last


HOUR_MS = 3_600_000


def test_a_user_has_only_so_many_examples_in_an_hour_and_his_other_outcomes_keep_their_reward(
    store: ReplayStore, client: Redis, prefix: str
) -> None:
    close_all(store, 1, *range(HOUR_MS, HOUR_MS + 5))

    counters = store.counters()
    assert (counters.outcomes, counters.examples, counters.capped, counters.null_rewards) == (5, 2, 3, 0)
    assert counters.imbalances() == []
    assert send_all(store) == (5, 4)
    assert client.hlen(store_key(prefix, "o")) == 2, "payloads of what makes no example go"


def test_limits_outlast_the_worker_and_begin_anew_with_the_hour(store: ReplayStore, client: Redis, prefix: str) -> None:
    close_all(store, 10, HOUR_MS - 1, HOUR_MS, user="bob")
    close_all(store, 1, HOUR_MS, HOUR_MS + 1)
    other = ReplayStore(client, prefix)
    other.attach()
    close_all(other, 3, HOUR_MS + 2)
    assert store.counters().capped == 1

    close_all(other, 4, 2 * HOUR_MS - 1, 2 * HOUR_MS)

    assert (store.counters().examples, store.counters().capped) == (5, 2)
    assert client.hgetall(store_key(prefix, "u")) == {user_key("ann"): b"1"}, "old hours go"


def test_an_hour_that_ends_within_a_batch_is_counted_apart(store: ReplayStore) -> None:
    for partition, batch in (
        (DECISIONS, arrivals(9 * HOUR_MS, 1, 2, deadline_ms=HOUR_MS - 2)),
        (FEEDBACK, arrivals(9 * HOUR_MS)),
    ):
        claim = store.claim(partition)
        store.apply(partition, claim, claim.next_offset + 1, batch)
    due = store.due(10)

    closed = [ClosedWindow(window.decision_key, 1.0, b"outcome", user_key("ann")) for window in due.windows]
    store.commit(due.sequence, closed, {}, user_limit=1)

    assert (store.counters().examples, store.counters().capped) == (2, 0)


def test_nobody_and_a_limit_of_none_are_not_limited(store: ReplayStore) -> None:
    close_all(store, 1, HOUR_MS, HOUR_MS + 1, HOUR_MS + 2, user=None)
    close_all(store, 4, HOUR_MS + 3, HOUR_MS + 4, HOUR_MS + 5, limit=0)

    assert (store.counters().examples, store.counters().capped) == (6, 0)


Rebuild: TypeAlias = Callable[[Mapping[SourcePartition, int], Published | None], None]


@pytest.fixture
def again(store: ReplayStore, client: Redis, prefix: str) -> Rebuild:
    """Makes the store anew from these offsets."""

    def rebuild(starts: Mapping[SourcePartition, int], published: Published | None) -> None:
        rebuild_store(client, prefix, starts=starts, capacity=4, max_open=3, published=published)
        store.attach()

    return rebuild


def test_a_rebuilt_store_publishes_nothing_twice_and_numbers_without_holes(store: ReplayStore, again: Rebuild) -> None:
    # Given outcomes 0 to 4 on the log, and a log that has lost the first two decisions
    close_all(store, 1, 1_000, 2_000, 3_000, 4_000, 5_000)
    newest = Published(4, 5_000, (5).to_bytes(16))

    before = store.incarnation
    again({DECISIONS: 2, FEEDBACK: 0}, newest)

    assert store.incarnation != before
    close_all(store, 3, 3_000, 4_000, 5_000, limit=0)
    assert store.counters().examples == 3
    assert unsent(store) is None
    close_all(
        store, 6, 5_000, 6_000, limit=0
    )  # the first of these has the same deadline and a larger id: it was not published
    assert send_all(store) == (2, 6)


def test_what_closed_before_the_newest_outcome_is_told_from_what_closed_after_by_deadline_then_id(
    store: ReplayStore, again: Rebuild
) -> None:
    again({DECISIONS: 5, FEEDBACK: 0}, Published(7, 1_001, (2).to_bytes(16)))
    decisions = replace(arrivals(5_000, 1, 2, 3), deadlines="0000000001001" * 3)
    for partition, batch in ((DECISIONS, decisions), (FEEDBACK, arrivals(5_000))):
        claim = store.claim(partition)
        store.apply(partition, claim, claim.next_offset + 1, batch)

    due = store.due(10)

    assert [window.published for window in due.windows] == [True, True, False]
    assert (due.sequence, due.next_outcome) == (0, 8)


def test_a_rebuild_takes_damaged_keys_away_and_leaves_anchors(
    store: ReplayStore, client: Redis, prefix: str, again: Rebuild
) -> None:
    client.rpush(store_key(prefix, "a"), "anchor")
    client.delete(store_key(prefix, "d"))
    client.set(store_key(prefix, "d"), "damaged")

    again({DECISIONS: 9, FEEDBACK: 0}, None)

    assert store.claim(DECISIONS).next_offset == 9
    assert client.llen(store_key(prefix, "a")) == 1


def test_trimming_never_takes_outcomes_that_were_not_acknowledged(store: ReplayStore) -> None:
    for partition, batch in ((DECISIONS, arrivals(5_000, 1, 2, 3)), (FEEDBACK, arrivals(5_000))):
        claim = store.claim(partition)
        store.apply(partition, claim, claim.next_offset + 1, batch)
    for limit in (2, 1):
        due = store.due(limit)
        outcomes = [ClosedWindow(it.decision_key, None, b"%d," % it.decision_key[-1]) for it in due.windows]
        store.commit(due.sequence, outcomes, {})

    # Two workers sent the outcomes of the first commit, and both trim.
    assert unsent(store) == Unsent(2, b"1,2,3,")
    for _ in range(2):
        trim(store, Unsent(1, b"1,2,"))

    assert unsent(store) == Unsent(2, b"3,")


def test_scripts_that_the_server_forgot_are_sent_again(store: ReplayStore, client: Redis) -> None:
    client.script_flush()

    assert store.claim(DECISIONS).next_offset == 5

    client.script_flush()
    assert store.turn(1).result().due.windows == []


def test_a_malformed_closing_is_refused_in_a_turn_too(store: ReplayStore, client: Redis, prefix: str) -> None:
    store.apply(DECISIONS, store.claim(DECISIONS), 6, arrivals(5_000, 1))
    store.apply(FEEDBACK, store.claim(FEEDBACK), 1, arrivals(5_000))
    before = contents(client, prefix)

    with pytest.raises(StoreError, match="BAD"):
        store.turn(1, Commit(0, [ClosedWindow(b"no key", 1.0, b"outcome")], {})).result()
    assert contents(client, prefix) == before


def test_a_turn_lists_what_is_due_behind_what_it_closes(store: ReplayStore) -> None:
    store.apply(DECISIONS, store.claim(DECISIONS), 6, arrivals(5_000, 1, 2, 3))
    store.apply(FEEDBACK, store.claim(FEEDBACK), 1, arrivals(5_000))
    due = store.due(2)
    closed = [ClosedWindow(window.decision_key, 1.0, b"outcome") for window in due.windows]

    turn = store.turn(2, Commit(due.sequence, closed, {})).result()

    assert [window.decision_key[-1] for window in turn.due.windows] == [3]
    assert (turn.due.sequence, turn.unsent) == (2, Unsent(1, b"outcome" * 2))
    assert store.turn(2, ask_unsent=False).result().unsent is None


def test_a_server_that_is_away_is_an_error_and_not_a_wait(prefix: str) -> None:
    away = ReplayStore(connect(RedisConfig(url=SecretStr("redis://127.0.0.1:1/0"))), prefix)

    with pytest.raises(StoreError, match=r"redis\.url"):
        away.attach()


@pytest.fixture
def settings(client: Redis) -> Iterator[Redis]:
    right = cast("dict[str, str]", client.config_get("maxmemory", "maxmemory-policy", "appendonly"))
    yield client
    for name, value in right.items():
        client.config_set(name, value)
    wait_until(lambda: not client.info("persistence")["aof_rewrite_in_progress"], 10)  # it would refuse to stop


def test_the_right_settings_pass(settings: Redis) -> None:
    check_settings(settings)
    check_memory(settings, 64 * 1024**2)


@pytest.mark.parametrize(
    ("name", "wrong", "remedy"),
    [
        ("appendonly", "no", "CONFIG SET appendonly yes"),
        ("maxmemory-policy", "allkeys-lru", "CONFIG SET maxmemory-policy noeviction"),
        ("maxmemory", "0", "CONFIG SET maxmemory 2gb"),
    ],
)
def test_a_server_that_would_lose_examples_is_refused_with_the_command_that_helps(
    settings: Redis, name: str, wrong: str, remedy: str
) -> None:
    settings.config_set(name, wrong)

    with pytest.raises(StoreError, match=remedy) as refusal:
        check_settings(settings)
    assert str(refusal.value).count("CONFIG SET") == 1, "only what is wrong is named"


def test_all_wrong_settings_are_named_at_once(settings: Redis) -> None:
    settings.config_set("appendonly", "no")
    settings.config_set("maxmemory", "0")

    with pytest.raises(StoreError, match=r"maxmemory is not set.*appendonly is no"):
        check_settings(settings)


def test_a_limit_below_what_the_budget_allows_is_refused_with_both_figures(settings: Redis) -> None:
    settings.config_set("maxmemory", "100mb")

    check_memory(settings, 100 * 1024**2)
    with pytest.raises(StoreError, match=r"100 MiB .* 101 MiB.*CONFIG SET maxmemory 101mb.*streaming\.max_open"):
        check_memory(settings, 101 * 1024**2)


def test_a_server_at_its_limit_still_takes_records_in_closes_windows_and_frees_memory(
    settings: Redis, store: ReplayStore
) -> None:
    # Refusing a tick would stop the watermark: no window would close, and no memory ever be freed.
    settings.config_set("maxmemory", "1mb")
    with pytest.raises(RedisError, match="maxmemory"):
        settings.set("anything", "else")

    for partition, batch in ((DECISIONS, arrivals(5_000, 1, 2)), (FEEDBACK, arrivals(5_000))):
        claim = store.claim(partition)
        assert store.apply(partition, claim, claim.next_offset + 1, batch) is Applied.DONE
    due = store.due(10)
    assert store.commit(due.sequence, [ClosedWindow(it.decision_key, None, b"outcome") for it in due.windows], {})
    sent = Unsent(1, b"outcome" * 2)
    assert unsent(store) == sent
    trim(store, sent)

    assert (store.counters().open, unsent(store)) == (0, None)


def test_a_store_whose_budget_is_used_up_takes_no_more_memory_than_it_says(client: Redis, prefix: str) -> None:
    # Given as many windows as may be open, each with as much feedback as it may have
    open_windows, payload_bytes = 2_000, 400
    store = ReplayStore(client, prefix)
    store.register({DECISIONS: 0, FEEDBACK: 0}, capacity=100, max_open=open_windows)
    ids = [number.to_bytes(16) for number in range(open_windows)]
    decided = replace(arrivals(0, *range(open_windows)), payloads=[b"x" * payload_bytes] * open_windows)
    store.apply(DECISIONS, store.claim(DECISIONS), 1, decided)
    claim = store.claim(FEEDBACK)
    for number in range(8):
        entry = FeedbackEntry(feedback_key(f"thumb-{number}"), source_key("user"), 10, 10, 1.0, 1).pack()
        said = replace(arrivals(0), targets=b"".join(ids), feedback=entry * open_windows)
        store.apply(FEEDBACK, replace(claim, next_offset=number), number + 1, said)
    assert store.counters().open == open_windows

    taken = read_stats(client, prefix).memory_bytes

    assert taken < largest_store_bytes(open_windows, 100, 0, payload_bytes)
    assert taken > largest_store_bytes(open_windows, 100, 0, payload_bytes) / 2, "or the limit would be far too high"
