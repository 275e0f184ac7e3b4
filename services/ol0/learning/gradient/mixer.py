"""The mixer's direction: separates live prompts from those that the base knows."""

import numpy as np

from ol0.controller.heads import Floats, Mixer
from ol0.learning.calibration import sigmoid
from ol0.learning.gradient.objective import Term


def mixer_loss(weight: Floats, live: Floats, anchors: Floats, l2: float) -> Term:
    """Balanced logistic regression of live (1) against anchors (0), on features alone: it needs no feedback.

        1/2 mean_live log(1 + e^-z) + 1/2 mean_anchors log(1 + e^z) + l2 / 2 |w|^2,   z = w h

    Args:
        weight: w with the weight of the appended 1, shape (D + 1,).
        live: features with the appended 1, drawn uniformly (drawing by priority would prefer hard ones),
            shape (n, D + 1).
        anchors: the same for anchors.
        l2: regularisation; without it, separable traffic drives w to infinity.
    """
    live_scores, anchor_scores = live @ weight, anchors @ weight
    value = (np.logaddexp(0, -live_scores).mean() + np.logaddexp(0, anchor_scores).mean()) / 2
    by_live = -sigmoid(-live_scores) / (2 * len(live))
    by_anchors = sigmoid(anchor_scores) / (2 * len(anchors))
    gradient = by_live @ live + by_anchors @ anchors + l2 * weight
    return Term(float(value) + l2 / 2 * float(weight @ weight), gradient)


def shipped_mixer(weight: Floats, threshold: float) -> Mixer:
    """Returns the mixer for serving, g = sigmoid(w h - t): the weight of the appended 1 moves into t."""
    return Mixer(weight[:-1].copy(), threshold - float(weight[-1]))
