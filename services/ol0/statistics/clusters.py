"""How much more a sum varies because some of its terms belong together."""

from typing import Final, Self

import numpy as np
from typing_extensions import TypedDict

from ol0.statistics.columns import pack_floats, unpack_floats
from ol0.statistics.seen import unit_hash

BUCKETS: Final = 512
"""The effect is known to about 6 %, one standard error; units beyond as many share a bucket, which changes nothing."""


class ClustersSnapshot(TypedDict):
    """The whole state in plain JSON values."""

    counts: str
    sums: str
    squares: float


def bucket_of(unit: str) -> int:
    """The bucket of a user or session, below ``BUCKETS``."""
    return unit_hash(unit) % BUCKETS


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

    def __init__(self) -> None:
        self._counts, self._sums = np.zeros(BUCKETS), np.zeros(BUCKETS)
        self._squares = 0.0

    def add(self, bucket: int, term: float) -> None:
        """Take one term of a unit in this bucket."""
        self._counts[bucket] += 1
        self._sums[bucket] += term
        self._squares += term * term

    @property
    def effect(self) -> float:
        """The design effect, at least 1."""
        count = self._counts.sum()
        if not count:
            return 1.0
        mean = self._sums.sum() / count
        alone = self._squares - count * mean * mean
        together = np.square(self._sums - self._counts * mean).sum()
        return float(max(1.0, together / alone)) if alone > 0 else 1.0

    def snapshot(self) -> ClustersSnapshot:
        """In plain JSON values; ``from_snapshot`` goes on from it to the bit."""
        return ClustersSnapshot(counts=pack_floats(self._counts), sums=pack_floats(self._sums), squares=self._squares)

    @classmethod
    def from_snapshot(cls, snapshot: ClustersSnapshot) -> Self:
        """The clusters that ``snapshot`` was taken of."""
        clusters = cls()
        clusters._counts, clusters._sums = (
            unpack_floats(snapshot[name]).reshape(BUCKETS) for name in ("counts", "sums")
        )
        clusters._squares = snapshot["squares"]
        return clusters
