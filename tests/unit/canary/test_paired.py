import doctest

import numpy as np
import pytest

from ol0.canary import paired
from ol0.canary.paired import Differences, lower_bound, prompts_needed, score

MARGIN = 0.02


def counted(prompts: int, gains: int, losses: int) -> Differences:
    """Of prompts that are passed or not."""
    return Differences.of(np.repeat([1.0, -1.0, 0.0], [gains, losses, prompts - gains - losses]))


def tango(prompts: int, gains: int, losses: int, difference: float) -> float:
    """The statistic for pairs of passed and failed, as published."""
    n, b, c = prompts, gains, losses
    linear, constant = -b - c + (2 * n - b + c) * difference, -c * difference * (1 - difference)
    loss = ((linear**2 - 8 * n * constant) ** 0.5 - linear) / (4 * n)
    return float((b - c - n * difference) / (n * (2 * loss + difference * (1 - difference))) ** 0.5)


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(paired).failed == 0


@pytest.mark.parametrize(("gains", "losses"), [(0, 0), (0, 8), (15, 20), (40, 3)])
def test_where_answers_are_right_or_wrong_it_is_tangos_score(gains: int, losses: int) -> None:
    for claimed in (-0.05, -MARGIN):
        found = score(counted(1_200, gains, losses), 1.0, claimed)
        assert found == pytest.approx(tango(1_200, gains, losses, claimed), rel=1e-6)


def test_the_score_is_mcnemars_where_no_difference_is_claimed() -> None:
    assert score(counted(200, gains=16, losses=9), 1.0, 0.0) == pytest.approx((16 - 9) / 25**0.5)


def test_agreement_on_few_prompts_proves_nothing() -> None:
    # The normal interval has width 0 here and would approve.
    assert lower_bound(counted(20, gains=0, losses=0), 1.0, 0.05) < -MARGIN


def test_one_small_difference_does_not_hide_how_much_a_prompt_can_lose() -> None:
    change = np.zeros(20)
    change[0] = 0.001
    assert lower_bound(Differences.of(change), 1.0, 0.05) < -MARGIN


def test_more_prompts_bring_the_bound_nearer() -> None:
    bounds = [lower_bound(counted(n, n // 50, n // 50), 1.0, 0.05) for n in (200, 1_200, 6_000)]
    assert bounds == sorted(bounds)
    assert bounds[-1] < 0


def test_a_complete_loss_is_bounded_by_minus_one() -> None:
    assert lower_bound(counted(30, gains=0, losses=30), 1.0, 0.05) == pytest.approx(-1, abs=1e-3)


def test_the_unit_of_rewards_does_not_matter() -> None:
    change = np.random.default_rng(0).choice([-0.8, -0.1, 0.0, 0.3], 500)
    whole, rare = (lower_bound(Differences.of(unit * change), unit, 0.05) for unit in (1.0, 0.005))
    assert rare == pytest.approx(0.005 * whole)


def test_as_many_prompts_as_are_needed_are_enough_and_one_less_is_not() -> None:
    churn = Differences(1, np.array([-0.5, 0.0, 0.5]), np.array([0.05, 0.9, 0.05]))
    needed = prompts_needed(churn, 1.0, MARGIN, 0.05)
    for prompts, shown in ((needed, True), (needed - 1, False)):
        low = lower_bound(Differences(prompts, churn.sizes, churn.shares), 1.0, 0.05)
        assert (low >= -MARGIN * (1 + 1e-9)) is shown


def graded(rng: np.random.Generator, loss: float) -> Differences:
    """Small differences on most prompts, large ones on a few."""
    small = rng.choice([-0.1, 0.1], 1_200) * (rng.random(1_200) < 0.6)
    large = rng.choice([-1.0, 1.0], 1_200) * (rng.random(1_200) < 0.01)
    return Differences.of(small + large - loss)


def binary(rng: np.random.Generator, loss: float) -> Differences:
    gains, losses, _ = rng.multinomial(1_200, [0.02, 0.02 + loss, 0.96 - loss])
    return counted(1_200, int(gains), int(losses))


@pytest.mark.parametrize("draw", [binary, graded])
def test_a_loss_of_the_margin_passes_one_time_in_twenty(draw: object) -> None:
    assert callable(draw)
    rng = np.random.default_rng(0)
    passed = [score(draw(rng, MARGIN), 1.2, -MARGIN) >= 1.645 for _ in range(1_000)]
    assert 0.02 < np.mean(passed) < 0.07
