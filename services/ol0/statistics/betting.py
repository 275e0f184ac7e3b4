"""Evidence about a bounded mean that may be looked at after every observation.

A fixed-n interval holds at one moment that was chosen beforehand. Gates look again and again, so they need evidence
that holds at every moment at once: capital won in a fair game, which under the null rarely ever grows large.
"""

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt

from ol0.statistics.stored import Decimals, FloatArray

# Halvings of the range of the mean: 2 ** -40 of it is far below what any figure shows.
BISECTIONS: Final = 40


@dataclass(frozen=True)
class BetGrid:
    """The bets that share the capital, as fractions of the largest bet that can never lose everything.

    Attributes:
        smallest: serves small effects. The best bet after n observations is about sqrt(11 / n) bounds per deviation, so
            .004 still gains beyond a million observations.
        largest: serves large effects soon. At 1 a single worst observation would ruin it for good.
        count: a step of 1.27 from bet to bet; the nearest one grows within 2 % of the best.
    """

    smallest: float = 0.004
    largest: float = 0.9
    count: int = 24

    def fractions(self) -> FloatArray:
        """The bets, float64 [count], geometric: what is unknown is the order of magnitude."""
        return np.geomspace(self.smallest, self.largest, self.count)


def mixture(log_wealth: FloatArray) -> FloatArray:
    """The log of the mean wealth over the last axis, [..., bets] to [...], without overflow."""
    top = log_wealth.max(axis=-1, keepdims=True)
    wealth = np.exp(log_wealth - top).sum(axis=-1) / log_wealth.shape[-1]
    return np.asarray(top[..., 0] + np.log(wealth), dtype=np.float64)


class Null(StrEnum):
    """The claim that the evidence speaks against."""

    AT_MOST = "mean <= m"
    AT_LEAST = "mean >= m"


@dataclass(frozen=True)
class Evidence:
    """How far a test is.

    Attributes:
        log_capital: the most the log capital has been so far, in nats.
        log_threshold: where the null falls, log(1 / alpha), in nats.
        missing: about how many more observations that takes at the present growth; 0 when the null has fallen,
            None when the evidence does not grow.
    """

    log_capital: float
    log_threshold: float
    missing: int | None


