"""What a decision of each arm is worth, heard ones only, by sums of sessions."""

import math
from typing import Annotated, TypeAlias

from pydantic import PlainSerializer, PlainValidator

from ol0.statistics.balance import LONGEST


class Rates:
    """Mean value per decision in two arms, where each session brings a sum of values and a number of decisions.

    Of an arm with sums v and decisions n it is R = sum v / sum n, with the variance of a ratio of sums,
    sum (v - R n)^2 / (sum n)^2 (Cochran, "Sampling Techniques", 1977, chapter 6). Sessions of more than 12 decisions
    count as 12.

    Args:
        arms: of control and treated the sums of v, n, v^2, v n and n^2.
    """

    def __init__(self, arms: list[list[float]] | None = None) -> None:
        self.arms = arms or [[0.0] * 5, [0.0] * 5]

    def add(self, value: float, decisions: int, *, treated: bool) -> None:
        """Take a complete session of either arm."""
        length = min(decisions, LONGEST)
        value *= length / decisions
        terms = value, length, value * value, value * length, length * length
        self.arms[treated] = [total + term for total, term in zip(self.arms[treated], terms, strict=True)]

    def difference(self) -> tuple[float, float] | None:
        """Treated less control, and the standard error of it; None as long as an arm has no session."""
        if not all(arm[1] for arm in self.arms):
            return None
        rates, variance = [0.0, 0.0], 0.0
        for arm, (value, length, values, products, lengths) in enumerate(self.arms):
            rate = rates[arm] = value / length
            variance += max(values - 2 * rate * products + rate * rate * lengths, 0.0) / length**2
        return rates[1] - rates[0], math.sqrt(variance)


def _arms(rates: Rates) -> list[list[float]]:
    return rates.arms


PlainRates: TypeAlias = Annotated[Rates, PlainValidator(Rates), PlainSerializer(_arms)]
