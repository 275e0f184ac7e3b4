import doctest
import json
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ol0.statistics import betting
from ol0.statistics.betting import BettingTest, Null
from ol0.statistics.stored import FloatArray
from unit.statistics.stored import dumped, loaded, restored

ALPHA = 0.05
STREAMS = 200
LENGTH = 1000
# Three standard errors above ALPHA: a valid test is beyond it once in a thousand seeds, a naive one always.
TOLERATED = ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / STREAMS)

observations = st.lists(st.floats(-1, 1), min_size=1, max_size=40)
nulls = st.sampled_from(Null)


def fair_coins(rng: np.random.Generator) -> FloatArray:
    return rng.choice([-1.0, 1.0], LENGTH)


def rare_losses(rng: np.random.Generator) -> FloatArray:
    """Mean 0: nearly always a small gain, now and then everything lost. Deviations look small until then."""
    return np.where(rng.random(LENGTH) < 0.01, -0.99, 0.01)


def drifting_coins(rng: np.random.Generator) -> FloatArray:
    """Expected values of -.4 and then +.4 in turn: their average so far never exceeds 0."""
    expected = np.where(np.arange(LENGTH) // 100 % 2 == 0, -0.4, 0.4)
    return np.where(rng.random(LENGTH) < (1 + expected) / 2, 1.0, -1.0)


def naive_rejects(y: FloatArray) -> bool:
    """The fixed-n z test at every moment after the first fifty."""
    n = np.arange(1, len(y) + 1)
    mean = y.cumsum() / n
    deviation = np.sqrt(np.maximum((y * y).cumsum() / n - mean**2, 1e-12))
    return bool((mean / deviation * np.sqrt(n) > 1.645)[50:].any())


def test_the_docstring_examples_hold() -> None:
    assert doctest.testmod(betting).failed == 0


@pytest.mark.parametrize("stream", [fair_coins, rare_losses, drifting_coins])
@pytest.mark.parametrize("null", Null)
def test_a_true_null_rarely_falls_however_often_one_looks(
    stream: Callable[[np.random.Generator], FloatArray], null: Null
) -> None:
    sign = 1 if null is Null.AT_MOST else -1
    falls = 0
    for seed in range(STREAMS):
        test = BettingTest(null, 0.0, 1.0)
        test.update(sign * stream(np.random.default_rng(seed)))
        falls += test.rejects(ALPHA)
    assert falls / STREAMS <= TOLERATED


def test_the_same_check_finds_out_the_naive_test() -> None:
    falls = sum(naive_rejects(fair_coins(np.random.default_rng(seed))) for seed in range(STREAMS))
    assert falls / STREAMS > 3 * TOLERATED


def test_the_bound_stays_below_a_drifting_average_at_every_look() -> None:
    misses, streams = 0, 80
    for seed in range(streams):
        y = drifting_coins(np.random.default_rng(seed)).reshape(10, 100)
        average = np.cumsum(np.tile([-0.4, 0.4], 5)) / np.arange(1, 11)
        test = BettingTest(Null.AT_MOST, 0.0, 1.0)
        beyond = False
        for block, target in zip(y, average, strict=True):
            test.update(block)
            low = test.confidence_bound(ALPHA)
            beyond |= low is not None and low > target
        misses += beyond
    assert misses / streams <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / streams)


def test_a_real_effect_is_found_within_realistic_sizes() -> None:
    # A good candidate's sessions: .1 better with a deviation of .5.
    needed = []
    for seed in range(25):
        y = np.clip(np.random.default_rng(seed).normal(0.1, 0.5, 1000), -1.6, 1.6)
        test = BettingTest(Null.AT_MOST, 0.0, 1.6)
        for block in y.reshape(-1, 20):
            test.update(block)
            if test.rejects(ALPHA):
                break
        needed.append(test.count)
    assert np.median(needed) <= 300
    assert max(needed) < 1000


@settings(max_examples=30)
@given(nulls, observations, st.integers(0, 40))
def test_a_restored_snapshot_goes_on_to_the_bit(null: Null, y: list[float], cut: int) -> None:
    whole, first = BettingTest(null, 0.1, 1.0), BettingTest(null, 0.1, 1.0)
    for value in y:
        whole.update(value)
    for value in y[:cut]:
        first.update(value)
    second = restored(first)
    for value in y[cut:]:
        second.update(value)
    assert dumped(second) == dumped(whole)
    assert second.log_capital == whole.log_capital
    assert second.rejects(ALPHA) == whole.rejects(ALPHA)


