"""What the base's answers are worth on its own prompts, and what is lost where another answer is given."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from ol0.controller.heads import Doubles, Floats
from ol0.learning.calibration import LOG_FLOOR, logistic, sigmoid

_PRIOR = np.array([1.0, 0.0, 0.0])
_RIDGE = np.array([1e-2, 1.0, 1e-2])


@dataclass(frozen=True, slots=True)
class Belief:
    """P(reward | choice a) = sigmoid(slope log(p0(a) + 1e-4) + lead 1[a is the base's answer] + intercept).

    The lead is what the base's answer has before all others that its probabilities do not tell: where many choices are
    right, or one is the best for every prompt, they tell nothing, and leaving the answer costs all the same.
    """

    slope: float
    lead: float
    intercept: float

    @classmethod
    def fit(cls, shares: Floats, actions: np.ndarray[tuple[int], np.dtype[np.intp]], rewards: Floats) -> Self:
        """From logged decisions.

        Args:
            shares: p0 of every choice, shape (n, K).
            actions: what was served, shape (n,).
            rewards: within [0, 1], shape (n,).
        """
        logs, is_answer = _features(shares)
        rows = np.arange(len(actions))
        design = np.stack([logs[rows, actions], is_answer[rows, actions], np.ones(len(actions))])
        # Negative ones would pay for every answer of the base that is given up.
        slope, lead, intercept = logistic(design, rewards, _PRIOR, _RIDGE, rising=2)
        return cls(float(slope), float(lead), float(intercept))

    def rewards(self, shares: Floats) -> Doubles:
        """Expected reward of every choice, shape (n, K)."""
        logs, is_answer = _features(shares)
        return sigmoid(self.slope * logs + self.lead * is_answer + self.intercept)


def _features(shares: Floats) -> tuple[Doubles, Doubles]:
    logs = np.log(shares.astype(np.float64) + LOG_FLOOR)
    is_answer = np.zeros_like(logs)
    is_answer[np.arange(len(logs)), logs.argmax(axis=1)] = 1
    return logs, is_answer