@dataclass(eq=False)
class BettingTest:
    r"""One-sided test of the mean of variables within [-bound, bound], valid at every moment at once.

    To reject "mean <= m", bet against it. Each of 24 constant bets b, |b * bound| < 1, starts with wealth 1 and holds

        wealth_b(n) = prod_i (1 + b * y_i) / (1 + b * m)        capital(n) = mean over b of wealth_b(n)

    Under the null no bet gains on average, so the capital is a nonnegative supermartingale and by Ville's inequality
    P(capital ever reaches 1 / alpha) <= alpha. ``rejects`` therefore looks at the largest capital so far. Against
    "mean >= m" the bets are negative. Dividing by 1 + b * m instead of betting on y - m is the same game with another
    scale of b, and leaves one sum per bet that serves every m: ``confidence_bound`` costs no further state.

    The bets do not change over time, which buys validity under drift: log is concave, so if the expected values
    m_1..m_n given the past average to m or less, the expected growth is still not above 1. What a rejection at n denies
    is that the *average* of the expected values up to n is within the null. The same holds for ``confidence_bound``.

    Attributes:
        null: which side of ``mean`` is claimed.
        mean: the m of the null, in units of the observations, within (-bound, bound).
        bound: the largest absolute value an observation may take. Where the true bound varies, its maximum.
        count: how many observations there are.
        log_wealth: of each bet, without the division by 1 + b * m, which depends on n alone.
        max_log_capital: the largest log capital so far, in nats: evidence once shown stays shown.

    Raises:
        ValueError: a mean that is not within the bound, or a state that was stored with another number of bets.

    References:
        Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", JRSS B 86(1), 2024
        (arXiv:2010.09686).

    >>> test = BettingTest(Null.AT_MOST, mean=0.0, bound=1.0)
    >>> test.update([0.8, 0.6, -0.2] * 12)
    >>> test.rejects(0.05)
    True
    >>> round(test.confidence_bound(0.05), 2)
    0.13
    """

    null: Null
    mean: float
    bound: float
    count: int = 0
    log_wealth: Decimals = field(default_factory=lambda: np.zeros(BetGrid().count))
    max_log_capital: float = 0.0

    def __post_init__(self) -> None:
        mean, bound, found = self.mean, self.bound, self.log_wealth.size
        if not (0 < bound < math.inf and abs(mean) < bound):
            raise ValueError(f"a null mean of {mean} needs a finite bound above its absolute value, found {bound}")
        sign = 1.0 if self.null is Null.AT_MOST else -1.0
        self._bets = sign * BetGrid().fractions() / bound
        self._null_growth = np.log1p(self._bets * mean)
        if found != self._bets.size:
            raise ValueError(f"the snapshot holds {found} bets, expected {self._bets.size}: start a new test")

    def update(self, y: float | npt.ArrayLike) -> None:
        """Take one observation, or several in order.

        Raises:
            ValueError: an observation is not finite or beyond the bound, where the guarantee ends; nothing is taken.
        """
        if isinstance(y, float):
            self._take(y)
            return
        new = np.atleast_1d(np.asarray(y, dtype=np.float64))
        if not new.size:
            return
        inside = np.abs(new) <= self.bound  # false for NaN
        if not inside.all():
            raise ValueError(f"observations must lie within ±{self.bound}, found {new[~inside][0]}")
        path = np.log1p(new[:, None] * self._bets)
        path[0] += self.log_wealth
        path.cumsum(axis=0, out=path)
        counts = np.arange(self.count + 1, self.count + new.size + 1)
        capital = mixture(path - counts[:, None] * self._null_growth)
        self.log_wealth, self.count = path[-1].copy(), self.count + new.size
        self.max_log_capital = max(self.max_log_capital, float(capital.max()))

    def _take(self, y: float) -> None:
        """One observation, as gates see them: a third of the time of an array of one."""
        if not abs(y) <= self.bound:  # true for NaN
            raise ValueError(f"observations must lie within ±{self.bound}, found {y}")
        self.log_wealth = self.log_wealth + np.log1p(y * self._bets)
        self.count += 1
        log_wealth = self.log_wealth - self.count * self._null_growth
        top = log_wealth.max()
        capital = float(top + np.log(np.exp(log_wealth - top).sum() / log_wealth.size))
        self.max_log_capital = max(self.max_log_capital, capital)

    @property
    def log_capital(self) -> float:
        """The present log capital against the null, in nats."""
        return self._log_capital_against(self.mean)

    def rejects(self, alpha: float) -> bool:
        """Whether the null has fallen at some moment so far; false alarms at most ``alpha`` over all time."""
        return self.max_log_capital >= log_threshold(alpha)

    def excludes(self, mean: float, alpha: float) -> bool:
        """Whether the present 1 - alpha bound leaves out this ``mean``; cheaper than the bound itself."""
        return self._log_capital_against(mean) >= log_threshold(alpha)

    def confidence_bound(self, alpha: float) -> float | None:
        """The one-sided 1 - alpha bound of the average mean so far: lower for AT_MOST, upper for AT_LEAST, or None yet.

        It holds at every moment at once. It is where the present capital against another m would equal 1 / alpha; the
        capital is monotone in m, so bisection finds it.
        """
        sign = 1.0 if self.null is Null.AT_MOST else -1.0
        rejected, standing = -sign * self.bound, sign * self.bound
        if self._log_capital_against(rejected) < log_threshold(alpha):
            return None
        for _ in range(BISECTIONS):
            middle = (rejected + standing) / 2
            if self._log_capital_against(middle) >= log_threshold(alpha):
                rejected = middle
            else:
                standing = middle
        return rejected

    def evidence(self, alpha: float) -> Evidence:
        """How far the null is from falling at level ``alpha``."""
        threshold = log_threshold(alpha)
        return Evidence(self.max_log_capital, threshold, self._missing(threshold))

    def _log_capital_against(self, mean: float) -> float:
        return float(mixture(self.log_wealth - self.count * np.log1p(self._bets * mean)))

    def _missing(self, threshold: float) -> int | None:
        if self.max_log_capital >= threshold:
            return 0
        if not self.count:
            return None
        # In the long run the capital grows as its best bet does; its past growth also paid for finding that bet.
        growth = float((self.log_wealth / self.count - self._null_growth).max())
        return math.ceil((threshold - self.log_capital) / growth) if growth > 0 else None


def log_threshold(alpha: float) -> float:
    """The log capital at which a null falls at level ``alpha``, log(1 / alpha), in nats.

    Raises:
        ValueError: alpha is not within (0, 1).
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie within (0, 1), found {alpha}")
    return -math.log(alpha)
