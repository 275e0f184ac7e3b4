import doctest
import math
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ol0.statistics import off_policy
from ol0.statistics.betting import FloatArray
from ol0.statistics.off_policy import OffPolicyEstimate, clipped_ips, doubly_robust, snips

ACTIONS = 4


class Log(NamedTuple):
    """Decisions by an exploring policy, and what a greedy target would have earned on average."""

    reward: FloatArray
    target_probability: FloatArray
    propensity: FloatArray
    predicted: FloatArray
    predicted_under_target: FloatArray
    truth: float


def log(seed: int, n: int = 400) -> Log:
    rng = np.random.default_rng(seed)
    success = np.array([0.2, 0.4, 0.6, 0.8])
    served, target = rng.integers(0, ACTIONS, n), rng.integers(2, ACTIONS, n)
    explored = rng.random(n) < 0.5
    action = np.where(explored, rng.integers(0, ACTIONS, n), served)
    propensity = np.where(action == served, 0.5 + 0.5 / ACTIONS, 0.5 / ACTIONS)
    reward = (rng.random(n) < success[action]).astype(float)
    model = success + np.array([0.1, -0.1, 0.2, 0.1])
    chosen = (action == target).astype(float)
    return Log(reward, chosen, propensity, model[action], model[target], float(success[2:].mean()))


def estimates(table: Log) -> dict[str, OffPolicyEstimate]:
    logged = table[:3]
    return {
        "ips": clipped_ips(*logged, clip=math.inf),
        "snips": snips(*logged, clip=math.inf),
        "dr": doubly_robust(
            *logged,
            predicted=table.predicted,
            predicted_under_target=table.predicted_under_target,
            clip=math.inf,
        ),
    }


def test_the_docstring_examples_hold() -> None:
    assert doctest.testmod(off_policy).failed == 0


@pytest.mark.parametrize("name", ["ips", "snips", "dr"])
def test_the_interval_covers_the_truth_about_as_often_as_it_says(name: str) -> None:
    tables = [log(seed) for seed in range(400)]
    results = [(estimates(table)[name], table.truth) for table in tables]
    covered = np.mean([result.low <= truth <= result.high for result, truth in results])
    assert 0.92 <= covered <= 0.98
    assert np.mean([result.value for result, _ in results]) == pytest.approx(0.7, abs=0.01)


def test_knowing_more_narrows_the_interval() -> None:
    widths = {name: result.high - result.low for name, result in estimates(log(0, 5000)).items()}
    assert max(widths["dr"], widths["snips"]) < 0.8 * widths["ips"]


def test_clipping_lowers_the_value_and_narrows_the_interval() -> None:
    table = log(0)
    whole, cut = clipped_ips(*table[:3], clip=math.inf), clipped_ips(*table[:3], clip=2.0)
    assert cut.value < whole.value
    assert cut.high - cut.low < whole.high - whole.low
    assert cut.effective_sample_size > whole.effective_sample_size


def test_a_wrong_model_does_no_harm_where_propensities_are_right() -> None:
    reward, ones = np.array([1.0, 0.0, 1.0]), np.ones(3)
    result = doubly_robust(reward, ones, ones, predicted=9 * ones, predicted_under_target=9 * ones, clip=5.0)
    assert result.value == pytest.approx(2 / 3)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.01, 1), st.floats(0.01, 1)), min_size=2, max_size=30))
def test_snips_stays_within_the_rewards(rows: list[tuple[float, float, float]]) -> None:
    reward, target, propensity = np.array(rows).T
    result = snips(reward, target, propensity, clip=50.0)
    assert reward.min() - 1e-9 <= result.value <= reward.max() + 1e-9
    assert 1 - 1e-9 <= result.effective_sample_size <= len(reward) + 1e-9


def test_the_policy_that_logged_is_worth_what_it_earned() -> None:
    reward, p = np.array([1.0, 0.0, 1.0, 1.0]), np.array([0.9, 0.1, 0.5, 0.3])
    for result in (clipped_ips(reward, p, p, clip=10.0), snips(reward, p, p, clip=10.0)):
        assert result.value == pytest.approx(0.75)
        assert result.high - result.value == pytest.approx(1.959964 * 0.5 / 2)
        assert result.effective_sample_size == pytest.approx(4)


@pytest.mark.parametrize(
    ("reward", "target", "propensity", "clip", "message"),
    [
        ([1.0, 0.0], [1.0], [1.0, 1.0], 5.0, "expected"),
        ([1.0], [1.0], [1.0], 5.0, "at least 2"),
        ([1.0, 0.0], [1.0, 1.0], [1.0, 0.0], 5.0, "propensity of 0"),
        ([1.0, math.nan], [1.0, 1.0], [1.0, 1.0], 5.0, "reward must"),
        ([1.0, 0.0], [1.0, 1.5], [1.0, 1.0], 5.0, "target_probability must"),
        ([1.0, 0.0], [1.0, 1.0], [1.0, 1.0], 0.0, "largest weight"),
    ],
)
def test_a_table_that_cannot_be_is_refused(
    reward: list[float], target: list[float], propensity: list[float], clip: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        clipped_ips(np.array(reward), np.array(target), np.array(propensity), clip=clip)


def test_a_target_that_the_log_never_follows_has_no_normalised_value() -> None:
    ones = np.ones(3)
    with pytest.raises(ValueError, match="nothing can be said"):
        snips(ones, 0 * ones, ones, clip=5.0)


@pytest.mark.parametrize("predicted", [np.ones(2), np.full(3, math.nan)])
def test_predictions_that_do_not_fit_are_refused(predicted: FloatArray) -> None:
    ones = np.ones(3)
    with pytest.raises(ValueError, match="predictions"):
        doubly_robust(ones, ones, ones, predicted=predicted, predicted_under_target=predicted, clip=5.0)
