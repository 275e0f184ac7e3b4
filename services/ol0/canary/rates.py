"""What a decision of each arm is worth, heard ones only, by sums of sessions."""

import math
from typing import Self

from ol0.statistics.balance import LONGEST


class Rates:
    """Mean value per decision in two arms, where each session brings a sum of values and a number of decisions.

    Of an arm with sums v and decisions n it is R = sum v / sum n, with the variance of a ratio of sums,
    sum (v - R n)^2 / (sum n)^2 (Cochran, "Sampling Techniques", 1977, chapter 6). Sessions of more than 12 decisions
    count as 12.
    """

    def __init__(self) -> None:
        self._arms = [[0.0] * 5, [0.0] * 5]  # control, treated: v, n, v^2, v n, n^2

    def add(self, value: float, decisions: int, *, treated: bool) -> None:
        """Take a complete session of either arm."""
        length = min(decisions, LONGEST)
        value *= length / decisions
        terms = value, length, value * value, value * length, length * length
        self._arms[treated] = [total + term for total, term in zip(self._arms[treated], terms, strict=True)]

    def difference(self) -> tuple[float, float] | None:
        """Treated less control, and the standard error of it; None as long as an arm has no session."""
        if not all(arm[1] for arm in self._arms):
            return None
        rates, variance = [0.0, 0.0], 0.0
        for arm, (value, length, values, products, lengths) in enumerate(self._arms):
            rate = rates[arm] = value / length
            variance += max(values - 2 * rate * products + rate * rate * lengths, 0.0) / length**2
        return rates[1] - rates[0], math.sqrt(variance)

    def snapshot(self) -> list[list[float]]:
        """In plain JSON values; ``from_snapshot`` goes on from it to the bit."""
        return [list(arm) for arm in self._arms]

    @classmethod
    def from_snapshot(cls, snapshot: list[list[float]]) -> Self:
        """The rates that ``snapshot`` was taken of."""
        rates = cls()
        rates._arms = [list(arm) for arm in snapshot]
        return rates
