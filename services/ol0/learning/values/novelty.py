"""Which prompts look like live traffic and unlike what the base knows, by one direction in the features."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from ol0.controller.heads import Doubles, Floats


@dataclass(frozen=True, slots=True)
class Novelty:
    """z(x) = weight.x + bias: log odds that a prompt is one of the live ones and not one of the base's own.

    Attributes:
        weight: shape (r,).
        bias: z is 0 half way between the means of both.

    References:
        Fisher, "The use of multiple measurements in taxonomic problems", 1936: the linear discriminant.
    """

    weight: Doubles
    bias: float

    @classmethod
    def between(cls, anchors: Floats, live: Floats) -> Self:
        """From one row for each different prompt: shapes (n, r), (k, r); where one is empty, nothing is new.

        The ridge is what the covariance's mean eigenvalue would be out by with so few prompts (Ledoit and Wolf).
        """
        if not len(anchors) or not len(live):
            return cls(np.zeros(anchors.shape[1]), 0.0)
        known, other = (it.mean(axis=0, dtype=np.float64) for it in (anchors, live))
        spread = (_covariance(anchors) + _covariance(live)) / 2
        ridge = np.trace(spread) / min(len(anchors), len(live)) + 1e-12
        weight: Doubles = np.asarray(np.linalg.solve(spread + ridge * np.eye(len(known)), other - known), np.float64)
        return cls(weight, -float(weight @ (known + other)) / 2)

    def of(self, features: Doubles) -> Doubles:
        """Shape (n, r) to (n,)."""
        return np.asarray(features @ self.weight + self.bias)


def _covariance(features: Floats) -> Doubles:
    """Shape (n, r) to (r, r). The ridge is larger than what float32 loses."""
    centred = features - features.mean(axis=0)
    return np.asarray(centred.T @ centred, np.float64) / len(features)
