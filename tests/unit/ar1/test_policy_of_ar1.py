"""How AR1 chooses: hysteresis, and the propensity of what is taken in the end."""

from itertools import product

import numpy as np
import pytest

from ol0.ar1.policy import bias_with_hysteresis, change_score, from_raw, taken_propensity, to_raw, with_hysteresis
from ol0.controller.heads import Floats
from unit.ar1.worlds import small_policy

CHOICES = (3, 2, 3, 4)


def made_up_logits(rows: int, seed: int = 0) -> tuple[Floats, ...]:
    rng = np.random.default_rng(seed)
    return tuple(rng.normal(size=(rows, count)).astype(np.float32) for count in CHOICES)


def test_the_score_weighs_expert_twice_and_divides_by_the_temperature() -> None:
    logits = tuple(np.array([[0.0, 1.0]], np.float32) for _ in range(4))
    new, old = np.ones((1, 4), np.intp), np.zeros((1, 4), np.intp)
    assert change_score(logits, new, old, 1.0) == pytest.approx([1.0])
    assert change_score(logits, new, old, 0.5) == pytest.approx([2.0])
    only_expert = np.array([[1, 0, 0, 0]], np.intp)
    assert change_score(logits, only_expert, old, 1.0) == pytest.approx([0.4])


def test_all_four_parts_flip_or_none_and_a_score_of_tau_is_not_enough() -> None:
    logits = tuple(np.array([[0.0, gain]] * 2, np.float32) for gain in (1.25, 0.0, 0.0, 0.0))
    new, old = np.ones((2, 4), np.intp), np.zeros((2, 4), np.intp)
    assert (with_hysteresis(logits, new, old, tau=0.5) == old).all()
    assert (with_hysteresis(logits, new, old, tau=0.49) == new).all()


def test_the_bias_scale_moves_by_itself() -> None:
    new, old = np.array([1.2, 1.2], np.float32), np.array([1.15, 1.0], np.float32)
    np.testing.assert_array_equal(bias_with_hysteresis(new, old, tau=0.5), np.array([1.15, 1.2], np.float32))


def test_without_a_previous_action_the_propensity_is_the_softmax() -> None:
    logits, taken = made_up_logits(1), np.array([[2, 1, 0, 3]], np.intp)
    found = taken_propensity(logits, taken, None, temperature=0.5)
    for part, values in enumerate(logits):
        weights = np.exp(values[0] / 0.5)
        assert found[0, part] == pytest.approx(weights[taken[0, part]] / weights.sum(), rel=1e-5)


def test_the_propensity_of_what_is_taken_is_how_often_it_is_taken() -> None:
    # Given a state, an action before it, and what AR1 does: it samples, then keeps the old action or flips.
    count, rng = 40_000, np.random.default_rng(2)
    logits, previous = made_up_logits(1, seed=5), np.array([[1, 0, 2, 1]], np.intp)
    samples = np.stack(
        [rng.choice(len(one[0]), count, p=np.exp(one[0]) / np.exp(one[0]).sum()) for one in _doubles(logits)], axis=1
    )
    many = tuple(np.repeat(one, count, axis=0) for one in logits)
    taken = with_hysteresis(many, samples, np.repeat(previous, count, axis=0))
    # Then each part is taken as often as its propensity says, which the softmax does not.
    for part, count_of_part in enumerate(CHOICES):
        for choice in range(count_of_part):
            action = previous.copy()
            action[0, part] = choice
            frequency = float((taken[:, part] == choice).mean())
            assert taken_propensity(logits, action, previous)[0, part] == pytest.approx(frequency, abs=0.01)
    before = taken_propensity(logits, previous, None)
    assert (taken_propensity(logits, previous, previous) - before).min() > 0.1


def test_propensities_of_all_choices_of_a_part_sum_to_one() -> None:
    logits, previous = made_up_logits(5, seed=4), np.tile(np.array([[0, 1, 1, 2]], np.intp), (5, 1))
    for part, count in enumerate(CHOICES):
        total = np.zeros(5)
        for choice in range(count):
            taken = previous.copy()
            taken[:, part] = choice
            total += taken_propensity(logits, taken, previous)[:, part]
        np.testing.assert_allclose(total, 1, atol=1e-5)


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


def _doubles(logits: tuple[Floats, ...]) -> list[np.ndarray[tuple[int, int], np.dtype[np.float64]]]:
    return [one.astype(np.float64) for one in logits]
