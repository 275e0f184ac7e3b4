import doctest
import json
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ol0.statistics import sessions
from ol0.statistics.sessions import LARGEST_WAIT, OutcomeClock, Row, SessionCollector

GAP_MS = 60_000
PATIENCE_MS = 600_000


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
    assert [session.key for session in open_sessions.due(200_000)] == ["early", "middle", "late"]


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

    second.restore(json.loads(json.dumps(first.snapshot(encode))), lambda row: int(row[0] or 0))
    assert first.due(now_ms) == second.due(now_ms)
    assert first.due(10**9) == second.due(10**9)


def test_time_waits_for_the_slowest_partition() -> None:
    clock = OutcomeClock(PATIENCE_MS)
    clock.take(0, 1_000)
    for sequence in range(2, 50):  # another partition is read ahead
        clock.take(sequence, 1_000 * sequence)
    assert clock.now_ms == 1_000
    clock.take(1, 1_500)
    assert clock.now_ms == 49_000


def test_a_tick_moves_time_only_when_no_outcome_is_outstanding() -> None:
    clock = OutcomeClock(PATIENCE_MS)
    clock.take(0, 1_000)
    clock.tick(20_000)
    assert clock.now_ms == 20_000
    other = OutcomeClock(PATIENCE_MS)
    other.take(0, 1_000)
    other.take(2, 3_000)
    other.tick(20_000)
    assert other.now_ms == 1_000


def test_the_wall_does_not_cut_sessions_whose_outcomes_come_late() -> None:
    # Decisions every 20 s; outcomes come a lateness of 60 s after their windows end, and the wall ticks meanwhile.
    clock, open_sessions = OutcomeClock(PATIENCE_MS, lag_ms=PATIENCE_MS), SessionCollector[int](GAP_MS)
    for number in range(5):
        end_ms = 20_000 * number
        clock.take(number, end_ms)
        open_sessions.add("ann", end_ms, number)
        clock.tick(end_ms + 60_000)
        assert clock.now_ms is not None
        assert open_sessions.due(clock.now_ms) == []
    clock.tick(80_000 + GAP_MS + PATIENCE_MS)
    assert clock.now_ms == 80_000 + GAP_MS
    assert [session.items for session in open_sessions.due(clock.now_ms)] == [(0, 1, 2, 3, 4)]


def test_a_tick_without_a_time_says_nothing() -> None:
    clock = OutcomeClock(PATIENCE_MS)
    clock.tick(None)
    assert clock.now_ms is None


def test_an_outcome_that_does_not_come_is_given_up_when_patience_ends() -> None:
    clock = OutcomeClock(PATIENCE_MS)
    clock.take(0, 0)
    clock.take(2, PATIENCE_MS)
    assert clock.now_ms == 0
    clock.take(3, PATIENCE_MS + 1)
    assert clock.now_ms == PATIENCE_MS + 1
    assert not clock.take(1, 500), "what was given up must not come in as new"


def test_an_outcome_that_does_not_come_is_given_up_when_too_many_wait() -> None:
    clock = OutcomeClock(PATIENCE_MS)
    for sequence in range(1, LARGEST_WAIT + 2):
        clock.take(sequence, 7)
    assert clock.now_ms == 7
    assert clock.snapshot()["ahead"] == []


def test_a_log_that_begins_late_is_taken_after_patience() -> None:
    clock = OutcomeClock(PATIENCE_MS)
    clock.take(5_000, 1_000)
    clock.take(5_001, 2_000 + PATIENCE_MS)
    assert clock.now_ms == 2_000 + PATIENCE_MS


@pytest.mark.parametrize("seed", range(5))
def test_any_interleaving_and_repeats_give_every_outcome_once(seed: int) -> None:
    random = Random(seed)
    partitions = [[number for number in range(60) if number % 3 == part] for part in range(3)]
    arrivals: list[int] = []
    while any(partitions):
        partition = random.choice([one for one in partitions if one])
        arrivals += partition[:1] * random.choice((1, 1, 2))
        del partition[0]
    clock = OutcomeClock(PATIENCE_MS)
    taken = []
    for number in arrivals:
        if clock.take(number, 1_000 * number):
            taken.append(number)
        resumed = OutcomeClock(PATIENCE_MS)
        resumed.restore(json.loads(json.dumps(clock.snapshot())))
        clock = resumed
    assert sorted(taken) == list(range(60))
    assert clock.now_ms == 59_000