@settings(max_examples=30)
@given(nulls, observations)
def test_many_at_once_are_the_same_as_one_by_one(null: Null, y: list[float]) -> None:
    once, singly = BettingTest(null, 0.1, 1.0), BettingTest(null, 0.1, 1.0)
    once.update(y)
    for value in y:
        singly.update(value)
    assert once.count == singly.count == len(y)
    assert once.log_capital == pytest.approx(singly.log_capital, abs=1e-12)
    assert once.max_log_capital == pytest.approx(singly.max_log_capital, abs=1e-12)


@settings(max_examples=30)
@given(st.floats(-0.9, 0.9), observations)
def test_the_capital_is_the_mean_wealth_of_constant_bets(mean: float, y: list[float]) -> None:
    test = BettingTest(Null.AT_LEAST, mean, 1.0)
    test.update(y)
    bets = [-0.004 * (0.9 / 0.004) ** (j / 23) for j in range(24)]
    wealth = [math.prod((1 + bet * value) / (1 + bet * mean) for value in y) for bet in bets]
    assert test.log_capital == pytest.approx(math.log(sum(wealth) / 24), abs=1e-9)


@settings(max_examples=30)
@given(nulls, st.floats(-0.5, 0.5), observations)
def test_the_bound_clears_the_null_exactly_while_the_capital_is_above_the_threshold(
    null: Null, mean: float, y: list[float]
) -> None:
    test = BettingTest(null, mean, 1.0)
    test.update(y)
    bound = test.confidence_bound(ALPHA)
    distance = test.log_capital + math.log(ALPHA)
    if abs(distance) > 1e-6:
        cleared = bound is not None and (bound > mean if null is Null.AT_MOST else bound < mean)
        assert cleared == (distance > 0)


@settings(max_examples=30)
@given(observations)
def test_the_two_sides_mirror_each_other(y: list[float]) -> None:
    below, above = BettingTest(Null.AT_MOST, 0.2, 1.0), BettingTest(Null.AT_LEAST, -0.2, 1.0)
    below.update(y)
    above.update([-value for value in y])
    assert below.log_capital == pytest.approx(above.log_capital, abs=1e-12)


@settings(max_examples=30)
@given(observations)
def test_evidence_once_shown_stays_shown(y: list[float]) -> None:
    test = BettingTest(Null.AT_MOST, 0.1, 1.0)
    largest = 0.0
    for value in y:
        test.update(value)
        largest = max(largest, test.log_capital)
        assert test.max_log_capital == pytest.approx(largest, abs=1e-12)


def test_what_is_missing_comes_true_when_the_growth_goes_on() -> None:
    test = BettingTest(Null.AT_MOST, 0.0, 1.0)
    test.update([0.3, -0.1] * 25)
    missing = test.evidence(ALPHA).missing
    assert missing is not None
    assert missing > 0
    test.update([0.3, -0.1] * missing)
    assert test.rejects(ALPHA)
    assert test.evidence(ALPHA).missing == 0


def test_evidence_that_does_not_grow_has_no_end_in_sight() -> None:
    test = BettingTest(Null.AT_MOST, 0.0, 1.0)
    assert test.evidence(ALPHA).missing is None
    assert test.confidence_bound(ALPHA) is None
    test.update([-0.1] * 10)
    assert test.evidence(ALPHA).missing is None


@pytest.mark.parametrize("y", [1.01, -1.01, math.nan, math.inf, [0.0, 2.0]])
def test_an_observation_beyond_the_bound_is_refused_and_changes_nothing(y: float | list[float]) -> None:
    test = BettingTest(Null.AT_MOST, 0.0, 1.0)
    before = dumped(test)
    with pytest.raises(ValueError, match=r"must lie within ±1\.0"):
        test.update(y)
    assert dumped(test) == before


def test_nothing_is_not_an_observation() -> None:
    test = BettingTest(Null.AT_MOST, 0.0, 1.0)
    test.update([])
    assert test.count == 0


@pytest.mark.parametrize(("mean", "bound"), [(1.0, 1.0), (0.0, 0.0), (0.0, math.inf), (math.nan, 1.0)])
def test_a_null_outside_the_range_is_refused(mean: float, bound: float) -> None:
    with pytest.raises(ValueError, match="finite bound"):
        BettingTest(Null.AT_MOST, mean, bound)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, math.nan])
def test_a_level_outside_0_and_1_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha"):
        BettingTest(Null.AT_MOST, 0.0, 1.0).rejects(alpha)


def test_a_snapshot_of_other_bets_is_refused() -> None:
    snapshot = {**json.loads(dumped(BettingTest(Null.AT_MOST, 0.0, 1.0))), "log_wealth": [0.0] * 3}
    with pytest.raises(ValueError, match="3 bets, expected 24"):
        loaded(BettingTest, json.dumps(snapshot).encode())
