import numpy as np

from ol0.learning.adam import Adam
from ol0.learning.gradient.priority import surprise
from ol0.learning.gradient.reward_model import FLOOR, SPAN, RewardModel
from ol0.learning.parts import Parts, with_bias
from unit.learning.learner_world import logged, make_base


def test_it_begins_with_the_beliefs_of_the_base() -> None:
    base, batch = make_base(), logged(make_base(), 9)
    heads = Parts((3,)).stack(base.base)
    prediction = RewardModel(heads, Parts((3,))).predict(with_bias(batch.features), np.zeros_like(heads), batch)
    np.testing.assert_allclose(prediction.rewards, FLOOR + SPAN * base.policy(batch.features)[0], rtol=1e-4)


def test_errors_are_those_of_the_served_choices() -> None:
    base, batch = make_base((2, 3)), logged(make_base((2, 3)), 9)
    heads = Parts((2, 3)).stack(base.base)
    prediction = RewardModel(heads, Parts((2, 3))).predict(with_bias(batch.features), np.zeros_like(heads), batch)
    second = prediction.rewards[np.arange(9), 2 + batch.actions[:, 1]]
    np.testing.assert_allclose(prediction.errors[:, 1], batch.rewards - second)
    np.testing.assert_allclose(surprise(prediction.errors), np.abs(prediction.errors).mean(axis=1))


def test_training_lowers_its_loss() -> None:
    base, batch = make_base(), logged(make_base(), 300, new=True)
    heads = Parts((3,)).stack(base.base)
    model, features, theta = RewardModel(heads, Parts((3,))), with_bias(batch.features), np.zeros_like(heads)
    adam = Adam.like(theta)
    before = model.predict(features, theta, batch).term.value
    for _ in range(50):
        adam, delta = adam.step(model.predict(features, theta, batch).term.gradient, 0.05)
        theta = theta + delta
    assert model.predict(features, theta, batch).term.value < 0.8 * before
