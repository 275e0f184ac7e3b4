import numpy as np
import pytest

from ol0.controller.heads import Doubles
from ol0.learning.calibration import Platt, logistic
from ol0.learning.values.belief import Belief

N, K = 4_000, 4


def decisions(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The base's probabilities, and what was served."""
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(K, 0.5), N).astype(np.float32)
    return shares, rng.integers(0, K, N)


def votes(worth: Doubles, actions: np.ndarray, seed: int = 1) -> np.ndarray:
    served = worth[np.arange(N), actions]
    return np.asarray(np.random.default_rng(seed).random(N) < served, np.float32)


def test_what_the_base_is_worth_is_found() -> None:
    truth = Belief(slope=0.6, lead=0.8, intercept=0.3)
    shares, actions = decisions()
    found = Belief.fit(shares, actions, votes(truth.rewards(shares), actions))
    assert found.slope == pytest.approx(truth.slope, abs=0.1)
    assert found.lead == pytest.approx(truth.lead, abs=0.3)
    np.testing.assert_allclose(found.rewards(shares).mean(axis=0), truth.rewards(shares).mean(axis=0), atol=0.03)


def test_where_the_bases_answers_are_worse_than_others_they_are_worth_as_much() -> None:
    # Given a base that is the more wrong, the surer it is
    shares, actions = decisions()
    rewards = votes(0.9 - 0.8 * shares.astype(np.float64), actions)
    # Then its probabilities tell nothing, and the rest is fitted as if they were not there
    found, mean = Belief.fit(shares, actions, rewards), float(rewards.mean())
    assert (found.slope, found.lead) == (0, 0)
    assert found.intercept == pytest.approx(np.log(mean / (1 - mean)), abs=1e-3)
    np.testing.assert_allclose(found.rewards(shares), mean, atol=1e-3)


def test_one_choice_that_is_best_for_all_prompts_is_no_merit_of_probabilities_nor_a_reason_against_the_answer() -> None:
    # Given answers that lead, among choices that are the worse, the likelier they look
    shares, actions = decisions()
    is_answer = actions == shares.argmax(axis=1)
    rewards = votes(np.where(shares == shares.max(axis=1, keepdims=True), 0.8, 0.5 - 0.9 * shares), actions)
    found = Belief.fit(shares, actions, rewards)
    assert found.slope == 0
    worth = found.rewards(shares)[np.arange(N), actions]
    assert worth[is_answer].mean() == pytest.approx(rewards[is_answer].mean(), abs=0.01)
    assert worth[~is_answer].mean() == pytest.approx(rewards[~is_answer].mean(), abs=0.01)


def test_a_platt_whose_slope_would_be_negative_says_the_mean_of_the_rewards() -> None:
    rng = np.random.default_rng(2)
    shares = rng.random(N).astype(np.float32)
    rewards = (rng.random(N) < 0.9 - 0.8 * shares).astype(np.float32)
    platt = Platt.fit(shares, rewards)
    assert platt.slope == 0
    np.testing.assert_allclose(platt.rewards(shares), rewards.mean(), atol=1e-3)


def test_a_weight_that_may_fall_falls() -> None:
    rng = np.random.default_rng(3)
    design = np.stack([rng.normal(size=N), rng.normal(size=N), np.ones(N)])
    truth = np.array([-1.0, -0.7, 0.4])
    rewards = (rng.random(N) < 1 / (1 + np.exp(-truth @ design))).astype(np.float32)
    prior, ridge = np.zeros(3), np.full(3, 1e-2)
    np.testing.assert_allclose(logistic(design, rewards, prior, ridge, rising=0), truth, atol=0.15)
    held = logistic(design, rewards, prior, ridge, rising=1)
    alone = logistic(design[1:], rewards, prior[1:], ridge[1:], rising=0)
    assert held[0] == 0
    np.testing.assert_allclose(held[1:], alone)


def test_without_decisions_a_belief_is_what_it_starts_from() -> None:
    found = Belief.fit(np.zeros((0, K), np.float32), np.zeros(0, np.intp), np.zeros(0, np.float32))
    assert (found.slope, found.lead, found.intercept) == (1, 0, 0)
