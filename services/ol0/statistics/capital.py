"""What is bet on and against each lift of a grid, and the lifts that are left standing."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from ol0.statistics.betting import BetGrid, log_threshold, mixture
from ol0.statistics.stored import FloatArray, Packed

PORTION: Final = 16
"""Observations whose factors are multiplied before the logarithm is taken, which costs ten times as much. Each factor
lies within .1 and 1.9, so their product is far from what float64 cannot hold."""


@dataclass(eq=False)
class LiftCapital:
    """The capital against "the lift is at most L" and against "at least L", for every L of a grid.

    Each observation is a pair (d, c) whose expected values are mu1 - mu0 and mu0, so that y(L) = d - L c has the
    expected value mu1 - (1 + L) mu0. Constant bets on y win against the first claim where y is above 0 on average, bets
    on -y against the second (see ``BettingTest``).

    Its grid is its owner's, and says before anything else ``bet_on`` what.

    Attributes:
        log_wealth: the log of what every bet held after the last whole portion, float64 [below / above, lifts, bets].
        pending: d and c of what came since.
    """

    log_wealth: Packed = field(default_factory=lambda: np.zeros(0))
    pending: list[tuple[float, float]] = field(default_factory=list)

    def bet_on(self, lifts: FloatArray, below: FloatArray, above: FloatArray, bets: BetGrid) -> None:
        """Take the grid.

        Args:
            lifts: L, float64 [lifts], rising.
            below: the most that -y(L) may be, [lifts].
            above: the most that y(L) may be, [lifts].
            bets: as fractions of the largest that can never lose everything.

        Raises:
            ValueError: what was stored is of another grid.
        """
        self.lifts = lifts
        # [below / above, lifts, bets]: the worst observation costs the largest bet .9 of its wealth.
        self._bets = np.stack([1 / below, -1 / above])[..., None] * bets.fractions()
        if not self.log_wealth.size:
            self.log_wealth = np.zeros_like(self._bets)
        self.log_wealth = self.log_wealth.reshape(self._bets.shape)

    def add(self, difference: float, control: float) -> None:
        """Take d and c of one observation."""
        self.pending.append((difference, control))
        if len(self.pending) == PORTION:
            self.log_wealth, self.pending = self.present, []

    @property
    def present(self) -> FloatArray:
        """``log_wealth`` with what is pending."""
        factors = np.ones_like(self._bets)
        for difference, control in self.pending:
            factors *= 1 + self._bets * (difference - self.lifts * control)[:, None]
        return np.asarray(self.log_wealth + np.log(factors), dtype=np.float64)

    def interval(self, alpha: float, design_effect: float = 1.0) -> tuple[float | None, float | None]:
        """The two-sided 1 - alpha interval, each side at half of alpha; None where there is no evidence for an end.

        Args:
            alpha: level.
            design_effect: by how much the sum of the gains varies more than if each stood alone, at least 1. The log
                of the wealth is about b S - b^2 V / 2; divided by it, it is that of the bet b / effect against a
                variance of V times the effect.
        """
        below, above = mixture(self.present / design_effect) >= log_threshold(alpha / 2)
        # Fallen without a gap from the outside in: only then the first lift that is true answers for all beyond it.
        lows = int(np.logical_and.accumulate(below).sum())
        highs = int(np.logical_and.accumulate(above[::-1]).sum())
        return float(self.lifts[lows - 1]) if lows else None, float(self.lifts[-highs]) if highs else None
