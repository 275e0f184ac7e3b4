from dataclasses import replace

import numpy as np
import pytest

from ol0.controller.heads import Head
from ol0.learning.values.fit import FIRST_ROUNDS, TEMPERATURE, Fit, Votes

K, R = 3, 5
RNG = np.random.default_rng(0)
BASE = Head(RNG.normal(size=(K, R)).astype(np.float32), RNG.normal(size=K).astype(np.float32))


def prompts(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, R))


def votes(features: np.ndarray, worth: np.ndarray, seed: int, weight: float = 1.0) -> Votes:
    """Of choices by chance."""
    rng, n = np.random.default_rng(seed), len(features)
    actions = rng.integers(0, K, n)
    rewards = (rng.random(n) < worth[np.arange(n), actions]).astype(np.float64)
    return Votes(np.column_stack([features, np.ones(n)]), actions, rewards, np.full(n, weight))


def right(features: np.ndarray) -> np.ndarray:
    """What choices are worth where the base is right."""
    answers = BASE.logits(features.astype(np.float32)).argmax(axis=1)
    return np.where(answers[:, None] == np.arange(K), 0.9, 0.1)


def fit(live: Votes, anchors: Votes) -> Fit:
    nothing = Fit.nothing(live.rewards, K, R + 1)
    return nothing.after(live, anchors, np.arange(len(live.rewards)), FIRST_ROUNDS)[0]


def head(it: Fit) -> Head:
    return it.head(np.eye(R))


SILENT = votes(prompts(64, 1), np.full((64, K), 0.5), 1, weight=0.0)


def test_without_votes_the_values_order_choices_as_the_bases_own_prompts_do() -> None:
    features = prompts(1_000, 2)
    it = fit(SILENT, votes(features, right(features), 3))
    new = prompts(500, 4).astype(np.float32)
    assert (head(it).logits(new).argmax(axis=1) == BASE.logits(new).argmax(axis=1)).mean() > 0.85


def test_where_nothing_is_known_all_choices_are_worth_the_same() -> None:
    it = fit(SILENT, replace(SILENT, weights=np.zeros(64)))
    assert not head(it).weight.any()
    assert not head(it).bias.any()


def test_votes_go_over_what_the_base_says() -> None:
    # Given prompts on which the base's last choice is right
    features = prompts(3_000, 2)
    worth = np.where(BASE.logits(features.astype(np.float32)).argmin(axis=1)[:, None] == np.arange(K), 0.9, 0.1)
    it = fit(votes(features, worth, 3), SILENT)
    new = prompts(500, 4).astype(np.float32)
    assert (head(it).logits(new).argmax(axis=1) == BASE.logits(new).argmin(axis=1)).mean() > 0.8


def test_what_was_served_is_worth_what_the_head_says() -> None:
    features = prompts(400, 2)
    live = votes(features, right(features), 3)
    it = fit(live, SILENT)
    logits = head(it).logits(features.astype(np.float32))
    served = TEMPERATURE * logits[np.arange(400), live.actions]
    np.testing.assert_allclose(served, it.served(live), atol=1e-5)


@pytest.mark.parametrize(("alike", "least", "most"), [(0.0, 0.8, 0.95), (1.0, 0.1, 0.3)])
def test_many_votes_on_one_prompt_count_for_what_they_tell(alike: float, least: float, most: float) -> None:
    # Given thirty equal votes for a choice on one prompt, and one against it on each of four like it
    n, prompt = 34, np.ones(R) / R**0.5
    x = np.column_stack([np.tile(prompt, (n, 1)), np.ones(n)])
    rewards = np.repeat([1.0, 0.0], [30, 4])
    live = Votes(x, np.zeros(n, np.intp), rewards, np.ones(n))
    cell = np.concatenate([np.zeros(30, np.intp), np.arange(1, 5)])
    nothing = replace(Fit.nothing(rewards, K, R + 1), alike=alike)
    it, _ = nothing.after(live, replace(SILENT, weights=np.zeros(64)), cell, 1)
    assert least <= it.served(live)[0] <= most
