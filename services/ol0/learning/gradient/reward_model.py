"""Predicts the reward of every choice, where feedback covers only the served one."""

from dataclasses import dataclass

import numpy as np

from ol0.controller.heads import Floats
from ol0.learning.batch import Batch
from ol0.learning.gradient.objective import Forward, Term
from ol0.learning.parts import Parts

# A right action earns .95, a wrong one .05 (people err); between them log losses and priorities stay finite.
FLOOR = 0.05
SPAN = 0.9


@dataclass(frozen=True, slots=True)
class Prediction:
    """The model's predictions for a batch.

    Attributes:
        rewards: R of every choice, shape (n, K).
        served: R of the served choice of each part, shape (n, parts).
        errors: r - R of the served choice of each part, shape (n, parts).
        term: the model's own loss, and its gradient by theta.
    """

    rewards: Floats
    served: Floats
    errors: Floats
    term: Term


class RewardModel:
    """Exactly one choice of a part is right: R = .05 + .9 softmax((W0 + theta) h). Never serves.

    It starts from the base's beliefs (theta = 0). The reward of one choice informs about all others, which a logistic
    model per action cannot express.
    """

    def __init__(self, base: Floats, parts: Parts) -> None:
        """base: the stacked base heads W0, shape (D + 1, K)."""
        self._base = base
        self._parts = parts

    def predict(self, features: Floats, theta: Floats, batch: Batch) -> Prediction:
        """Predicts rewards, and compares them with those of the served choices.

            loss = 1 / n  sum_i omega_i sum_parts BCE(r_i, R_i(a_i))

        Args:
            features: with the appended 1, shape (n, D + 1).
            theta: shape (D + 1, K).
            batch: the n examples; their weights are omega.
        """
        beliefs = Forward.of(features, self._base + theta, self._parts).probabilities
        rewards = FLOOR + SPAN * beliefs
        rows, columns = np.arange(len(batch))[:, None], self._parts.columns(batch.actions)
        served, observed = rewards[rows, columns], batch.rewards[:, None]
        factor = batch.weights[:, None] / len(batch)
        loss = -(observed * np.log(served) + (1 - observed) * np.log1p(-served))
        # d BCE / dR, times dR / dlogit of the served choice; the others share it with the opposite sign.
        slope = factor * (served - observed) / (served * (1 - served)) * (rewards[rows, columns] - FLOOR)
        by_logit = -self._parts.spread(slope) * beliefs
        by_logit[rows, columns] += slope
        return Prediction(rewards, served, observed - served, Term(float((factor * loss).sum()), features.T @ by_logit))
