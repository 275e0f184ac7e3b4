"""How much a prompt looks like what the base knows, by one direction in the features."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from ol0.learner.values.ridge import Doubles

NOT_ODD = 2.0
"""Standard deviations from the anchors' mean within which a prompt is rather known than not: one anchor in forty is
further away."""


@dataclass(frozen=True, slots=True)
class Familiarity:
    """f(x) = sigmoid(intercept - weight.x): near 1 for the base's own prompts, near 0 for what they never were.

    The direction is Fisher's linear discriminant between anchors and live prompts, the unit one standard deviation of
    the anchors. Where nothing new comes there is no such direction, and most prompts stay familiar.

    Attributes:
        weight: shape (r,).
        intercept: its zero is two standard deviations beyond the anchors' mean.
    """

    weight: Doubles
    intercept: float

    @classmethod
    def between(cls, anchors: Doubles, live: Doubles) -> Self:
        """From one row for each different prompt: shapes (n, r), (k, r).

        The ridge is what the covariance's mean eigenvalue would be out by with so few prompts (Ledoit and Wolf).
        """
        known, other = anchors.mean(axis=0), live.mean(axis=0)
        spread = (np.cov(anchors.T, bias=True) + np.cov(live.T, bias=True)).reshape(len(known), -1) / 2
        ridge = np.trace(spread) / min(len(anchors), len(live)) + 1e-12
        weight = np.linalg.solve(spread + ridge * np.eye(len(known)), other - known)
        along = anchors @ weight
        unit = max(float(along.std()), 1e-12)
        return cls(weight / unit, NOT_ODD + float(along.mean()) / unit)

    def of(self, features: Doubles) -> Doubles:
        """Shape (n, r) to (n,)."""
        return np.asarray(1 / (1 + np.exp(np.clip(features @ self.weight - self.intercept, -30, 30))))
