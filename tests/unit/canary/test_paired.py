import doctest

import numpy as np
import pytest

from ol0.canary import paired
from ol0.canary.paired import PairedCounts, lower_bound, score

MARGIN = 0.02


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(paired).failed == 0


def test_the_score_is_mcnemars_where_no_difference_is_claimed() -> None:
    assert score(PairedCounts(200, gains=9, losses=16), 0.0) == pytest.approx((9 - 16) / 25**0.5)


def test_agreement_on_few_prompts_proves_nothing() -> None:
    # The normal interval has width 0 here and would approve.
    assert lower_bound(PairedCounts(20, gains=0, losses=0), 0.05) < -MARGIN


def test_more_prompts_bring_the_bound_nearer() -> None:
    bounds = [lower_bound(PairedCounts(n, n // 50, n // 50), 0.05) for n in (200, 1_200, 6_000)]
    assert bounds == sorted(bounds)
    assert bounds[-1] < 0


def test_a_complete_loss_is_bounded_by_minus_one() -> None:
    assert lower_bound(PairedCounts(30, gains=0, losses=30), 0.05) == pytest.approx(-1, abs=1e-3)


@pytest.mark.parametrize("churn", [0.0, 0.02])
def test_a_loss_of_the_margin_passes_one_time_in_twenty(churn: float) -> None:
    rng = np.random.default_rng(0)
    draws = rng.multinomial(1_200, [churn, churn + MARGIN, 1 - 2 * churn - MARGIN], 1_000)
    passed = [lower_bound(PairedCounts(1_200, int(b), int(c)), 0.05) >= -MARGIN for b, c, _ in draws]
    assert 0.03 < np.mean(passed) < 0.07
