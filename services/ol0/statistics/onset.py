"""Whether a share has risen permanently, at a moment that is not known beforehand."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from ol0.statistics.betting import log_threshold, mixture
from ol0.statistics.stored import Decimals

BETS: Final = (0.3, 0.6, 0.9)  # of the largest that can never lose everything: for a small, a middling and a full rise
MIDDLE: Final = 1  # the bet that says when a rise began


@dataclass
class OnsetState:
    """What an ``Onset`` knows.

    Attributes:
        count: observations so far.
        since: those before the one at which a rise most likely began: the lowest point of the middle bet's path.
        climb: of that path since then, in nats.
        log_wealth: of each bet; None before the first observation, for JSON knows no infinity.
    """

    count: int = 0
    since: int = 0
    climb: float = 0.0
    log_wealth: Decimals | None = None

    def __post_init__(self) -> None:
        if self.log_wealth is not None and self.log_wealth.size != len(BETS):
            raise ValueError(f"the snapshot holds {self.log_wealth.size} bets, expected {len(BETS)}: start a new test")


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
        state: to continue from.

    >>> onset = Onset(0.5)
    >>> for number in range(10_000):
    ...     onset.update(number % 4 == 0)
    >>> onset.rejects(0.001)
    False
    >>> for _ in range(60):
    ...     onset.update(True)
    >>> onset.rejects(0.001), onset.state.since
    (True, 10000)
    """

    def __init__(self, share: float, state: OnsetState | None = None) -> None:
        if not 0 < share < 1:
            raise ValueError(f"the share must lie within (0, 1), found {share}")
        self.share = share
        bets = np.array(BETS) / max(share, 1 - share)
        self._growth = {False: np.log1p(-bets * share), True: np.log1p(bets * (1 - share))}
        self.state = state or OnsetState()

    def update(self, seen: bool) -> None:  # noqa: FBT001 - the observation itself
        """Take one observation."""
        state, growth = self.state, self._growth[seen]
        if state.climb <= 0:
            state.since, state.climb = state.count, 0.0
        state.climb += float(growth[MIDDLE])
        fresh = -math.log(state.count + 1) - math.log(state.count + 2)
        state.count += 1
        before = -math.inf if state.log_wealth is None else state.log_wealth
        state.log_wealth = np.logaddexp(before, fresh) + growth

    @property
    def log_capital(self) -> float:
        """In nats; minus infinity before the first observation."""
        return -math.inf if self.state.log_wealth is None else float(mixture(self.state.log_wealth))

    def rejects(self, alpha: float) -> bool:
        """Whether the share has risen; a false alarm, ever, with probability ``alpha`` at most if one stops there."""
        return self.log_capital >= log_threshold(alpha)
