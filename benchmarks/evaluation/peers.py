"""What else one could put in the learner's place: one expert for all, LinUCB, a logistic bandit.

Those that learn begin with the anchors, as if these were their own decisions.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.evaluation.contenders import Frozen
from benchmarks.evaluation.worlds import World
from ol0.controller.controller import Actions
from ol0.controller.heads import Floats
from ol0.learning.batch import Batch, join
from ol0.learning.parts import with_bias

Weights = NDArray[np.float64]
GROWTH: Final = 1.2
"""The logistic bandit fits anew when it has so many times the examples of its last fit."""
ITERATIONS: Final = 20
LEAST_PENALTY: Final = 1e-6
"""Of the bias, where an expert has one kind of vote only."""


class SingleExpert(Frozen):
    """The one that is best on average over what the base was trained on."""

    def __init__(self, world: World, _seed: int) -> None:
        self._expert = int(world.old.success.mean(axis=0).argmax())

    def greedy(self, features: Floats) -> Actions:
        """Always the same."""
        return np.full(len(features), self._expert)


class LinUCB:
    """Disjoint LinUCB: a ridge regression for each expert, and the one with the highest upper bound serves.

        theta_a = A_a^-1 b_a,  A_a = I + sum x x^T,  b_a = sum r x,  over the prompts that a has answered
        served: argmax_a theta_a x + alpha sqrt(x^T A_a^-1 x)

    Li et al., "A contextual-bandit approach to personalized news article recommendation", WWW 2010.

    Args:
        world: base and anchors.
        alpha: width of the bound.
    """

    def __init__(self, world: World, alpha: float) -> None:
        self._alpha = alpha
        width, experts = _inputs(world.anchors.features[:1]).shape[1], world.base.choices[0]
        self._inverse = np.tile(np.eye(width), (experts, 1, 1))
        self._sums = np.zeros((width, experts))
        self._theta = np.zeros((width, experts))
        self.learn(world.anchors)

    def greedy(self, features: Floats) -> Actions:
        """The highest estimate, without the bound."""
        return np.asarray((_inputs(features) @ self._theta).argmax(axis=1))

    def probabilities(self, features: Floats) -> Floats:
        """All of it for the highest bound."""
        x = _inputs(features)
        spread = np.stack([((x @ inverse) * x).sum(axis=1) for inverse in self._inverse], axis=1)
        best = (x @ self._theta + self._alpha * np.sqrt(spread)).argmax(axis=1)
        return np.asarray(np.eye(len(self._inverse), dtype=np.float32)[best])

    def learn(self, batch: Batch) -> None:
        """Exactly, by Woodbury's identity; what it learns serves at once."""
        x, taken = _inputs(batch.features), batch.actions[:, 0]
        for expert in np.unique(taken):
            rows = x[taken == expert]
            self._sums[:, expert] += batch.rewards[taken == expert] @ rows
            inverse = self._inverse[expert]
            across = inverse @ rows.T
            inverse -= across @ np.linalg.solve(np.eye(len(rows)) + rows @ across, across.T)
            self._theta[:, expert] = inverse @ self._sums[:, expert]

    def settle(self) -> None:
        """Nothing."""


def logistic(x: Weights, targets: Floats, penalty: float, start: Weights) -> Weights:
    """Weights of logistic regressions of the targets, shape (D + 1, m), after some steps from a start.

    Newton steps with an upper bound of the Hessian, X^T X / 4, so that none goes up: Boehning and Lindsay,
    "Monotonicity of quadratic-approximation algorithms", Annals of the Institute of Statistical Mathematics 40, 1988.

    Args:
        x: with the bias as the last feature, shape (n, D + 1).
        targets: within [0, 1], shape (n, m).
        penalty: of the squared weights, the bias' excepted.
        start: shape (D + 1, m).
    """
    penalties = np.append(np.full(x.shape[1] - 1, penalty), LEAST_PENALTY)[:, None]
    step, weights = np.linalg.inv(x.T @ x / 4 + np.diag(penalties[:, 0])), start
    for _ in range(ITERATIONS):
        error = 1 / (1 + np.exp(-x @ weights)) - targets
        weights = weights - step @ (x.T @ error + penalties * weights)
    return weights


class LogisticBandit:
    """A logistic regression of the vote for each expert, on its own decisions, with epsilon-greedy exploration.

    Args:
        world: base and anchors.
        penalty: of the squared weights, the bias' excepted.
    """

    def __init__(self, world: World, penalty: float) -> None:
        self._penalty = penalty
        self._seen = world.anchors
        self._fitted = 0
        self._weights = np.zeros((_inputs(world.anchors.features[:1]).shape[1], world.base.choices[0]))
        self.settle()

    def greedy(self, features: Floats) -> Actions:
        """The likeliest to please."""
        return np.asarray((_inputs(features) @ self._weights).argmax(axis=1))

    def learn(self, batch: Batch) -> None:
        """Keeps it for the next fit."""
        self._seen = join(self._seen, batch)

    def settle(self) -> None:
        """Fits every expert to everything, if that has grown by a fifth."""
        if len(self._seen) < GROWTH * self._fitted:
            return
        self._fitted = len(self._seen)
        x, taken = _inputs(self._seen.features), self._seen.actions[:, 0]
        for expert in np.unique(taken):
            rows = taken == expert
            self._weights[:, [expert]] = logistic(
                x[rows], self._seen.rewards[rows, None], self._penalty, self._weights[:, [expert]]
            )


def _inputs(features: Floats) -> Weights:
    return with_bias(features).astype(np.float64)
