from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from ol0.controller.heads import Floats, Head
from ol0.operator.setup.base_training import train_base
from ol0.operator.setup.prompts import Prompts

COUNT = 800
Numbers = Floats | NDArray[np.float64]


def prompts(success: Numbers, features: Numbers) -> Prompts:
    return Prompts(features.astype(np.float32), success.astype(np.float32), np.full(len(success), "kind"))


def noise(choices: int, scale: float, seed: int = 0) -> Prompts:
    """Many experts are right, the second last most often, and nothing of it can be seen in the features."""
    rng = np.random.default_rng(seed)
    success = rng.random((COUNT, choices)) < 0.6
    success[:, -2] |= rng.random(COUNT) < 0.5
    return prompts(scale * success, rng.normal(size=(COUNT, 128)) / 4)


def structure(choices: int, scale: float, seed: int = 0) -> Prompts:
    """Which half of the experts is right can be seen, beside an expert that is right half of the time."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(COUNT, 8))
    success = np.where(features[:, :1] > 0, 1, 0) == np.arange(choices) % 2
    success = np.where(rng.random(success.shape) < 0.1, ~success, success)
    return prompts(scale * success, features)


def worth(head: Head, asked: Prompts) -> float:
    return asked.expected_success(head.logits(asked.features).argmax(axis=1))


@pytest.mark.parametrize("choices", [2, 9, 128])
@pytest.mark.parametrize("scale", [1.0, 0.005])
def test_where_the_prompt_says_nothing_the_base_is_the_best_single_expert(choices: int, scale: float) -> None:
    head = train_base(noise(choices, scale), seed=0)
    unseen = noise(choices, scale, seed=1)
    assert worth(head, unseen) == pytest.approx(float(unseen.success.mean(axis=0).max()), rel=0.02)


@pytest.mark.parametrize("choices", [2, 9, 128])
@pytest.mark.parametrize("scale", [1.0, 0.005])
def test_where_the_prompt_tells_the_base_listens_though_half_of_the_experts_are_right(
    choices: int, scale: float
) -> None:
    head = train_base(structure(choices, scale), seed=0)
    assert worth(head, structure(choices, scale, seed=1)) > 0.8 * scale


def test_the_order_of_the_experts_does_not_matter() -> None:
    asked, order = structure(5, 1.0), np.array([3, 1, 4, 0, 2])
    plain = train_base(asked, seed=0)
    moved = train_base(prompts(asked.success[:, order], asked.features), seed=0)
    np.testing.assert_allclose(moved.weight, plain.weight[order], atol=1e-5)


def test_a_graded_value_counts_as_much_as_it_is_worth() -> None:
    # The first expert is right for sure and worth little, the second sometimes and worth far more.
    rng = np.random.default_rng(0)
    success = np.stack([np.full(COUNT, 0.2), rng.random(COUNT) < 0.4, np.zeros(COUNT)], axis=1)
    head = train_base(prompts(success, rng.normal(size=(COUNT, 8))), seed=0)
    assert head.bias.argmax() == 1


def test_prompts_whose_experts_are_all_alike_say_nothing() -> None:
    alike = np.repeat(np.random.default_rng(0).random((COUNT, 1)), 4, axis=1)
    head = train_base(prompts(alike, np.eye(8)[np.arange(COUNT) % 8]), seed=0)
    assert not head.weight.any()
    assert all(one == other for one, other in pairwise(head.bias.tolist()))


@pytest.mark.parametrize(("count", "least"), [(200, 0.8), (800, 0.9)])
def test_few_prompts_are_learnt_from_until_the_base_knows_them(count: int, least: float) -> None:
    rng = np.random.default_rng(0)
    features, weight = rng.normal(size=(count + 1_000, 12)), rng.normal(size=(12, 4))
    right = np.arange(4) == (features @ weight).argmax(axis=1)[:, None]
    head = train_base(prompts(right[:count], features[:count]), seed=0)
    assert worth(head, prompts(right[count:], features[count:])) > least
