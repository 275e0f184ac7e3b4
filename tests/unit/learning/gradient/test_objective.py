import numpy as np
import pytest

from ol0.learning.gradient.ewc import EWCRegularizer
from ol0.learning.gradient.mixer import mixer_loss
from ol0.learning.gradient.objective import Forward, Term, anchor_kl, doubly_robust_rewards, gain
from ol0.learning.gradient.proximal import proximal
from ol0.learning.gradient.reward_model import RewardModel
from ol0.learning.parts import Parts, with_bias
from unit.learning.learner_world import SHAPES, Array64, as_float64, logged, make_base, numeric_gradient


class Case:
    """Float64 throughout, so that finite differences are exact to many digits."""

    def __init__(self, choices: tuple[int, ...]) -> None:
        rng = np.random.default_rng(5)
        base = make_base(choices)
        self.parts = Parts(choices)
        self.batch = as_float64(logged(base, 12))
        self.batch = self.batch.weighted(rng.random(12))
        self.features = with_bias(self.batch.features)
        self.base = self.parts.stack(base.base).astype(np.float64)
        self.heads = self.base + 0.3 * rng.normal(size=self.base.shape)
        self.rewards = rng.random((12, sum(choices)))

    def forward(self, heads: Array64) -> Forward:
        return Forward.of(self.features, heads, self.parts)


@pytest.fixture(params=SHAPES, ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    return Case(request.param)


def test_gain_has_the_gradient_of_its_value(case: Case) -> None:
    def term(heads: Array64) -> Term:
        return gain(case.forward(heads), case.rewards, case.batch.weights, case.parts, 3.0)

    expected = numeric_gradient(lambda heads: term(heads).value, case.heads)
    np.testing.assert_allclose(term(case.heads).gradient, expected, atol=1e-8)


def test_anchor_kl_has_the_gradient_of_its_value(case: Case) -> None:
    base = case.forward(case.base).log_probabilities

    def term(heads: Array64) -> Term:
        return anchor_kl(case.forward(heads), base, 24, 1.5)

    expected = numeric_gradient(lambda heads: term(heads).value, case.heads)
    np.testing.assert_allclose(term(case.heads).gradient, expected, atol=1e-8)


def test_anchor_kl_is_zero_at_the_base_and_above_elsewhere(case: Case) -> None:
    base = case.forward(case.base)
    at_base = anchor_kl(base, base.log_probabilities, 24, 1.0)
    assert at_base.value == 0
    assert not at_base.gradient.any()
    assert anchor_kl(case.forward(case.heads), base.log_probabilities, 24, 1.0).value > 0


def test_ewc_has_the_gradient_of_its_value(case: Case) -> None:
    ewc = EWCRegularizer.around(case.base, case.features, case.parts, 0.7)
    expected = numeric_gradient(lambda heads: ewc.term(heads).value, case.heads)
    np.testing.assert_allclose(ewc.term(case.heads).gradient, expected, atol=1e-8)


def test_proximal_has_the_gradient_of_its_value(case: Case) -> None:
    expected = numeric_gradient(lambda heads: proximal(heads, case.base, 0.7).value, case.heads)
    np.testing.assert_allclose(proximal(case.heads, case.base, 0.7).gradient, expected, atol=1e-8)


def test_reward_model_has_the_gradient_of_its_value(case: Case) -> None:
    model = RewardModel(case.base, case.parts)
    theta = case.heads - case.base
    expected = numeric_gradient(lambda at: model.predict(case.features, at, case.batch).term.value, theta)
    np.testing.assert_allclose(model.predict(case.features, theta, case.batch).term.gradient, expected, atol=1e-8)


def test_mixer_loss_has_the_gradient_of_its_value(case: Case) -> None:
    weight = case.heads[:, 0]

    def term(at: Array64) -> Term:
        return mixer_loss(at, case.features[:5] + 1, case.features[5:], 0.2)

    np.testing.assert_allclose(term(weight).gradient, numeric_gradient(lambda at: term(at).value, weight), atol=1e-8)


def test_both_classes_of_the_mixer_weigh_the_same_however_many_they_are() -> None:
    features = np.random.default_rng(0).normal(size=(4, 3))
    once = mixer_loss(np.ones(3), features[:2], features[2:], 0.0)
    thrice = mixer_loss(np.ones(3), np.tile(features[:2], (3, 1)), features[2:], 0.0)
    assert once.value == pytest.approx(thrice.value)


def test_doubly_robust_rewards_are_right_on_average_whatever_the_model_says(case: Case) -> None:
    # Given a prompt whose true rewards are known, a poor model and a logging policy
    parts, rng = case.parts, np.random.default_rng(8)
    one = case.batch.take(np.array([0]))
    for part, count in enumerate(parts.choices):
        columns = slice(parts.starts[part], parts.starts[part] + count)
        truth, policy = rng.random(count), rng.dirichlet(np.ones(count))
        total = np.zeros(count)
        # When every choice of the part is served as often as the policy serves it
        for choice in range(count):
            actions, propensities = one.actions.copy(), one.propensities.copy()
            actions[0, part], propensities[0, part] = choice, policy[choice]
            served = type(one)(one.features, actions, propensities, truth[[choice]], one.weights, one.users)
            total += policy[choice] * doubly_robust_rewards(case.rewards[:1], served, parts, np.inf)[0, columns]
        # Then the mean is the truth
        np.testing.assert_allclose(total, truth)


def test_a_rare_choice_counts_no_more_than_the_clip(case: Case) -> None:
    rewards = doubly_robust_rewards(case.rewards, case.batch, case.parts, 2.0)
    worst = np.abs(case.batch.rewards[:, None] - case.rewards).max(axis=1)
    assert (np.abs(rewards - case.rewards).max(axis=1) <= 2 * worst + 1e-12).all()
