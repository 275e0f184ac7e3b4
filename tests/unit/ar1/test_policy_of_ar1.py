"""How AR1 chooses: hysteresis, and the propensity of what is taken in the end."""

from itertools import product

import numpy as np
import pytest

from ol0.ar1.policy import WEIGHTS, bias_with_hysteresis, from_raw, to_raw
from ol0.controller.hysteresis import Hysteresis
from unit.ar1.worlds import small_policy

CHOICES = (3, 2, 3, 4)


def test_all_four_parts_flip_or_none_and_a_score_of_tau_is_not_enough() -> None:
    logits = tuple(np.array([[0.0, gain]] * 2, np.float32) for gain in (1.25, 0.0, 0.0, 0.0))
    new, old = np.ones((2, 4), np.intp), np.zeros((2, 4), np.intp)
    assert (Hysteresis(WEIGHTS, 0.5).taken(logits, new, old) == old).all()
    assert (Hysteresis(WEIGHTS, 0.49).taken(logits, new, old) == new).all()


def test_the_bias_scale_moves_by_itself() -> None:
    new, old = np.array([1.2, 1.2], np.float32), np.array([1.15, 1.0], np.float32)
    np.testing.assert_array_equal(bias_with_hysteresis(new, old, tau=0.5), np.array([1.15, 1.2], np.float32))


def test_raw_numbers_and_indices_are_two_names_of_every_action() -> None:
    checkpoint, _, _ = small_policy()
    actions = np.array(list(product(*map(range, CHOICES))), np.intp)
    raw = to_raw(actions, np.ones(len(actions), np.float32))
    np.testing.assert_array_equal(from_raw(raw, checkpoint.architecture), actions)
    assert raw[-1].tolist() == [2, 1, 3, 64, 1]


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ([3, 0, 1, 8], "row 0: 3 is no expert"),
        ([0, 2, 1, 8], "2 is no scope"),
        ([0, 0, 0, 8], "0 is no span"),
        ([0, 0, 4, 8], "4 is no span"),
        ([0, 0, 1, 12], "12 is no rank"),
        ([0, 0, 1, 128], "128 is no rank"),
        ([0.5, 0, 1, 8], r"0\.5 is no expert"),
        ([np.nan, 0, 1, 8], "nan is no expert"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_a_number_that_stands_for_no_choice_is_named(raw: list[float], words: str) -> None:
    checkpoint, _, _ = small_policy()
    with pytest.raises(ValueError, match=words):
        from_raw(np.array([raw], np.float32), checkpoint.architecture)
