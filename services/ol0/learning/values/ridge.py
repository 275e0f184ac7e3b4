"""Values of all experts in closed form: a part that they share, and a part of each, shrunk towards nothing."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ol0.controller.heads import Doubles
from ol0.learning.values.scales import Scales

Numbers = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Moments:
    """Everything that the fit needs of its observations, as sums. Moments of two sets add up.

    An observation is a reward r of choice a on a prompt with features x, and a weight w.

    Attributes:
        gram: sum w x x' of every choice, shape (K, m, m).
        targets: sum w x r of every choice, shape (K, m).
        squares: sum w r^2.
        count: sum of w: how many independent observations these are.
    """

    gram: Doubles
    targets: Doubles
    squares: float
    count: float

    @classmethod
    def of(cls, x: Doubles, actions: Numbers, rewards: Doubles, weights: Doubles, choices: int) -> Self:
        """Of n observations: x (n, m), actions, rewards and weights (n,)."""
        features, root = x.shape[1], np.sqrt(weights)
        x, y = x * root[:, None], rewards * root
        gram, targets = np.zeros((choices, features, features)), np.zeros((choices, features))
        for choice in np.unique(actions):
            own = actions == choice
            gram[choice], targets[choice] = x[own].T @ x[own], y[own] @ x[own]
        return cls(gram, targets, float(y @ y), float(weights.sum()))

    def __add__(self, other: Self) -> Self:
        """Of the observations of both."""
        return type(self)(
            self.gram + other.gram,
            self.targets + other.targets,
            self.squares + other.squares,
            self.count + other.count,
        )


@dataclass(frozen=True, slots=True)
class Posterior:
    """What is known of the values after the observations, exactly, for given scales.

        r = x.(g + d_a) + e    e ~ N(0, noise / w)    g ~ N(0, shared)    d_a ~ N(0, own), each by itself

    The d_a are integrated out, so that g comes from one system of m equations, whatever K: with A_a = G_a + L and
    L = noise / own, what choice a says of g has precision (L - L A_a^-1 L) / noise. The part of G_a / noise that comes
    from anchors is the Fisher information of the fit on the base's own prompts: what elastic weight consolidation adds
    as a penalty.

    Attributes:
        weights: g + d_a, shape (K, m).
        common: g, shape (m,).
        inverse: A_a^-1, shape (K, m, m).
        shared: covariance of g, shape (m, m).
        scales: those it was made with.

    References:
        Lindley and Smith, "Bayes estimates for the linear model", JRSS B 34, 1972.
    """

    weights: Doubles
    common: Doubles
    inverse: Doubles
    shared: Doubles
    scales: Scales

    @classmethod
    def of(cls, moments: Moments, scales: Scales) -> Self:
        """One inverse of every choice, one of what they share."""
        noise, shrink = scales.noise, scales.noise / scales.own_prior
        inverse: Doubles = np.asarray(np.linalg.inv(moments.gram + np.diag(shrink)), np.float64)
        told = len(inverse) * np.diag(shrink) - shrink[:, None] * inverse.sum(axis=0) * shrink
        precision: Doubles = told / noise + np.diag(1 / scales.shared_prior)
        shared: Doubles = np.asarray(np.linalg.inv((precision + precision.T) / 2), np.float64)
        common = shared @ (shrink * np.einsum("kij,kj->i", inverse, moments.targets)) / noise
        weights = np.einsum("kij,kj->ki", inverse, moments.targets + shrink * common)
        return cls(weights, common, inverse, shared, scales)

    def own_variances(self) -> Doubles:
        """Posterior variances of every d_a, shape (K, m)."""
        direct = self.scales.noise * np.diagonal(self.inverse, axis1=1, axis2=2)
        # What g, were it larger by one, would take from each d_a.
        through = np.eye(len(self.common)) - self.inverse * (self.scales.noise / self.scales.own_prior)
        return np.asarray(direct + ((through @ self.shared) * through).sum(axis=2))

    def difference(self, contrast: Doubles) -> tuple[float, float]:
        """Mean and variance of sum_a c_a.(g + d_a), what one way of answering is worth above another.

        Args:
            contrast: mean features of the prompts that get choice a in the one way, less those in the other, (K, m).
        """
        reached = np.einsum("kij,kj->ki", self.inverse, contrast)
        through = (self.scales.noise / self.scales.own_prior) * reached.sum(axis=0)
        variance = self.scales.noise * float((contrast * reached).sum()) + float(through @ self.shared @ through)
        return float((contrast * self.weights).sum()), max(variance, 0.0)

    def residual_squares(self, moments: Moments) -> float:
        """Weighted sum of squares that the means leave of the observations."""
        fitted = np.einsum("kij,kj->ki", moments.gram, self.weights) - 2 * moments.targets
        return max(moments.squares + float((self.weights * fitted).sum()), 0.0)
