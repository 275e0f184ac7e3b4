"""Do the arms get as many units as they are due? Where they do not, something is lost, and what is left may mislead."""

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from ol0.statistics.betting import log_threshold
from ol0.statistics.stored import Decimals

# How far the log odds may be off: from a tenth (a fortieth of the units moved) to 5 (an arm of which nothing is left).
TILTS: Final = np.array([-5.0, -2.5, -1.2, -0.6, -0.3, -0.15, 0.15, 0.3, 0.6, 1.2, 2.5, 5.0])
ODDS: Final = np.exp(TILTS)
START_EVERY: Final = 50  # units between two moments from which on something may have been lost
LARGEST_WEALTH: Final = 1e200  # far beyond any level; what is capped is smaller than what is fair, so it stays valid
LARGEST_GROWTH: Final = 240.0  # nats at once; times the largest wealth still a number


@dataclass(eq=False)
class SampleRatio:
    r"""Sequential test that units fall to two arms with the probabilities that they are due, at every moment at once.

    Unit i is treated with probability p_i if nothing is lost, given all units before it. The alternatives are twelve
    tilts theta of the log odds, q_i = p_i e^theta / (1 - p_i + p_i e^theta), and all moments at which the loss may have
    begun, every 50 units: the k-th of them has the weight v_k = 1 / (k (k + 1)), which add up to 1.

        E_n = 1 - sum_{k begun} v_k  +  1/12 sum_theta sum_{k begun} v_k prod_{i since k} q_i(x_i) / p_i(x_i)

    Each product is a likelihood ratio, with mean 1 under the null, so E is a nonnegative martingale that begins at 1,
    and by Ville's inequality P(E ever reaches 1 / alpha) <= alpha: for any p_i that are known before their units,
    however often one looks. One sum for each theta is all the memory, because starts share their future: S <- (S + v)
    q / p. A loss that begins after n units costs about 2 log(n / 50) nats more than one from the beginning.

    Only units count whose coins are independent: each user once (``SeenUnits``), where arms are drawn by user.

    Attributes:
        units: of both arms.
        treated: how many of them are in the treated arm.
        due: how many should be, the sum of their probabilities.
        variance: of that number.
        wealth: one sum for each theta.
        largest: the largest E so far.

    Raises:
        ValueError: a state that was stored with other tilts.

    References:
        Lindon and Malek, "Anytime-Valid Inference for Multinomial Count Data", NeurIPS 2022 (arXiv:2011.03567): the
        test, for constant p and a Dirichlet mixture. Shin, Ramdas and Rinaldo, "E-detectors", New England Journal of
        Statistics in Data Science 2(2), 2024 (arXiv:2203.03532): starts that are summed; weights that sum to 1 make of
        the detector's average run length a probability of false alarm over all time.

    >>> ratio = SampleRatio()
    >>> for _ in range(400):
    ...     ratio.add(treated=False, probability=0.05)
    >>> ratio.rejects(0.01), ratio.treated, round(ratio.due)
    (True, 0, 20)
    """

    units: int = 0
    treated: int = 0
    due: float = 0.0
    variance: float = 0.0
    wealth: Decimals = field(default_factory=lambda: np.zeros(len(TILTS)))
    largest: float = 1.0

    def __post_init__(self) -> None:
        if self.wealth.shape != TILTS.shape:
            raise ValueError(f"the snapshot holds {self.wealth.size} tilts, expected {TILTS.size}: start a new test")

    def add(self, *, treated: bool, probability: float) -> None:
        """Take a unit of the two arms.

        Args:
            treated: the arm that it is in.
            probability: p, of being treated, within (0, 1), as it was when its arm was drawn.

        Raises:
            ValueError: a probability outside (0, 1).
        """
        if not 0 < probability < 1:
            raise ValueError(f"the probability of an arm must lie within (0, 1), found {probability}")
        self.weigh(float(not treated), float(treated), probability)
        self.treated += treated
        self.due += probability
        self.variance += probability * (1 - probability)

    def weigh(self, control: float, treated: float, probability: float) -> None:
        """Take several units at once, none of them before the others.

        Args:
            control: how many are not treated; a part of one, where units are not independent.
            treated: how many are.
            probability: as ``add`` takes it.
        """
        begun, rest = divmod(self.units, START_EVERY)
        if not rest:
            self.wealth += 1 / ((begun + 1) * (begun + 2))
        growth = treated * TILTS - (control + treated) * np.log1p(probability * (ODDS - 1))
        self.wealth *= np.exp(np.minimum(growth, LARGEST_GROWTH))
        np.minimum(self.wealth, LARGEST_WEALTH, out=self.wealth)
        self.units += 1
        waiting = 1 / (begun + 2)  # what has no start yet: sum of 1 / (k (k + 1)) beyond the k that have begun
        self.largest = max(self.largest, waiting + float(self.wealth.mean()))

    def rejects(self, alpha: float) -> bool:
        """Whether the arms were found to get other shares, at some moment so far; wrongly with probability alpha."""
        return math.log(self.largest) >= log_threshold(alpha)
