"""Prioritised experience replay: which examples to draw, and what each draw weighs.

    P(i) = p_i^alpha / sum_j p_j^alpha        w_i = (N P(i))^-beta / max_j w_j

alpha 0 draws uniformly; beta 1 corrects the bias of the draw in full. Schaul et al., Prioritized Experience Replay,
ICLR 2016, https://arxiv.org/abs/1511.05952.
"""

import numpy as np
from numpy.typing import NDArray

from ol0.errors import NothingToDraw

Slots = NDArray[np.int64]
Weights = NDArray[np.float32]
Mass = NDArray[np.float64]


def priority_mass(priorities: NDArray[np.float32], alpha: float) -> Mass:
    """p^alpha, shape (slots,), float64. A slot of priority 0 has none, also where alpha is 0: it is not to be drawn."""
    mass = np.power(priorities, alpha, dtype=np.float64)
    mass[priorities <= 0] = 0
    return mass


def draw(mass: Mass, count: int, rng: np.random.Generator) -> Slots:
    """Slots in proportion to their mass, with replacement, shape (count,), int64.

    Raises:
        NothingToDraw: no slot has any mass.
    """
    cumulative = np.cumsum(mass)
    if not cumulative.size or not cumulative[-1] > 0:
        raise NothingToDraw(
            "nothing to draw from: the ring is empty, or all of it is excluded, or older than "
            "online_learning.max_age_s; refresh() when examples have come in"
        )
    slots = np.searchsorted(cumulative, rng.random(count) * cumulative[-1], side="right")
    # A float just below 1 may round up to the total: then the last slot that has mass is meant.
    return np.asarray(np.minimum(slots, np.searchsorted(cumulative, cumulative[-1])), dtype=np.int64)


def importance_weights(mass: Mass, slots: Slots, beta: float) -> Weights:
    """(N P)^-beta of the drawn slots, the largest of them 1, shape (draws,), float32."""
    probability = mass[slots] / mass.sum()
    weights = (np.count_nonzero(mass) * probability) ** -beta
    return np.asarray(weights / weights.max(), dtype=np.float32)
