"""Closing windows, publishing outcomes, and limits of users."""

import struct
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeAlias

import pytest
from pydantic import SecretStr
from redis import Redis

from contract.store_calls import DECISIONS, FEEDBACK, arrivals, commit, due_windows, trim, unsent
from contract.store_keys import contents
from ol0.config import RedisConfig
from ol0.errors import StoreError
from ol0.records import Partition
from ol0.replay.connection import connect
from ol0.replay.layout import Key, payload_field, store_key, user_key
from ol0.replay.protocol import ClosedWindow, Commit, Published, Unsent
from ol0.replay.rebuild import rebuild_store
from ol0.replay.script_runner import Scripts
from ol0.replay.store import ReplayStore


def test_windows_close_once_and_in_order_of_deadline_then_id(store: ReplayStore) -> None:
    for partition, batch in ((DECISIONS, arrivals(5_000, 3, 1, 2)), (FEEDBACK, arrivals(5_000))):
        claim = store.claim(partition)
        store.apply(partition, claim, claim.next_offset + 1, batch).result()

    due = due_windows(store, 10)
    assert [int.from_bytes(window.decision_key) for window in due.windows] == [1, 2, 3]
    closed = [ClosedWindow(window.decision_key, 0.5, b"outcome") for window in due.windows]

    assert commit(store, due.sequence, closed, {})
    assert not commit(store, due.sequence, closed, {}), "a second worker, or a repeated call"
    assert store.counters().outcomes == 3


def test_windows_that_were_listed_at_another_sequence_are_not_closed(store: ReplayStore) -> None:
    # As after a store went back: the window is open and due, and yet others come before it.
    for partition, batch in ((DECISIONS, arrivals(5_000, 1, 2)), (FEEDBACK, arrivals(5_000))):
        claim = store.claim(partition)
        store.apply(partition, claim, claim.next_offset + 1, batch).result()

    assert not commit(store, 1, [ClosedWindow((2).to_bytes(16), 0.5, b"outcome")], {})
    assert len(due_windows(store, 10).windows) == 2


def test_a_window_that_is_not_due_cannot_be_closed(store: ReplayStore) -> None:
    store.apply(DECISIONS, store.claim(DECISIONS), 6, arrivals(0, 1)).result()

    assert not commit(store, 0, [ClosedWindow((1).to_bytes(16), 0.5, b"outcome")], {})


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
    store.apply(DECISIONS, store.claim(DECISIONS), 6, arrivals(5_000, *range(1, 6))).result()
    before = contents(client, prefix)

    assert Scripts(client, prefix).call("commit", 0, *words)[0] == b"BAD"
    assert contents(client, prefix) == before


@pytest.mark.parametrize("script", ["exclude", "forget"])
def test_a_list_that_is_cut_off_takes_nothing_out(store: ReplayStore, client: Redis, prefix: str, script: str) -> None:
    store.apply(DECISIONS, store.claim(DECISIONS), 6, arrivals(0, 1)).result()
    slot = b"\0\0\0\0" if script == "exclude" else b""
    field = payload_field(1_001, DUE[0])
    before = contents(client, prefix)

    assert Scripts(client, prefix).call(script, slot + field + slot + field[:-1])[0] == b"BAD"
    assert contents(client, prefix) == before


def test_a_window_with_another_deadline_is_not_the_one_to_forget(
    store: ReplayStore, client: Redis, prefix: str
) -> None:
    store.apply(DECISIONS, store.claim(DECISIONS), 6, arrivals(0, 1)).result()
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
            store.apply(partition, claim, claim.next_offset + 1, batch).result()
            claims[partition] = replace(claim, next_offset=claim.next_offset + 1)
        while due := due_windows(store, 2):
            made = [(it, b"" if it.published else b"outcome") for it in due.windows]
            closed = [ClosedWindow(it.decision_key, 1.0, outcome, user_key(user)) for it, outcome in made]
            assert commit(store, due.sequence, closed, {}, limit)


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
    assert client.hlen(store_key(prefix, Key.PAYLOADS)) == 2, "payloads of what makes no example go"


def test_limits_outlast_the_worker_and_begin_anew_with_the_hour(store: ReplayStore, client: Redis, prefix: str) -> None:
    close_all(store, 10, HOUR_MS - 1, HOUR_MS, user="bob")
    close_all(store, 1, HOUR_MS, HOUR_MS + 1)
    other = ReplayStore(client, prefix)
    other.attach()
    close_all(other, 3, HOUR_MS + 2)
    assert store.counters().capped == 1

    close_all(other, 4, 2 * HOUR_MS - 1, 2 * HOUR_MS)

    assert (store.counters().examples, store.counters().capped) == (5, 2)
    assert client.hgetall(store_key(prefix, Key.USERS)) == {user_key("ann"): b"1"}, "old hours go"


def test_an_hour_that_ends_within_a_batch_is_counted_apart(store: ReplayStore) -> None:
    for partition, batch in (
        (DECISIONS, arrivals(9 * HOUR_MS, 1, 2, deadline_ms=HOUR_MS - 2)),
        (FEEDBACK, arrivals(9 * HOUR_MS)),
    ):
        claim = store.claim(partition)
        store.apply(partition, claim, claim.next_offset + 1, batch).result()
    due = due_windows(store, 10)

    closed = [ClosedWindow(window.decision_key, 1.0, b"outcome", user_key("ann")) for window in due.windows]
    commit(store, due.sequence, closed, {}, user_limit=1)

    assert (store.counters().examples, store.counters().capped) == (2, 0)


