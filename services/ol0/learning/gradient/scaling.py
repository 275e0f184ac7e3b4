"""Units of the learner, which make its settings valid for features of any scale and number."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from ol0.controller.heads import Floats
from ol0.learning.parts import with_bias

# sum |h_d| of the unit vectors that the settings were found on: .8 sqrt(D) with D = 384. An Adam step of rate eta moves
# a logit by up to eta times this sum.
USUAL_SUM = 16.0


@dataclass(frozen=True, slots=True)
class Scaling:
    """Inside the learner prompts have about length 1, and a step moves logits as far as it would with 384 features.

    Heads and mixer change their units with the features, so that what they answer stays the same. The divisor is a
    power of two: every conversion is exact, there and back.

    Attributes:
        length: the power of two nearest to the root mean square length of the base's own prompts.
        pace: factor of every learning rate.
    """

    length: float
    pace: float

    @classmethod
    def of(cls, features: Floats) -> Self:
        """Measures anchors, shape (n, D). Without any, or with only zeros, nothing is scaled."""
        if not np.any(features):
            return cls(1.0, 1.0)
        length = 2.0 ** round(float(np.log2(np.sqrt((features.astype(np.float64) ** 2).sum(axis=1).mean()))))
        return cls(length, USUAL_SUM * length / float(np.abs(features).sum(axis=1).mean()))

    def features(self, features: Floats) -> Floats:
        """Scales features and appends the one that is always 1: (n, D) to (n, D + 1)."""
        out = with_bias(features)
        if self.length != 1:
            out[:, :-1] /= np.float32(self.length)
        return out

    def inside(self, weights: Floats) -> Floats:
        """Converts weights (D + 1, ...) for raw features to weights for scaled ones; the last row is the bias."""
        return self._times(weights, self.length)

    def outside(self, weights: Floats) -> Floats:
        """The inverse of ``inside``."""
        return self._times(weights, 1 / self.length)

    def _times(self, weights: Floats, factor: float) -> Floats:
        out = weights.copy()
        out[:-1] *= np.float32(factor)
        return out
