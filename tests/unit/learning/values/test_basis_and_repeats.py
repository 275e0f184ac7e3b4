import numpy as np
import pytest

from ol0.learning.values.basis import Basis, rank_for
from ol0.learning.values.repeats import LEAST_PAIRS, UNKNOWN, alikeness, cells, repeat_weights


def test_few_features_stay_as_they_are_but_for_their_length() -> None:
    features = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32) * 7
    inside = Basis.of(8, features).inside(features)
    assert (inside**2).sum(axis=1).mean() == pytest.approx(1, rel=1e-5)
    np.testing.assert_allclose(inside * (features[0, 0] / inside[0, 0]), features, rtol=1e-4)


def test_of_many_features_the_directions_stay_that_matter() -> None:
    rng = np.random.default_rng(1)
    few = rng.normal(size=(500, 5)) @ rng.normal(size=(5, 300))
    features = (few + 0.01 * rng.normal(size=few.shape)).astype(np.float32)
    inside = Basis.of(5, features).inside(features)
    assert inside.shape == (500, 5)
    assert (inside**2).sum(axis=1).mean() == pytest.approx(1, rel=1e-3)


def test_few_choices_can_afford_more_directions_than_many() -> None:
    ranks = [rank_for(choices) for choices in (2, 10, 11, 71, 1_000)]
    assert ranks[:2] == [384, 384]
    assert ranks == sorted(ranks, reverse=True)
    assert all(choices * rank**3 <= 5.7e8 for choices, rank in zip((10, 11, 71, 1_000), ranks[1:], strict=True))


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


def test_of_few_pairs_nobody_knows_how_alike_they_are() -> None:
    cell = np.repeat(np.arange(LEAST_PAIRS // 2 - 1), 2)
    assert alikeness(cell, np.ones(len(cell))) == UNKNOWN
