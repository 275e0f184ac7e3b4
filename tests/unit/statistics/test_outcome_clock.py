import doctest
from random import Random

import pytest

from ol0.statistics import outcome_clock
from ol0.statistics.outcome_clock import LARGEST_HOLES, LARGEST_WAIT, ClockState, OutcomeClock
from ol0.statistics.sessions import SessionCollector
from unit.statistics.stored import loaded, restored

GAP_MS = 60_000
PATIENCE_MS = 600_000


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(outcome_clock).failed == 0


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
    assert clock.take(1, 500), "what was given up, and comes after all, is no repeat"
    assert not clock.take(1, 500)
    assert clock.now_ms == PATIENCE_MS + 1


def test_an_outcome_that_does_not_come_is_given_up_when_too_many_wait() -> None:
    clock = OutcomeClock(PATIENCE_MS)
    for sequence in range(1, LARGEST_WAIT + 2):
        clock.take(sequence, 7)
    assert clock.now_ms == 7
    assert clock.state.ahead == {}


def test_a_log_that_begins_late_is_taken_after_patience() -> None:
    clock = OutcomeClock(PATIENCE_MS)
    clock.take(5_000, 1_000)
    clock.take(5_001, 2_000 + PATIENCE_MS)
    assert clock.now_ms == 2_000 + PATIENCE_MS


def test_a_partition_that_is_read_much_later_loses_nothing() -> None:
    # Given every third outcome on a partition that nobody reads yet, and far more of the others than may wait.
    clock, total = OutcomeClock(PATIENCE_MS), 3 * LARGEST_WAIT
    taken = [number for number in range(total) if number % 3 and clock.take(number, number)]
    # When it is read after all, with a restart before and a repeat of each, then each counts once.
    clock = resumed(clock)
    late = [number for number in range(0, total, 3) for _ in range(2) if clock.take(number, number)]
    assert sorted(taken + late) == list(range(total))
    assert clock.state.holes == []


def test_numbers_that_jump_ahead_cost_no_outcome_and_no_more_time_than_patience() -> None:
    clock = OutcomeClock(PATIENCE_MS)
    clock.take(0, 0)
    jumped = range(10_000_000, 10_000_100)
    step_ms = PATIENCE_MS // 50
    assert all(clock.take(number, step_ms * (number - jumped.start)) for number in jumped)
    assert clock.now_ms == step_ms * 99
    assert clock.state.holes == [(1, 10_000_000)]


def test_of_too_many_holes_the_oldest_are_forgotten() -> None:
    clock = OutcomeClock(PATIENCE_MS)
    for number in range(1, 4 * LARGEST_HOLES, 2):
        clock.take(number, (PATIENCE_MS + 1) * number)
    assert len(clock.state.holes) == LARGEST_HOLES
    assert not clock.take(0, 0)
    assert clock.take(4 * LARGEST_HOLES - 2, 0)


def test_a_snapshot_of_an_earlier_version_has_no_holes() -> None:
    clock = OutcomeClock(PATIENCE_MS)
    clock.state = loaded(ClockState, b'{"expected": 5, "time_ms": 7, "newest_ms": 7, "tick_ms": null, "ahead": []}')
    assert not clock.take(4, 7)
    assert clock.take(5, 8)


def resumed(clock: OutcomeClock) -> OutcomeClock:
    other = OutcomeClock(PATIENCE_MS)
    other.state = restored(clock.state)
    return other


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
        clock = resumed(clock)
    assert sorted(taken) == list(range(60))
    assert clock.now_ms == 59_000
