"""Non-inferiority of what two controllers are worth on the same prompts."""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

BISECTIONS: Final = 50  # of a bounded range: far below what any figure shows

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Differences:
    """What an answer of the candidate is worth minus that of the reference, over the prompts.

    Attributes:
        prompts: how many were asked, at least one.
        sizes: the different differences, shape (m,).
        shares: of the prompts with each, shape (m,); they sum to 1.
    """

    prompts: int
    sizes: Numbers
    shares: Numbers

    @classmethod
    def of(cls, change: Numbers) -> Self:
        """Of every prompt's difference, shape (N,)."""
        sizes, counts = np.unique(change, return_counts=True)
        return cls(len(change), sizes, counts / len(change))

    @property
    def mean(self) -> float:
        """The mean difference that was seen."""
        return float(self.sizes @ self.shares)


def null_variance(seen: Differences, largest: float, mean: float) -> float:
    r"""The variance of one prompt's difference that is most likely if the true mean is ``mean``.

    The distribution of maximal likelihood under that constraint, over the differences that were seen and the largest
    possible loss, seen or not, weighs what has the share s and lies c above the mean with

        s / (1 + lambda c),   0 <= lambda <= 1 / (largest + mean)

    and the largest loss with what is missing to 1.

    Args:
        seen: the differences.
        largest: what one prompt can lose at most.
        mean: above -largest and at most the mean that was seen.

    References:
        Owen, "Empirical likelihood", 2001, section 2.
    """
    centred = seen.sizes - mean
    low, high = 0.0, 1 / (largest + mean)
    for _ in range(BISECTIONS):
        tilt = (low + high) / 2
        if (seen.shares * centred / (1 + tilt * centred)).sum() > 0:
            low = tilt
        else:
            high = tilt
    weights = seen.shares / (1 + low * centred)
    return float(weights @ centred**2 + max(0.0, 1 - weights.sum()) * (largest + mean) ** 2)


def score(seen: Differences, largest: float, mean: float) -> float:
    """The score statistic of "the true mean difference is ``mean``"; about standard normal if it is.

    Where differences are 1, 0 and -1 it is Tango's statistic. Why this test: prompts are paired, so only those speak
    on which the two differ (McNemar), and there are few of them: 30 in 1,200. The usual normal interval takes its
    deviation from these few and is of width 0 when there are none, so that five agreeing prompts "prove" everything.
    The score test takes the deviation that the *null* implies: at a margin of .02 it wants 133 prompts even if all
    agree.

    References:
        Tango, "Equivalence test and confidence interval for the difference in proportions for the paired-sample
        design", Statistics in Medicine 17, 1998.

    >>> round(score(Differences.of(np.array([1.0] + [0.0] * 43)), 1.0, 0.0), 2)
    1.0
    """
    variance, distance = null_variance(seen, largest, mean), seen.mean - mean
    if variance <= 0:
        return math.inf if distance > 0 else 0.0
    return distance * math.sqrt(seen.prompts / variance)


def lower_bound(seen: Differences, largest: float, alpha: float) -> float:
    """The one-sided 1 - alpha lower bound of the true mean: where the score reaches the normal quantile.

    >>> change = np.repeat([1.0, -1.0, 0.0], [15, 20, 1_165])
    >>> round(lower_bound(Differences.of(change), 1.0, 0.05), 4)
    -0.0127
    >>> round(lower_bound(Differences.of(np.zeros(133)), 1.0, 0.05), 3)
    -0.02
    """
    quantile = NormalDist().inv_cdf(1 - alpha)
    excluded, standing = -largest * (1 - 1e-9), seen.mean
    for _ in range(BISECTIONS):
        middle = (excluded + standing) / 2
        if score(seen, largest, middle) >= quantile:
            excluded = middle
        else:
            standing = middle
    return excluded


def prompts_needed(seen: Differences, largest: float, margin: float, alpha: float) -> int:
    """On how many prompts such differences would show that the true mean is above ``-margin``.

    >>> prompts_needed(Differences.of(np.zeros(1)), 1.0, 0.02, 0.05)
    133
    """
    distance = seen.mean + margin
    return math.ceil(NormalDist().inv_cdf(1 - alpha) ** 2 * null_variance(seen, largest, -margin) / distance**2)
