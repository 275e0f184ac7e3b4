"""Values of all experts in closed form: a part that they share, and a part of each, shrunk towards nothing."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ol0.learner.values.scales import Scales

Doubles = NDArray[np.float64]
Numbers = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Moments:
    """Everything that the fit needs of its observations, as sums. Moments of two sets add up.

    An observation is a reward y of expert a on a prompt with features x, and a weight w.

    Attributes:
        gram: sum w x x' of every expert, shape (K, m, m).
        target: sum w x y, shape (K, m).
        squares: sum w y^2.
        count: sum of how many independent observations these are.
    """

    gram: Doubles
    target: Doubles
    squares: float
    count: float

    @classmethod
    def of_votes(cls, x: Doubles, actions: Numbers, rewards: Doubles, weights: Doubles, choices: int) -> Self:
        """Of rewards of one expert each: x (n, m), actions, rewards and weights (n,), K choices."""
        features, root = x.shape[1], np.sqrt(weights)
        x, y = x * root[:, None], rewards * root
        gram, target = np.zeros((choices, features, features)), np.zeros((choices, features))
        for expert in np.unique(actions):
            own = x[actions == expert]
            gram[expert], target[expert] = own.T @ own, own.T @ y[actions == expert]
        return cls(gram, target, float(y @ y), float(weights.sum()))

    @classmethod
    def of_labels(cls, x: Doubles, values: Doubles) -> Self:
        """Of prompts where every expert's reward is known: x (n, m), values (n, K)."""
        choices, features = values.shape[1], x.shape[1]
        gram = np.broadcast_to(x.T @ x, (choices, features, features))
        return cls(gram, values.T @ x, float((values**2).sum()), float(values.size))

    def __add__(self, other: Self) -> Self:
        """Of the observations of both."""
        return type(self)(
            self.gram + other.gram,
            self.target + other.target,
            self.squares + other.squares,
            self.count + other.count,
        )


@dataclass(frozen=True, slots=True)
class Posterior:
    """What is known of the values after the observations, exactly, for given scales.

        y = x.(g + d_a) + e        e ~ N(0, noise / w)    g ~ N(0, shared)    d_a ~ N(0, own), each expert's for itself

    The d_a are integrated out, so that g comes from one system of m equations, whatever K: with A_a = G_a + L and
    L = noise / own, what expert a says of g has precision (L - L A_a^-1 L) / noise. Where every expert's reward is
    known, G_a / noise is the Fisher information of the fit on those prompts: what elastic weight consolidation adds as
    a penalty is here the posterior of the base's own prompts.

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
        """One inverse of every expert, one of what they share."""
        noise, pull = scales.noise, scales.noise / scales.own_prior
        inverse: Doubles = np.asarray(np.linalg.inv(moments.gram + np.diag(pull)), np.float64)
        told = len(inverse) * np.diag(pull) - pull[:, None] * inverse.sum(axis=0) * pull
        precision: Doubles = told / noise + np.diag(1 / scales.shared_prior)
        shared: Doubles = np.asarray(np.linalg.inv((precision + precision.T) / 2), np.float64)
        common = shared @ (pull * np.einsum("kij,kj->i", inverse, moments.target)) / noise
        weights = np.einsum("kij,kj->ki", inverse, moments.target + pull * common)
        return cls(weights, common, inverse, shared, scales)

    @property
    def through(self) -> Doubles:
        """What g, were it larger by one, would take from each d_a: A_a^-1 G_a, shape (K, m, m)."""
        return np.asarray(np.eye(len(self.common)) - self.inverse * (self.scales.noise / self.scales.own_prior))

    def own_variances(self) -> Doubles:
        """Posterior variances of every d_a, shape (K, m)."""
        direct = self.scales.noise * np.diagonal(self.inverse, axis1=1, axis2=2)
        through = self.through
        return np.asarray(direct + ((through @ self.shared) * through).sum(axis=2))

    def variance(self, along: Doubles) -> float:
        """Of the sum over experts of along_a.(g + d_a), ``along`` of shape (K, m)."""
        own = self.scales.noise * np.einsum("ki,kij,kj->", along, self.inverse, along)
        rest = along.sum(axis=0) - np.einsum("kij,ki->j", self.through, along)
        return float(own + rest @ self.shared @ rest)

    def residual_squares(self, moments: Moments) -> float:
        """Weighted sum of squares that the means leave of the observations."""
        fitted = np.einsum("kij,kj->ki", moments.gram, self.weights) - 2 * moments.target
        return max(moments.squares + float((self.weights * fitted).sum()), 0.0)
