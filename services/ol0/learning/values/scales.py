"""How much values differ at all, estimated from the same observations: nothing here is chosen by hand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ol0.learning.values.ridge import Moments, Posterior

SMALLEST = 1e-7  # of the noise: a prior below it says "nothing", and its inverse still has a float64's digits
FASTEST = 10.0  # a scale moves by no more in a round: the fixed point can be overshot from far away
LEAST_FREE = 0.2  # of the observations: the noise's degrees of freedom never fall below this share


@dataclass(frozen=True, slots=True)
class Scales:
    """Variances of the noise and of the priors.

    Attributes:
        noise: of a reward of weight 1 around its value.
        shared: of a slope that all experts share.
        own: of a slope of one expert's own.
        own_offset: of an offset of one expert's own.
        slopes: how many; the last feature is always 1, and its weight the offset.
    """

    noise: float
    shared: float
    own: float
    own_offset: float
    slopes: int

    @property
    def own_prior(self) -> NDArray[np.float64]:
        """Shape (m,)."""
        return np.repeat([self.own, self.own_offset], [self.slopes, 1])

    @property
    def shared_prior(self) -> NDArray[np.float64]:
        """Shape (m,); rewards are within [0, 1], so 1 is wide for an offset."""
        return np.repeat([self.shared, 1.0], [self.slopes, 1])

    @classmethod
    def start(cls, variance: float, slopes: int) -> Scales:
        """Before any fit, from the variance of the rewards: a hundredth of it explained by each slope."""
        noise = max(variance, 1e-9)
        return cls(noise, noise / 100, noise / 100, noise / 10, slopes)

    def after(self, posterior: Posterior, moments: Moments) -> Scales:
        """One round of the evidence framework: variance = (sum of squares) / (well determined parameters).

        References:
            MacKay, "Bayesian interpolation", Neural Computation 4, 1992.
        """
        n = self.slopes
        deviations, spread = posterior.weights - posterior.common, posterior.own_variances()
        together = np.diagonal(posterior.shared)
        free_own = deviations[:, :n].size - float(spread[:, :n].sum()) / self.own
        free_offset = deviations[:, n:].size - float(spread[:, n:].sum()) / self.own_offset
        free_shared = n - float(together[:n].sum()) / self.shared
        used = free_own + free_offset + len(together) - float((together / self.shared_prior).sum())
        left = max(moments.count - used, LEAST_FREE * moments.count, 1.0)
        noise = max(posterior.residual_squares(moments) / left, 1e-9)
        return replace(
            self,
            noise=noise,
            shared=_moved(self.shared, posterior.common[:n], free_shared, noise),
            own=_moved(self.own, deviations[:, :n], free_own, noise),
            own_offset=_moved(self.own_offset, deviations[:, n:], free_offset, noise),
        )


def _moved(before: float, values: NDArray[np.float64], free: float, noise: float) -> float:
    target = float((values**2).sum()) / max(free, 1e-3)
    return max(min(max(target, before / FASTEST), before * FASTEST), SMALLEST * noise)
