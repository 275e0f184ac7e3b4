"""Non-inferiority of two pass shares measured on the same prompts."""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

BISECTIONS: Final = 40  # of a range of 2: far below what any figure shows


@dataclass(frozen=True)
class PairedCounts:
    """Which prompts one of two controllers passes and the other fails.

    Attributes:
        prompts: how many were asked, at least one.
        gains: passed by the candidate alone.
        losses: passed by the reference alone.
    """

    prompts: int
    gains: int
    losses: int

    @property
    def difference(self) -> float:
        """Pass share of the candidate minus that of the reference."""
        return (self.gains - self.losses) / self.prompts


def score(counts: PairedCounts, difference: float) -> float:
    r"""Tango's score statistic of "the true difference is ``difference``"; about standard normal if it is.

    With b gains and c losses among n prompts, D the difference and q the probability of a loss that is most likely
    under it,

        Z(D) = (b - c - n D) / sqrt(n (2 q + D (1 - D)))
        q = (sqrt(B^2 - 8 n C) - B) / (4 n),   B = -b - c + (2 n - b + c) D,   C = -c D (1 - D)

    Why this test: prompts are paired, so only the discordant ones speak (McNemar), and there are few of them: 30 in
    1,200. The usual normal interval takes its deviation from these few and is of width 0 when there are none, so that
    five agreeing prompts "prove" everything. The score test takes the deviation that the *null* implies: at a margin
    of .02 it wants 133 prompts even if all agree. An exact test would have to maximise over q, and gains nothing at
    these sizes.

    Args:
        counts: what was seen.
        difference: D, within (-1, 1).

    References:
        Tango, "Equivalence test and confidence interval for the difference in proportions for the paired-sample
        design", Statistics in Medicine 17, 1998.

    >>> round(score(PairedCounts(prompts=44, gains=1, losses=0), 0.0), 2)
    1.0
    """
    n, b, c = counts.prompts, counts.gains, counts.losses
    linear = -b - c + (2 * n - b + c) * difference
    constant = -c * difference * (1 - difference)
    loss = (math.sqrt(max(linear**2 - 8 * n * constant, 0.0)) - linear) / (4 * n)
    variance = n * (2 * loss + difference * (1 - difference))
    distance = b - c - n * difference
    if variance <= 0:
        return math.copysign(math.inf, distance) if distance else 0.0
    return distance / math.sqrt(variance)


def lower_bound(counts: PairedCounts, alpha: float) -> float:
    """The one-sided 1 - alpha lower bound of the true difference: where the score reaches the normal quantile.

    >>> round(lower_bound(PairedCounts(prompts=1_200, gains=15, losses=20), 0.05), 4)
    -0.0127
    >>> round(lower_bound(PairedCounts(prompts=133, gains=0, losses=0), 0.05), 3)
    -0.02
    """
    quantile = NormalDist().inv_cdf(1 - alpha)
    excluded, standing = -1.0 + 1e-9, counts.difference
    for _ in range(BISECTIONS):
        middle = (excluded + standing) / 2
        if score(counts, middle) >= quantile:
            excluded = middle
        else:
            standing = middle
    return excluded
