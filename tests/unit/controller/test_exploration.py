from collections import Counter
from random import Random

import pytest

from ol0.controller.exploration import explore, propensity

GREEDY, CHOICES, EPSILON = (2, 0), (4, 2), 0.2


def test_every_propensity_is_the_frequency_with_which_the_part_is_drawn() -> None:
    rng, draws = Random(1), 40_000
    counts = Counter(explore(GREEDY, CHOICES, EPSILON, rng).action for _ in range(draws))
    for expert in range(4):
        for scope in range(2):
            expected = propensity((expert, scope), GREEDY, CHOICES, EPSILON)
            frequency = counts[expert, scope] / draws
            assert frequency == pytest.approx(expected[0] * expected[1], abs=0.01)


def test_a_draw_carries_the_propensity_of_what_was_taken() -> None:
    draw = explore(GREEDY, CHOICES, EPSILON, Random(5))
    assert draw.propensity == propensity(draw.action, GREEDY, CHOICES, EPSILON)


def test_propensities_of_a_part_sum_to_one() -> None:
    assert sum(propensity((expert,), (2,), (4,), EPSILON)[0] for expert in range(4)) == pytest.approx(1)


def test_without_exploration_the_greedy_action_is_certain() -> None:
    draw = explore(GREEDY, CHOICES, 0.0, Random(0))
    assert draw.action == GREEDY
    assert draw.propensity == (1.0, 1.0)
