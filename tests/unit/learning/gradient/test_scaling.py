import numpy as np
import pytest

from ol0.learning.gradient.scaling import USUAL_SUM, Scaling
from ol0.learning.parts import with_bias


def prompts(scale: float, dimension: int, seed: int = 0) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    features = np.random.default_rng(seed).normal(size=(200, dimension))
    return np.asarray(scale * features / np.linalg.norm(features, axis=1, keepdims=True), np.float32)


@pytest.mark.parametrize("scale", [0.01, 1.0, 37.0])
def test_inside_prompts_have_about_length_one_and_heads_answer_as_they_do_outside(scale: float) -> None:
    features = prompts(scale, 12)
    scaling = Scaling.of(features)
    weights = np.random.default_rng(1).normal(size=(13, 4)).astype(np.float32)
    inside = scaling.features(features)
    assert 0.7 < np.linalg.norm(inside[:, :-1], axis=1).mean() < 1.5
    np.testing.assert_allclose(inside @ scaling.inside(weights), with_bias(features) @ weights, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scale", [0.01, 1.0, 37.0])
def test_there_and_back_is_exact(scale: float) -> None:
    scaling = Scaling.of(prompts(scale, 12))
    weights = np.random.default_rng(1).normal(size=(13, 4)).astype(np.float32)
    np.testing.assert_array_equal(scaling.outside(scaling.inside(weights)), weights)


@pytest.mark.parametrize("dimension", [6, 96, 384])
def test_a_step_moves_logits_as_far_whatever_the_number_of_features(dimension: int) -> None:
    features = prompts(3.0, dimension)
    scaling = Scaling.of(features)
    moved = scaling.pace * np.abs(scaling.features(features)[:, :-1]).sum(axis=1).mean()
    assert moved == pytest.approx(USUAL_SUM, rel=1e-3)


def test_without_features_everything_stays_as_it_is() -> None:
    assert Scaling.of(np.zeros((0, 5), np.float32)) == Scaling.of(np.zeros((3, 5), np.float32)) == Scaling(1.0, 1.0)
