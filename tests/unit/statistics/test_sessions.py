import doctest
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ol0.statistics import sessions
from ol0.statistics.columns import Row
from ol0.statistics.sessions import SESSION_DECISIONS, OpenSessions, SessionCollector
from unit.statistics.stored import dumped, loaded, restored

GAP_MS = 60_000


def collector(*decisions: tuple[str, int]) -> SessionCollector[int]:
    """Open sessions; each decision's item is its time."""
    collected = SessionCollector[int](GAP_MS)
    for key, end_ms in decisions:
        collected.add(key, end_ms, end_ms)
    return collected


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(sessions).failed == 0


def test_a_session_is_complete_after_the_gap_and_not_before() -> None:
    open_sessions = collector(("ann", 0), ("ann", 50_000))
    assert open_sessions.due(109_999) == []
    (session,) = open_sessions.due(110_000)
    assert session.items == (0, 50_000)
    assert len(open_sessions) == 0


def test_sessions_come_out_by_their_end_whatever_order_they_came_in() -> None:
    open_sessions = collector(("late", 30_000), ("early", 10_000), ("middle", 20_000))
    assert [session.items for session in open_sessions.due(200_000)] == [(10_000,), (20_000,), (30_000,)]


def test_a_session_that_speaks_again_after_the_gap_is_another_one() -> None:
    open_sessions = collector(("ann", 0))
    assert len(open_sessions.due(60_000)) == 1
    open_sessions.add("ann", 90_000, 90_000)
    assert [session.items for session in open_sessions.due(150_000)] == [(90_000,)]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 500_000)), max_size=20), st.integers(0, 600_000))
def test_a_restored_collector_gives_the_same_sessions(decisions: list[tuple[str, int]], now_ms: int) -> None:
    first = collector(*decisions)
    second = SessionCollector[int](GAP_MS)

    def encode(item: int) -> Row:
        return [item]

    second.restore(restored(first.snapshot(encode)), lambda row: int(row[0] or 0))
    assert first.due(now_ms) == second.due(now_ms)
    assert first.due(10**9) == second.due(10**9)


def test_names_cost_nothing_however_long_they_are() -> None:
    long, short = collector(("x" * 1_000_000, 0), ("y" * 1_000_000, 1)), collector(("x", 0), ("y", 1))
    sizes = [len(dumped(one.snapshot(lambda item: [item]))) for one in (long, short)]
    assert abs(sizes[0] - sizes[1]) < 20


def test_eighty_thousand_open_sessions_take_one_megabyte() -> None:
    random = Random(1)
    open_sessions = SessionCollector[tuple[bool, float | None]](GAP_MS)
    for number in range(80_000):
        vote = (random.random() < 0.9, random.choice((None, 0.0, 0.25, 1.0)))
        open_sessions.add(f"session {number}", number // 2, vote)
    body = dumped(open_sessions.snapshot(list))
    assert len(body) < 1_300_000
    other = SessionCollector[Row](GAP_MS)
    other.restore(loaded(OpenSessions, body), lambda row: row)
    assert [session.items for session in other.due(10**9)] == [session.items for session in open_sessions.due(10**9)]


def test_where_too_many_are_open_the_oldest_are_complete_early_and_counted() -> None:
    few = SessionCollector[int](GAP_MS, largest=2)
    for number, key in enumerate("abcd"):
        few.add(key, number, number)
    assert [session.items for session in few.due(3)] == [(0,), (1,)]
    assert few.closed_early == 2
    resumed = SessionCollector[int](GAP_MS, largest=2)
    resumed.restore(few.snapshot(lambda item: [item]), lambda row: int(row[0] or 0))
    assert resumed.closed_early == 2
    assert [session.items for session in resumed.due(10**9)] == [(2,), (3,)]
    assert resumed.closed_early == 2


def test_a_session_that_never_falls_silent_is_another_one_after_ten_thousand_decisions() -> None:
    endless = SessionCollector[int](GAP_MS)
    for number in range(2 * SESSION_DECISIONS + 1):
        endless.add("on and on", number, number)
    assert [len(session.items) for session in endless.due(10**9)] == [SESSION_DECISIONS, SESSION_DECISIONS, 1]
    endless.add("on and on", 10**9, 0)
    assert [len(session.items) for session in endless.due(10**10)] == [1]


@pytest.mark.parametrize("damage", [{"digests": "?"}, {"sizes": "eJwDAAAAAAE="}, {"columns": []}, {"ends": "AAAA"}])
def test_a_damaged_snapshot_is_refused_in_one_way(damage: dict[str, Any]) -> None:
    whole = collector(("ann", 1), ("ben", 2)).snapshot(lambda item: [item])
    damaged = replace(whole, **damage)
    with pytest.raises(ValueError):  # noqa: PT011 - what numpy and base64 say differs, and no feedback process reads it
        SessionCollector[int](GAP_MS).restore(damaged, lambda row: int(row[0] or 0))
