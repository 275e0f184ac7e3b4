"""Elastic weight consolidation: weights that matter for the base's answers move less than others."""

from typing import Self

import numpy as np

from ol0.controller.fisher import softmax_fisher
from ol0.controller.heads import Floats
from ol0.learning.gradient.objective import Forward, Term
from ol0.learning.parts import Parts


def diagonal_fisher(features: Floats, heads: Floats, parts: Parts) -> Floats:
    """``softmax_fisher`` of stacked heads (D + 1, K) on features with the appended 1 (n, D + 1): shape (D + 1, K)."""
    return softmax_fisher(features, Forward.of(features, heads, parts).probabilities)


class EWCRegularizer:
    """(lambda / 2) sum F (W - W0)^2. The centre is always the base: with a moving one, small losses would add up.

    References:
        Kirkpatrick et al., "Overcoming catastrophic forgetting in neural networks", PNAS 114(13), 2017.
    """

    def __init__(self, centre: Floats, fisher: Floats, strength: float) -> None:
        """Takes the stacked centre W0 and Fisher information F, shape (D + 1, K); strength is lambda."""
        self._centre = centre
        self._pull = fisher * strength

    @classmethod
    def around(cls, base: Floats, anchors: Floats, parts: Parts, strength: float) -> Self:
        """Centres on the base, with its Fisher information on anchors of shape (n, D + 1)."""
        return cls(base, diagonal_fisher(anchors, base, parts), strength)

    def term(self, heads: Floats) -> Term:
        """Returns the value and its gradient lambda F (W - W0)."""
        offset = heads - self._centre
        gradient = self._pull * offset
        return Term(float(np.vdot(gradient, offset)) / 2, gradient)
