import re
from dataclasses import replace
from random import Random

import numpy as np
import pytest

from ol0.controller.exploration import Draw
from ol0.controller.warmup import log_anchor
from ol0.errors import RangeError
from ol0.learning.batch import unit_of
from ol0.learning.examples import Example, batch_of
from unit.learning.learner_world import DIMENSION, make_base

BASE = make_base((2, 3))
GOOD = Example(np.arange(DIMENSION), (1, 2), (0.5, 0.25), 0.75, "s-1", "anna")


def test_a_batch_holds_what_the_examples_say_in_their_order() -> None:
    batch = batch_of([GOOD, replace(GOOD, reward=0, user=None)], BASE)
    np.testing.assert_array_equal(batch.features, [np.arange(DIMENSION)] * 2)
    np.testing.assert_array_equal(batch.actions, [[1, 2]] * 2)
    np.testing.assert_array_equal(batch.propensities, np.array([[0.5, 0.25]] * 2, np.float32))
    np.testing.assert_array_equal(batch.rewards, [0.75, 0])
    np.testing.assert_array_equal(batch.weights, [1, 1])
    assert batch.users.tolist() == [unit_of("anna", "s-1"), unit_of(None, "s-1")]


def test_none_are_a_batch_of_the_right_shapes() -> None:
    batch = batch_of([], BASE)
    assert (batch.features.shape, batch.actions.shape, len(batch)) == ((0, DIMENSION), (0, 2), 0)


def test_an_example_of_the_log_is_the_decision_and_its_reward() -> None:
    features = np.arange(DIMENSION, dtype=np.float32)
    anchor = log_anchor(BASE, 7, features, Draw((1, 2), (0.5, 0.25)), reward=0.75, group=None, rng=Random(0))
    (mine,), (logged,) = (
        batch_of([example], BASE).features for example in (GOOD, Example.of(anchor.decision, anchor.reward))
    )
    np.testing.assert_array_equal(mine, logged)
    assert Example.of(anchor.decision, 0.75).session_id == "anchor-7"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"features": np.zeros(5)}, f"features of shape (5,); the base takes ({DIMENSION},): encode states"),
        ({"features": np.full(DIMENSION, np.nan)}, "features hold a number that is not finite"),
        ({"action": (1, 3)}, "action (1, 3); one index for each of the parts ('part0', 'part1') below (2, 3)"),
        ({"action": (-1, 0)}, "action (-1, 0)"),
        ({"action": (1,)}, "action (1,)"),
        ({"propensity": (0.5, 0.0)}, "propensity (0.5, 0.0); one number above 0 and at most 1 for each part"),
        ({"propensity": (0.5,)}, "propensity (0.5,)"),
        ({"propensity": (0.5, float("nan"))}, "propensity (0.5, nan)"),
        ({"reward": 1.5}, "reward 1.5; expected 0 to 1"),
        ({"reward": float("nan")}, "reward nan"),
    ],
)
def test_an_example_that_does_not_fit_is_named_with_what_would(changes: dict[str, object], words: str) -> None:
    with pytest.raises(RangeError, match=re.escape(f"example 1 (session s-2): {words}")):
        batch_of([GOOD, replace(GOOD, session_id="s-2", **changes)], BASE)
