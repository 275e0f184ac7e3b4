"""Linear heads, one per part of the action, and the mixer that weighs learnt heads against base heads."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Head:
    """logits = weight h + bias, for one part of the action.

    Attributes:
        weight: shape (K, D), K choices and D features.
        bias: shape (K,).
    """

    weight: Floats
    bias: Floats

    @property
    def choices(self) -> int:
        """K."""
        return int(self.weight.shape[0])

    def logits(self, features: Floats) -> Floats:
        """Shape (n, D) to (n, K)."""
        return features @ self.weight.T + self.bias


@dataclass(frozen=True, slots=True)
class Mixer:
    """g(h) = sigmoid(weight h - threshold): how much the learnt heads may say about this prompt.

    Attributes:
        weight: shape (D,).
        threshold: a larger one leaves more prompts to the base.
    """

    weight: Floats
    threshold: float

    @classmethod
    def closed(cls, dimension: int) -> Self:
        """A mixer that looks at nothing; with learnt heads equal to the base's it changes nothing."""
        return cls(np.zeros(dimension, np.float32), 0.0)

    def scores(self, features: Floats) -> Floats:
        """W h - threshold, shape (n, D) to (n,)."""
        return np.asarray(features @ self.weight - np.float32(self.threshold))


def softmax(logits: Floats) -> Floats:
    """Along the last axis."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True), np.float32)


def sigmoid(values: Floats) -> Floats:
    """Clipped at +-30, beyond which float32 knows no difference."""
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -30, 30))), np.float32)
