"""What no contender can have: every prompt's label for every expert."""

from collections.abc import Mapping
from typing import Final

import numpy as np

from benchmarks.evaluation.contenders import Frozen
from benchmarks.evaluation.peers import logistic
from benchmarks.evaluation.traffic import Outcome, points
from benchmarks.evaluation.worlds import Pool, World
from ol0.controller.controller import Actions
from ol0.controller.heads import Floats
from ol0.learning.parts import with_bias

ALL_LABELS: Final = "all labels, and told which prompts are new"
ONE_HEAD: Final = "all labels, one head for old and new"
ORACLE: Final = "best expert for each prompt"
PENALTY: Final = 1.0
"""Of .1, 1 and 10 for a logistic regression; it, a ridge regression, the base's softmax and the expected success itself
come within a point of each other on seeds 10-14."""


class AllLabels(Frozen):
    """The success of every expert as a linear function of the features, fitted to all labels of a pool."""

    def __init__(self, pool: Pool) -> None:
        x = with_bias(pool.features).astype(np.float64)
        self._weights = logistic(x, pool.success, PENALTY, np.zeros((x.shape[1], pool.success.shape[1])))

    def greedy(self, features: Floats) -> Actions:
        """The likeliest to succeed."""
        return np.asarray((with_bias(features) @ self._weights).argmax(axis=1))


def ceilings(world: World, seed: int) -> Mapping[str, Outcome]:
    """By name; they are no part of the traffic, so that nothing is known of it."""
    base, new, both = Frozen(world, seed), AllLabels(world.new), AllLabels(world.new.followed_by(world.old))
    best = [100 * float(pool.success.max(axis=1).mean()) for pool in (world.new_test, world.old_test)]
    return {
        ALL_LABELS: _known(points(new, world.new_test), points(base, world.old_test)),
        ONE_HEAD: _known(points(both, world.new_test), points(both, world.old_test)),
        ORACLE: _known(*best),
    }


def _known(new: float, old: float) -> Outcome:
    return Outcome((), new, old, None, None, None)
