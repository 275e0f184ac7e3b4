"""Whether a share has risen for good, at a moment that nobody knows beforehand."""

import math
from typing import Final, Self

import numpy as np
from typing_extensions import TypedDict

from ol0.statistics.betting import FloatArray, log_threshold, mixture

BETS: Final = (0.3, 0.6, 0.9)  # of the largest that can never lose everything: for a small, a middling and a full rise
MIDDLE: Final = 1  # the bet that says when a rise began


class OnsetSnapshot(TypedDict):
    """The whole state of an ``Onset`` in plain JSON values."""

    count: int
    since: int
    climb: float
    log_wealth: list[float] | None


class Onset:
    r"""One-sided test of a share that may rise above ``share`` from any moment on; valid at every moment at once.

    A test of the average since the beginning is diluted: after a million quiet observations, a rise takes as many to
    show. So before every observation k a new game begins with the k-th part of one unit of capital,

        w_k = 1 / (k (k + 1)),   sum of all w_k = 1        wealth_b(n) = (wealth_b(n - 1) + w_n) (1 + b (y_n - share))

    and all of them play on. As long as the chance of y = 1 never exceeds ``share``, given the past, no game gains on
    average; so neither does their sum, and by Ville's inequality it ever reaches 1 / alpha with probability alpha at
    most. A rise after n quiet observations costs 2 log n nats more than one at once, and nothing else.

    References:
        Shin, Ramdas and Rinaldo, "E-detectors", 2022 (arXiv:2203.03532), after Shiryaev and Roberts.

    Args:
        share: what the share is claimed not to exceed, within (0, 1).

    >>> onset = Onset(0.5)
    >>> for number in range(10_000):
    ...     onset.update(number % 4 == 0)
    >>> onset.rejects(0.001)
    False
    >>> for _ in range(60):
    ...     onset.update(True)
    >>> onset.rejects(0.001), onset.since
    (True, 10000)
    """

    def __init__(self, share: float) -> None:
        if not 0 < share < 1:
            raise ValueError(f"the share must lie within (0, 1), found {share}")
        self.share = share
        bets = np.array(BETS) / max(share, 1 - share)
        self._growth = {False: np.log1p(-bets * share), True: np.log1p(bets * (1 - share))}
        self._log_wealth: FloatArray = np.full(len(BETS), -math.inf)
        self.count = 0
        self.since = 0
        """Observations before the one at which a rise most likely began: the lowest point of the middle bet's path."""
        self._climb = 0.0

    def update(self, seen: bool) -> None:  # noqa: FBT001 - the observation itself
        """Take one observation."""
        if self._climb <= 0:
            self.since, self._climb = self.count, 0.0
        self._climb += float(self._growth[seen][MIDDLE])
        fresh = -math.log(self.count + 1) - math.log(self.count + 2)
        self.count += 1
        self._log_wealth = np.logaddexp(self._log_wealth, fresh) + self._growth[seen]

    @property
    def log_capital(self) -> float:
        """In nats; minus infinity before the first observation."""
        return float(mixture(self._log_wealth)) if self.count else -math.inf

    def rejects(self, alpha: float) -> bool:
        """Whether the share has risen; a false alarm, ever, with probability ``alpha`` at most if one stops there."""
        return self.log_capital >= log_threshold(alpha)

    def snapshot(self) -> OnsetSnapshot:
        """The state in plain JSON values; ``from_snapshot`` goes on from it to the bit."""
        wealth = self._log_wealth.tolist() if self.count else None  # JSON knows no infinity
        return OnsetSnapshot(count=self.count, since=self.since, climb=self._climb, log_wealth=wealth)

    @classmethod
    def from_snapshot(cls, snapshot: OnsetSnapshot, share: float) -> Self:
        """The test that ``snapshot`` was taken from.

        Raises:
            ValueError: it was written with another number of bets.
        """
        onset = cls(share)
        onset.count, onset.since, onset._climb = snapshot["count"], snapshot["since"], snapshot["climb"]
        wealth = snapshot["log_wealth"]
        if wealth is not None:
            if len(wealth) != len(BETS):
                raise ValueError(f"the snapshot holds {len(wealth)} bets, expected {len(BETS)}: start a new test")
            onset._log_wealth = np.array(wealth, dtype=np.float64)
        return onset