def test_nobody_and_a_limit_of_none_are_not_limited(store: ReplayStore) -> None:
    close_all(store, 1, HOUR_MS, HOUR_MS + 1, HOUR_MS + 2, user=None)
    close_all(store, 4, HOUR_MS + 3, HOUR_MS + 4, HOUR_MS + 5, limit=0)

    assert (store.counters().examples, store.counters().capped) == (6, 0)


Rebuild: TypeAlias = Callable[[Mapping[Partition, int], Published | None, int], None]


@pytest.fixture
def again(store: ReplayStore, client: Redis, prefix: str) -> Rebuild:
    """Makes the store anew from these offsets."""

    def rebuild(starts: Mapping[Partition, int], published: Published | None, next_outcome: int) -> None:
        sizes = {"capacity": 4, "max_open": 3, "next_outcome": next_outcome}
        rebuild_store(client, prefix, starts=starts, published=published, **sizes)
        store.attach()

    return rebuild


def test_a_rebuilt_store_publishes_nothing_twice_and_numbers_without_holes(store: ReplayStore, again: Rebuild) -> None:
    # Given outcomes 0 to 4 on the log, and a log that has lost the first two decisions
    close_all(store, 1, 1_000, 2_000, 3_000, 4_000, 5_000)
    newest = Published(4, 5_000, (5).to_bytes(16))

    before = store.incarnation
    again({DECISIONS: 2, FEEDBACK: 0}, newest, 5)

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
    again({DECISIONS: 5, FEEDBACK: 0}, Published(7, 1_001, (2).to_bytes(16)), 8)
    decisions = replace(arrivals(5_000, 1, 2, 3), deadlines="0000000001001" * 3)
    for partition, batch in ((DECISIONS, decisions), (FEEDBACK, arrivals(5_000))):
        claim = store.claim(partition)
        store.apply(partition, claim, claim.next_offset + 1, batch).result()

    due = due_windows(store, 10)

    assert [window.published for window in due.windows] == [True, True, False]
    assert (due.sequence, due.next_outcome) == (0, 8)


def test_where_outcomes_have_expired_a_rebuilt_store_begins_above_their_numbers(
    store: ReplayStore, again: Rebuild
) -> None:
    again({DECISIONS: 5, FEEDBACK: 0}, None, 1_000)

    close_all(store, 1, 1_000, limit=0)

    assert send_all(store) == (1, 1_000)


def test_a_rebuild_takes_damaged_keys_away_and_leaves_anchors(
    store: ReplayStore, client: Redis, prefix: str, again: Rebuild
) -> None:
    client.rpush(store_key(prefix, Key.ANCHORS), "anchor")
    client.delete(store_key(prefix, Key.OPEN))
    client.set(store_key(prefix, Key.OPEN), "damaged")

    again({DECISIONS: 9, FEEDBACK: 0}, None, 0)

    assert store.claim(DECISIONS).next_offset == 9
    assert client.llen(store_key(prefix, Key.ANCHORS)) == 1


def test_trimming_never_takes_outcomes_that_were_not_acknowledged(store: ReplayStore) -> None:
    for partition, batch in ((DECISIONS, arrivals(5_000, 1, 2, 3)), (FEEDBACK, arrivals(5_000))):
        claim = store.claim(partition)
        store.apply(partition, claim, claim.next_offset + 1, batch).result()
    for limit in (2, 1):
        due = due_windows(store, limit)
        outcomes = [ClosedWindow(it.decision_key, None, b"%d," % it.decision_key[-1]) for it in due.windows]
        commit(store, due.sequence, outcomes, {})

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
    store.apply(DECISIONS, store.claim(DECISIONS), 6, arrivals(5_000, 1)).result()
    store.apply(FEEDBACK, store.claim(FEEDBACK), 1, arrivals(5_000)).result()
    before = contents(client, prefix)

    with pytest.raises(StoreError, match="BAD"):
        store.turn(1, Commit(0, [ClosedWindow(b"no key", 1.0, b"outcome")], {})).result()
    assert contents(client, prefix) == before


def test_a_turn_lists_what_is_due_behind_what_it_closes(store: ReplayStore) -> None:
    store.apply(DECISIONS, store.claim(DECISIONS), 6, arrivals(5_000, 1, 2, 3)).result()
    store.apply(FEEDBACK, store.claim(FEEDBACK), 1, arrivals(5_000)).result()
    due = due_windows(store, 2)
    closed = [ClosedWindow(window.decision_key, 1.0, b"outcome") for window in due.windows]

    turn = store.turn(2, Commit(due.sequence, closed, {})).result()

    assert [window.decision_key[-1] for window in turn.due.windows] == [3]
    assert (turn.due.sequence, turn.unsent) == (2, Unsent(1, b"outcome" * 2))
    assert store.turn(2, ask_unsent=False).result().unsent is None


def test_a_server_that_is_away_is_an_error_and_not_a_wait(prefix: str) -> None:
    away = ReplayStore(connect(RedisConfig(url=SecretStr("redis://127.0.0.1:1/0"))), prefix)

    with pytest.raises(StoreError, match=r"redis\.url"):
        away.attach()
