import doctest
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ol0.statistics import spending
from ol0.statistics.spending import candidate_alpha


def test_the_docstring_examples_hold() -> None:
    assert doctest.testmod(spending).failed == 0


@given(st.integers(1, 500), st.floats(1e-6, 0.999))
def test_the_first_k_candidates_together_spend_all_but_one_part_in_k_plus_1(k: int, alpha: float) -> None:
    spent = math.fsum(candidate_alpha(j, alpha) for j in range(1, k + 1))
    assert spent == pytest.approx(alpha * (1 - 1 / (k + 1)))
    assert spent < alpha


@pytest.mark.parametrize("candidate", [0, -1])
def test_candidates_are_counted_from_one(candidate: int) -> None:
    with pytest.raises(ValueError, match="counted from 1"):
        candidate_alpha(candidate, 0.05)


@pytest.mark.parametrize("alpha", [0.0, 1.0, math.nan])
def test_a_budget_outside_0_and_1_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha"):
        candidate_alpha(1, alpha)
