import numpy as np
import pytest

from ol0.controller.controller import Controller
from ol0.learning.adam import Adam
from ol0.learning.parts import Parts, with_bias
from ol0.learning.trainer import StepReport
from ol0.learning.update import TrustRegion, clip_gradient, mean_kl, moving_average
from unit.learning.learner_world import SHAPES, SMALL, logged, make_base, make_learner, make_replay


def test_a_gradient_is_clipped_to_its_limit_and_keeps_its_direction() -> None:
    gradient = np.array([[3.0, 4.0]], np.float32)
    clipped, norm = clip_gradient(gradient, 1.0)
    assert norm == 5
    np.testing.assert_allclose(clipped, [[0.6, 0.8]], rtol=1e-6)
    assert clip_gradient(gradient, 6.0)[0] is gradient


def test_adams_first_step_has_the_size_of_the_rate_whatever_the_gradient() -> None:
    adam, delta = Adam.like(np.zeros(2)).step(np.array([1e-3, -50.0]), 0.01)
    np.testing.assert_allclose(delta, [-0.01, 0.01], rtol=1e-4)
    assert adam.count == 1


def test_adam_forgets_at_the_paper_s_pace() -> None:
    adam = Adam.like(np.zeros(1))
    for _ in range(3):
        adam, _ = adam.step(np.array([2.0]), 0.01)
    assert adam.first[0] == pytest.approx(2 * (1 - 0.9**3))
    assert adam.second[0] == pytest.approx(4 * (1 - 0.999**3))


def test_the_trust_region_bounds_every_step_of_a_long_training() -> None:
    # Given the same base, examples and config but for the radius
    base = make_base()
    near, reports = _far_training(base, 0.05)
    far, _ = _far_training(base, 100.0)
    # Then one stays within its radius, about so on prompts that it never saw, and the other does not
    assert max(report.terms["trust_region_kl"] for report in reports) <= 0.05
    assert near < 1.5 * 0.05 < 5 * 0.05 < far
    assert 0 < sum(report.terms["pulled_back"] for report in reports) < len(reports)


@pytest.mark.parametrize("choices", SHAPES, ids=str)
@pytest.mark.parametrize("distance", [0.7, 3.0, 30.0])
def test_heads_outside_are_pulled_back_inside(choices: tuple[int, ...], distance: float) -> None:
    parts, features = Parts(choices), with_bias(logged(make_base(choices), 20).features)
    live = parts.stack(make_base(choices).base)
    heads = live + distance * np.random.default_rng(0).normal(size=live.shape).astype(np.float32)
    confined = TrustRegion(live, parts, 0.01).confine(features, heads)
    assert confined.pulled_back
    assert 0 < confined.kl <= 0.01
    again = TrustRegion(live, parts, 0.02).confine(features, confined.heads)
    assert again.kl == pytest.approx(confined.kl, abs=1e-4)
    assert again.heads is confined.heads


def test_kl_is_zero_between_equals_and_sums_over_parts() -> None:
    one, two = np.log([[0.5, 0.5]]), np.log([[0.9, 0.1]])
    assert mean_kl(one, one) == 0
    assert mean_kl(np.hstack([one, one]), np.hstack([two, two])) == pytest.approx(2 * mean_kl(one, two))


def test_the_average_moves_by_one_minus_the_decay() -> None:
    assert moving_average(np.zeros(1), np.ones(1), 0.98)[0] == pytest.approx(0.02)


def _far_training(base: Controller, radius: float) -> tuple[float, list[StepReport]]:
    """Fast steps without anything else that holds them: the KL they reach, and the reports."""
    config = SMALL.model_copy(update={"trust_region": radius, "learning_rate": 0.006, "anchor_share": 0.0})
    learner, replay = make_learner(base, config), make_replay(base, config)
    reports = [report for _ in range(40) for report in learner.update(replay)]
    features = learner._scaling.features(logged(base, 200, seed=9, new=True).features)
    region = TrustRegion(learner._scaling.inside(Parts(base.choices).stack(base.base)), Parts(base.choices), 1e6)
    return region.confine(features, learner._state.heads).kl, reports
