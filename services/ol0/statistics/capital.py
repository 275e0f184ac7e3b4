"""What is bet on and against each lift of a grid, and the lifts that are left standing."""

from collections.abc import Sequence
from typing import Final, NotRequired

import numpy as np
from typing_extensions import TypedDict

from ol0.statistics.betting import BetGrid, FloatArray, log_threshold, mixture
from ol0.statistics.columns import pack_floats, unpack_floats

PORTION: Final = 16
"""Observations whose factors are multiplied before the logarithm is taken, which costs ten times as much. Each factor
lies within .1 and 1.9, so their product is far from what float64 cannot hold."""


class CapitalSnapshot(TypedDict):
    """The whole state of a ``LiftCapital`` in plain JSON values, but for its grid."""

    log_wealth: str  # base64 of float64 [2, lifts, bets], see ``pack_floats``
    pending: NotRequired[Sequence[Sequence[float]]]


class LiftCapital:
    """The capital against "the lift is at most L" and against "at least L", for every L of a grid.

    Each observation is a pair (d, c) whose expected values are mu1 - mu0 and mu0, so that y(L) = d - L c has the
    expected value mu1 - (1 + L) mu0. Constant bets on y win against the first claim where y is above 0 on average, bets
    on -y against the second (see ``BettingTest``).

    Args:
        lifts: L, float64 [lifts], rising.
        below: the most that -y(L) may be, [lifts].
        above: the most that y(L) may be, [lifts].
        bets: as fractions of the largest that can never lose everything.
    """

    def __init__(self, lifts: FloatArray, below: FloatArray, above: FloatArray, bets: BetGrid) -> None:
        self.lifts = lifts
        # [below / above, lifts, bets]: the worst observation costs the largest bet .9 of its wealth.
        self._bets = np.stack([1 / below, -1 / above])[..., None] * bets.fractions()
        self._settled = np.zeros_like(self._bets)
        self._pending: list[tuple[float, float]] = []

    def add(self, difference: float, control: float) -> None:
        """Take d and c of one observation."""
        self._pending.append((difference, control))
        if len(self._pending) == PORTION:
            self._settled, self._pending = self.log_wealth, []

    @property
    def log_wealth(self) -> FloatArray:
        """The log of what every bet holds, float64 [below / above, lifts, bets]."""
        factors = np.ones_like(self._bets)
        for difference, control in self._pending:
            factors *= 1 + self._bets * (difference - self.lifts * control)[:, None]
        return np.asarray(self._settled + np.log(factors), dtype=np.float64)

    def interval(self, alpha: float, design_effect: float = 1.0) -> tuple[float | None, float | None]:
        """The two-sided 1 - alpha interval, each side at half of alpha; None where there is no evidence for an end.

        Args:
            alpha: level.
            design_effect: by how much the sum of the gains varies more than if each stood alone, at least 1. The log
                of the wealth is about b S - b^2 V / 2; divided by it, it is that of the bet b / effect against a
                variance of V times the effect.
        """
        below, above = mixture(self.log_wealth / design_effect) >= log_threshold(alpha / 2)
        # Fallen without a gap from the outside in: only then the first lift that is true answers for all beyond it.
        lows = int(np.logical_and.accumulate(below).sum())
        highs = int(np.logical_and.accumulate(above[::-1]).sum())
        return float(self.lifts[lows - 1]) if lows else None, float(self.lifts[-highs]) if highs else None

    def snapshot(self) -> CapitalSnapshot:
        """In plain JSON values; ``restore`` goes on from it to the bit."""
        return CapitalSnapshot(
            log_wealth=pack_floats(self._settled), pending=[list(observation) for observation in self._pending]
        )

    def restore(self, snapshot: CapitalSnapshot) -> None:
        """Go on from ``snapshot``.

        Raises:
            ValueError: it is of another grid.
        """
        self._settled = unpack_floats(snapshot["log_wealth"]).reshape(self._bets.shape)
        self._pending = [(difference, control) for difference, control in snapshot.get("pending", ())]
