"""Elastic weight consolidation: weights that the base's answers hang on move less than others."""

from typing import Self

import numpy as np

from ol0.controller.heads import Floats
from ol0.learner.objective import Forward, Term
from ol0.learner.parts import Parts


def diagonal_fisher(features: Floats, heads: Floats, parts: Parts) -> Floats:
    """Diagonal of the Fisher information of softmax heads, exact, averaged over examples.

        F_da = mean_i E_{y ~ p(. | x_i)} [ (d log p(y | x_i) / d W_da)^2 ] = mean_i x_id^2 p_ia (1 - p_ia)

    The gradient of one example for one outcome is x (1[y = a] - p_a); its square is averaged over the model's own
    outcomes and over the examples, in this order. Squaring a batch's mean gradient instead, or taking the observed
    label for y, is another quantity (Kunstner et al., "Limitations of the empirical Fisher", NeurIPS 2019).

    Args:
        features: with the appended 1, shape (n, D + 1).
        heads: shape (D + 1, K).
        parts: the columns.

    Returns:
        Shape (D + 1, K); zeros without examples.
    """
    probabilities = Forward.of(features, heads, parts).probabilities
    fisher = (features**2).T @ (probabilities * (1 - probabilities)) / max(len(features), 1)
    return np.asarray(fisher, heads.dtype)


class EWCRegularizer:
    """(lambda / 2) sum F (W - W0)^2. The centre is the base for ever: moved along, small losses would add up.

    References:
        Kirkpatrick et al., "Overcoming catastrophic forgetting in neural networks", PNAS 114(13), 2017.
    """

    def __init__(self, centre: Floats, fisher: Floats, strength: float) -> None:
        """All as stacked: centre W0 and fisher F of shape (D + 1, K); strength is lambda."""
        self._centre = centre
        self._pull = fisher * strength

    @classmethod
    def around(cls, base: Floats, anchors: Floats, parts: Parts, strength: float) -> Self:
        """Around the base, with its Fisher information on anchors of shape (n, D + 1)."""
        return cls(base, diagonal_fisher(anchors, base, parts), strength)

    def term(self, heads: Floats) -> Term:
        """The value and its gradient lambda F (W - W0)."""
        offset = heads - self._centre
        gradient = self._pull * offset
        return Term(float(np.vdot(gradient, offset)) / 2, gradient)
