"""What a value learner serves: one matrix product, then some arithmetic on its 2 K + 1 columns."""

from dataclasses import dataclass, field

import numpy as np

from ol0.controller.controller import Actions
from ol0.controller.heads import Floats, Head, sigmoid, softmax
from ol0.learner.calibration import LOG_FLOOR


@dataclass(frozen=True, slots=True)
class ValuePolicy:
    """The expert of highest score.

        score_a(h) = W_a.h + f(h) e_a + tilt f(h) log p0_a(h)

    where p0 is the base's policy and f familiarity. The first two terms are the value. The last is what the base
    believes, as far as it knows such prompts: softmax(value / (tilt f) + log p0) is the policy of the largest
    value - tilt f KL(pi || p0), and this is its best answer. An infinite tilt is the base.

    Attributes:
        base, values: heads of shape (K, D), biases (K,).
        novelty: weight (D,) and intercept of f = sigmoid(intercept - weight.h).
        familiar: e, shape (K,).
        tilt: at least 0; ``inf`` answers as the base does, everywhere.
    """

    base: Head
    values: Head
    novelty: Head
    familiar: Floats
    tilt: float
    _weight: Floats = field(init=False, repr=False, compare=False)
    _bias: Floats = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        heads = (self.base, self.values, self.novelty)
        object.__setattr__(self, "_weight", np.ascontiguousarray(np.concatenate([it.weight for it in heads]).T))
        object.__setattr__(self, "_bias", np.concatenate([it.bias for it in heads]))

    def scores(self, features: Floats) -> Floats:
        """Shape (n, D) to (n, K); for an infinite tilt, the base's logits."""
        out, choices = features @ self._weight + self._bias, self.base.choices
        logits = out[:, :choices]
        if np.isinf(self.tilt):
            return np.asarray(logits)
        known, shares = sigmoid(out[:, -1:]), softmax(logits)
        value = out[:, choices:-1] + known * self.familiar
        return np.asarray(value + np.float32(self.tilt) * known * np.log(shares + np.float32(LOG_FLOOR)), np.float32)

    def greedy(self, features: Floats) -> Actions:
        """Shape (n, D) to (n,). Serving explores around it as around every controller, so propensities are exact."""
        return np.asarray(self.scores(features).argmax(axis=1))
