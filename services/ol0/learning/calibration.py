"""How far the mixer may open: calibrated last, on the exact controller that ships, under greedy serving."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from ol0.controller.controller import Actions, Controller
from ol0.controller.heads import Doubles, Floats
from ol0.learning.batch import Batch
from ol0.learning.parts import Parts

# Thresholds that are tried, from open to closed, in logits of the mixer. Below 0 the learnt heads would have the larger
# say on prompts that look rather like the base's own; where the two heads agree on the anchors, no regret shows that.
# Beyond 5 the steps are wide: prompts that differ in one strong feature have scores of 10 and more on both sides.
# CLOSED is beyond any score: sigmoid is cut at 30, so that a controller with it answers as the base does, whatever the
# learnt heads say.
CLOSED = 1e4
THRESHOLDS = (*(float(t) for t in np.arange(0, 5.01, 0.2)), 6.0, 7.0, 8.0, 10.0, 12.0, 15.0, 20.0, CLOSED)
POINTS = 100  # regret is told in percentage points of reward
NEWTON_STEPS = 30
RIDGE = 1e-2  # pulls (slope, intercept) to (1, 0): a base that is calibrated as it stands
SMALLEST_STEP = 1e-9
LOG_FLOOR = 1e-4  # a choice that the base rules out keeps a finite score

F = TypeVar("F", np.float32, np.float64)


@dataclass(frozen=True, slots=True)
class Platt:
    """P(reward | choice a) = sigmoid(slope log(p0(a) + 1e-4) + intercept).

    References:
        Platt, "Probabilistic outputs for support vector machines", 1999.
    """

    slope: float
    intercept: float

    @classmethod
    def fit(cls, probabilities: Floats, rewards: Floats) -> Self:
        """With a small ridge.

        Args:
            probabilities: p0 of the served choice, shape (n,).
            rewards: within [0, 1], shape (n,).
        """
        design = np.stack([np.log(probabilities.astype(np.float64) + LOG_FLOOR), np.ones(len(rewards))])
        # A negative slope would pay for every answer of the base that is given up.
        slope, intercept = logistic(design, rewards, _PRIOR, np.array([RIDGE, RIDGE]), rising=1)
        return cls(float(slope), float(intercept))

    def rewards(self, probabilities: Floats) -> NDArray[np.float64]:
        """Expected reward of choices that the base gives these probabilities, same shape."""
        return sigmoid(self.slope * np.log(probabilities.astype(np.float64) + LOG_FLOOR) + self.intercept)


@dataclass(frozen=True, slots=True)
class RegretGauge:
    """What a controller gives up on held-out anchors, if the base is right there.

    Attributes:
        features: shape (n, D).
        expected: calibrated reward of every choice, shape (n, K).
        base: columns of the base's own choices, shape (n, parts).
        parts: the columns.
    """

    features: Floats
    expected: NDArray[np.float64]
    base: Actions
    parts: Parts

    @classmethod
    def of(cls, base: Controller, logged: Batch, held_out: Batch) -> Self:
        """Calibrates part by part on all logged anchors; the gauge itself stands on those that are never trained on."""
        policy = base.policy(logged.features)
        rows = np.arange(len(logged))
        calibrations = [Platt.fit(pi[rows, logged.actions[:, part]], logged.rewards) for part, pi in enumerate(policy)]
        expected = [platt.rewards(pi) for platt, pi in zip(calibrations, base.policy(held_out.features), strict=True)]
        parts = Parts(base.choices)
        choices = parts.columns(base.greedy(held_out.features))
        return cls(held_out.features, np.concatenate(expected, axis=1), choices, parts)

    def regret(self, controller: Controller) -> float:
        """Percentage points of expected reward per prompt, summed over the parts (a bound for the whole action)."""
        if not len(self.features):
            return 0.0
        rows = np.arange(len(self.features))[:, None]
        chosen = self.parts.columns(controller.greedy(self.features))
        lost = self.expected[rows, self.base] - self.expected[rows, chosen]
        return POINTS * float(lost.sum(axis=1).mean())


def calibrate(gauge: RegretGauge, controller_at: Callable[[float], Controller], budget: float) -> float:
    """The smallest threshold whose regret is within the budget, in points; ``CLOSED`` if none is."""
    return next((t for t in THRESHOLDS if gauge.regret(controller_at(t)) <= budget), CLOSED)


_PRIOR = np.array([1.0, 0.0])


def sigmoid(scores: NDArray[F]) -> NDArray[F]:
    """In any precision, without overflow."""
    return np.asarray((1 + np.tanh(scores / 2)) / 2, scores.dtype)


def logistic(design: Doubles, rewards: Floats, prior: Doubles, ridge: Doubles, rising: int) -> Doubles:
    """Logistic regression by Newton's method on the log loss, with a quadratic pull to the prior; shape (k,).

    Args:
        design: shape (k, n).
        rewards: within [0, 1], shape (n,).
        prior: where weights are without data, shape (k,).
        ridge: how strong the pull is on each, shape (k,).
        rising: of the weights, the first so many are not negative. One that would be is 0, and the others are fitted
            without it: they must not make up for what is not there.
    """
    free = np.ones(len(prior), np.bool_)
    while True:
        weights = np.zeros(len(prior))
        weights[free] = _newton(design[free], rewards, prior[free], ridge[free])
        if not (weights[:rising] < 0).any():
            return weights
        free[int(weights[:rising].argmin())] = False


def _newton(design: Doubles, rewards: Floats, prior: Doubles, ridge: Doubles) -> Doubles:
    def loss(at: Doubles) -> float:
        scores, offset = at @ design, at - prior
        return float((np.logaddexp(0, scores) - rewards * scores).sum() + (ridge * offset**2).sum() / 2)

    weights = prior
    for _ in range(NEWTON_STEPS):
        q = sigmoid(weights @ design)
        hessian = (design * (q * (1 - q))) @ design.T + np.diag(ridge)
        step = np.linalg.solve(hessian, design @ (q - rewards) + ridge * (weights - prior))
        # Where the scores saturate a full step overshoots without end.
        before = loss(weights)
        while np.abs(step).max() > SMALLEST_STEP and loss(weights - step) > before:
            step = step / 2
        weights = weights - step
    return weights
