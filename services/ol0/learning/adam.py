"""Adam: steps of about the same size for every weight, independent of its gradient's scale."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from ol0.controller.heads import Floats

# The paper's constants; only the rate is ever tuned here.
DECAY_FIRST = 0.9
DECAY_SECOND = 0.999
EPSILON = 1e-8


@dataclass(frozen=True, slots=True)
class Adam:
    """The optimiser's memory. Immutable.

    Attributes:
        first: moving average of the gradient.
        second: moving average of its square.
        count: steps so far.

    References:
        Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015.
    """

    first: Floats
    second: Floats
    count: int

    @classmethod
    def like(cls, weights: Floats) -> Self:
        """An empty memory for weights of this shape."""
        return cls(np.zeros_like(weights), np.zeros_like(weights), 0)

    def step(self, gradient: Floats, rate: float) -> tuple[Self, Floats]:
        """Returns the new memory, and the step for the weights: -rate m / (sqrt(v) + epsilon), unbiased."""
        count = self.count + 1
        first = DECAY_FIRST * self.first + (1 - DECAY_FIRST) * gradient
        second = DECAY_SECOND * self.second + (1 - DECAY_SECOND) * gradient * gradient
        scale = np.sqrt(second)
        scale *= (1 - DECAY_SECOND**count) ** -0.5
        scale += EPSILON
        delta = first / scale
        delta *= -rate / (1 - DECAY_FIRST**count)
        return type(self)(first, second, count), np.asarray(delta, gradient.dtype)
