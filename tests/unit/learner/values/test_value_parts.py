"""Basis, familiarity, repeats and the rule, each alone."""

import numpy as np
import pytest

from ol0.learner.values.basis import Basis
from ol0.learner.values.novelty import Familiarity
from ol0.learner.values.repeats import alikeness, cells, repeat_weights
from ol0.learner.values.rule import TILTS, Judge


def test_few_features_stay_as_they_are_but_for_their_length() -> None:
    features = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32) * 7
    inside = Basis.of(features, 8).inside(features)
    assert (inside**2).sum(axis=1).mean() == pytest.approx(1, rel=1e-5)
    np.testing.assert_allclose(inside * (features[0, 0] / inside[0, 0]), features, rtol=1e-4)


def test_of_many_features_the_directions_stay_that_matter() -> None:
    rng = np.random.default_rng(1)
    few = rng.normal(size=(500, 5)) @ rng.normal(size=(5, 300))
    features = (few + 0.01 * rng.normal(size=few.shape)).astype(np.float32)
    inside = Basis.of(features, 5).inside(features)
    assert inside.shape == (500, 5)
    assert (inside**2).sum(axis=1).mean() == pytest.approx(1, rel=1e-3)


def test_what_looks_like_anchors_is_familiar_and_the_rest_is_not() -> None:
    rng = np.random.default_rng(2)
    anchors, new = rng.normal(size=(900, 8)), rng.normal(size=(900, 8)) + 3 * (np.arange(8) == 0)
    found = Familiarity.between(anchors[:600], np.concatenate([anchors[600:700], new[:600]]))
    assert np.median(found.of(anchors[700:])) > 0.8
    assert np.median(found.of(new[600:])) < 0.35


def test_where_nothing_new_comes_nearly_everything_is_familiar() -> None:
    rng = np.random.default_rng(3)
    found = Familiarity.between(rng.normal(size=(600, 20)), rng.normal(size=(600, 20)))
    assert (found.of(rng.normal(size=(600, 20))) > 0.5).mean() > 0.9


def test_votes_that_repeat_each_other_count_as_one_and_others_each() -> None:
    prompts, actions = np.array([7, 7, 7, 9], np.uint64), np.array([1, 1, 0, 1])
    cell = cells(prompts, actions)
    assert cell[0] == cell[1] != cell[2] != cell[3]
    np.testing.assert_allclose(repeat_weights(cell, 1.0), [0.5, 0.5, 1, 1])
    np.testing.assert_allclose(repeat_weights(cell, 0.0), np.ones(4))


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_how_alike_votes_on_one_prompt_are_is_found(share: float) -> None:
    rng = np.random.default_rng(4)
    cell = np.repeat(np.arange(2_000), 4)
    errors = share**0.5 * rng.normal(size=2_000)[cell] + (1 - share) ** 0.5 * rng.normal(size=8_000)
    assert alikeness(cell, errors) == pytest.approx(share, abs=0.05)


def judge() -> Judge:
    """On 10 of 100 prompts the model is wrong, and less and less sure of it."""
    scores, truth, logs = np.zeros((100, 2)), np.zeros((100, 2)), np.zeros((100, 2))
    truth[:, 0], logs[:, 1] = 1, -1
    scores[:10, 1] = np.linspace(0.05, 0.5, 10)
    return Judge(scores, logs, truth, np.zeros(100, np.intp))


def test_the_tilt_is_the_smallest_that_loses_nothing() -> None:
    it = judge()
    tilt = it.smallest_tilt(0.004)
    assert it.regret(tilt) == 0
    assert all(it.regret(smaller) > 0 for smaller in TILTS if smaller < tilt)


@pytest.mark.parametrize(("budget", "finite"), [(0.011, True), (0.009, False)])
def test_where_every_tilt_loses_something_the_budget_decides(budget: float, *, finite: bool) -> None:
    it = judge()
    it.towards[0] = 0  # nothing known: no tilt changes this answer, which loses 1 on one prompt of 100
    tilt = it.smallest_tilt(budget)
    assert np.isfinite(tilt) == finite
    assert it.regret(tilt) <= budget


def test_without_end_the_tilt_answers_as_the_base_does() -> None:
    assert judge().regret(float("inf")) == 0


def test_the_budget_is_relative_where_rewards_are_rare() -> None:
    it = judge()
    rare = Judge(it.scores, it.towards, it.truth * 0.01, it.base)
    assert it.budget(0.4, 0.008) == pytest.approx(0.004)
    assert rare.budget(0.4, 0.008) == pytest.approx(0.00008)
