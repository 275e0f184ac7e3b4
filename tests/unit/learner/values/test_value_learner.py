from dataclasses import replace

import numpy as np
import pytest

from ol0.controller.heads import Head, softmax
from ol0.learner.batch import Batch
from ol0.learner.values.learner import ValueLearner
from ol0.learner.values.policy import ValuePolicy

K, D = 3, 6
BASE = Head(np.eye(K, D, dtype=np.float32) * 2, np.zeros(K, np.float32))
NEW = np.float32([0, 0, 0, 4, 0, 0])


def prompts(n: int, seed: int, *, new: bool = False) -> np.ndarray:
    """Old ones lie about the origin, new ones elsewhere."""
    x = np.random.default_rng(seed).normal(size=(n, D)).astype(np.float32)
    return x + NEW if new else x


def worth(features: np.ndarray) -> np.ndarray:
    """The base is right on old prompts; on new ones, the last expert is."""
    values = np.full((len(features), K), 0.2)
    new = features[:, 3] > 2
    best = np.where(new, K - 1, BASE.logits(features).argmax(axis=1))
    values[np.arange(len(features)), best] = 0.8
    return values


def votes(features: np.ndarray, seed: int, truth: np.ndarray | None = None) -> Batch:
    """Of the base, half of the time exploring."""
    rng = np.random.default_rng(seed)
    n, greedy = len(features), BASE.logits(features).argmax(axis=1)
    taken = np.where(rng.random(n) < 0.5, rng.integers(0, K, n), greedy)
    propensity = 0.5 * (taken == greedy) + 0.5 / K
    truth = worth(features) if truth is None else truth
    rewards = (rng.random(n) < truth[np.arange(n), taken]).astype(np.float32)
    ones = np.ones(n, np.float32)
    return Batch(
        features, taken[:, None], propensity[:, None].astype(np.float32), rewards, ones, ones.astype(np.uint64)
    )


def learner(*, labelled: bool = True) -> ValueLearner:
    old = prompts(600, 0)
    return ValueLearner(BASE, votes(old, 1), worth(old) if labelled else None)


def gain(policy: ValuePolicy, features: np.ndarray) -> float:
    rows, truth = np.arange(len(features)), worth(features)
    base = truth[rows, BASE.logits(features).argmax(axis=1)]
    return float((truth[rows, policy.greedy(features)] - base).mean())


@pytest.mark.parametrize("labelled", [True, False])
def test_it_learns_what_is_new_and_keeps_what_is_old(*, labelled: bool) -> None:
    policy = learner(labelled=labelled).refit(votes(prompts(3_000, 2, new=True), 3))
    assert gain(policy, prompts(500, 4, new=True)) > 0.1
    assert gain(policy, prompts(500, 5)) > -0.02


def test_where_votes_say_nothing_the_base_answers() -> None:
    features = prompts(2_000, 2, new=True)
    it = learner()
    policy = it.refit(votes(features, 3, np.full((2_000, K), 0.5)))
    assert gain(policy, prompts(500, 5)) > -0.02
    assert it.figures["evidence"] < 4


def test_where_only_old_prompts_come_nothing_is_lost() -> None:
    assert gain(learner().refit(votes(prompts(3_000, 2), 3)), prompts(800, 5)) > -0.01


def test_an_infinite_tilt_is_the_base() -> None:
    policy = replace(learner().refit(votes(prompts(1_000, 2, new=True), 3)), tilt=float("inf"))
    features = prompts(200, 6, new=True)
    np.testing.assert_array_equal(policy.greedy(features), BASE.logits(features).argmax(axis=1))


def test_one_product_gives_what_the_formula_says() -> None:
    policy = replace(learner().refit(votes(prompts(1_000, 2, new=True), 3)), tilt=0.3)
    features = prompts(50, 7, new=True)
    known = 1 / (1 + np.exp(-policy.novelty.logits(features)))
    logs = np.log(softmax(BASE.logits(features)) + 1e-4)
    expected = policy.values.logits(features) + known * policy.familiar + 0.3 * known * logs
    np.testing.assert_allclose(policy.scores(features), expected, rtol=1e-4, atol=1e-5)


def test_votes_that_weigh_nothing_teach_nothing() -> None:
    batch = votes(prompts(2_000, 2, new=True), 3)
    silent = learner().refit(replace(batch, weights=np.zeros(2_000, np.float32)))
    features = prompts(500, 4, new=True)
    assert gain(learner().refit(batch), features) > gain(silent, features) + 0.05


def test_the_same_examples_give_the_same_policy() -> None:
    batch = votes(prompts(1_000, 2, new=True), 3)
    first, again = learner().refit(batch), learner().refit(batch)
    np.testing.assert_array_equal(first.values.weight, again.values.weight)
    assert first.tilt == again.tilt
