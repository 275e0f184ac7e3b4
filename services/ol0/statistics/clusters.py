"""How much more a sum varies because some of its terms belong together."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from ol0.statistics.seen import unit_hash
from ol0.statistics.stored import FloatArray, Packed

BUCKETS: Final = 512
"""The effect is known to about 6 %, one standard error; units beyond as many share a bucket, which changes nothing."""


def bucket_of(unit: str) -> int:
    """The bucket of a user or session, below ``BUCKETS``."""
    return unit_hash(unit) % BUCKETS


def _none() -> FloatArray:
    return np.zeros(BUCKETS)


@dataclass(eq=False)
class Clusters:
    """The design effect of terms that come from the same user: an arm is drawn by user, and a user's taste stays.

    Terms are added up by a hash of their unit. With counts n_g, sums S_g and the mean m of all terms, the effect is

        sum_g (S_g - n_g m)^2 / sum_i (y_i - m)^2

    which is about 1 where terms are independent and r (k - 1) above it where each unit brings k of them that correlate
    by r. It is an estimate, of second order: exact validity would need one term for each unit.

    References:
        Kish, "Survey sampling", 1965, chapter 8.2; Liang and Zeger, Biometrika 73(1), 1986.

    >>> alone, thrice = Clusters(), Clusters()
    >>> for number in range(3_000):
    ...     alone.add(bucket_of(f"user {number}"), float(number % 2))
    ...     thrice.add(bucket_of(f"user {number % 1_000}"), float(number % 2))
    >>> round(alone.effect), round(thrice.effect)
    (1, 3)
    """

    counts: Packed = field(default_factory=_none)
    sums: Packed = field(default_factory=_none)
    squares: float = 0.0

    def __post_init__(self) -> None:
        self.counts, self.sums = self.counts.reshape(BUCKETS), self.sums.reshape(BUCKETS)

    def add(self, bucket: int, term: float) -> None:
        """Take one term of a unit in this bucket."""
        self.counts[bucket] += 1
        self.sums[bucket] += term
        self.squares += term * term

    @property
    def effect(self) -> float:
        """The design effect, at least 1."""
        count = self.counts.sum()
        if not count:
            return 1.0
        mean = self.sums.sum() / count
        alone = self.squares - count * mean * mean
        together = np.square(self.sums - self.counts * mean).sum()
        return float(max(1.0, together / alone)) if alone > 0 else 1.0
