"""How much better than the holdback an arm serves, under odds that change while trials come and go."""

import math
from dataclasses import dataclass
from typing import Final, Self

from ol0.statistics.betting import BettingTest, Null

# Votes lie around it, so a fixed centre costs a twentieth of the deviation and needs no state.
CENTRE: Final = 0.5
LARGEST_VALUE: Final = 0.5


@dataclass(frozen=True)
class ArmSession:
    """One session of an arm or of the holdback.

    Attributes:
        treated: whether the arm served it; False is the holdback.
        treated_share: the probability of that, as it was when the session was assigned.
        rewards: of its voted decisions in which the arm's controller and the base differ.
        voted: how many of its decisions had a reward, at least one.
    """

    treated: bool
    treated_share: float
    rewards: tuple[float, ...]
    voted: int

    def contribution(self) -> float:
        """y, whose expected value is the difference arm - holdback in reward per voted decision (see ArmComparison)."""
        value = math.fsum(reward - CENTRE for reward in self.rewards) / self.voted
        return value / self.treated_share if self.treated else -value / (1 - self.treated_share)


@dataclass(eq=False)
class LiftEvidence:
    """Arm minus holdback in points of reward per voted decision, with bounds that hold at every moment.

    The same estimator as ``ol0.statistics.staged.ArmComparison``, for a share of sessions that may change: each trial
    takes its sessions from the live arm, so the odds of live against holdback move with every stage. Dividing each
    session by its own odds keeps the expected value; the bets are sized for the most extreme odds.

    What is not covered: a user's sessions all go to one arm, so they are not independent coins. Few heavy users make
    the bounds too narrow.

    Attributes:
        low: the bets that the difference is above something.
        high: the bets that it is below.
        total: sum of what the sessions say.
        squares: sum of the squares of it.
    """

    low: BettingTest
    high: BettingTest
    total: float = 0.0
    squares: float = 0.0

    @classmethod
    def of(cls, smallest_share: float) -> Self:
        """Without a session yet.

        Args:
            smallest_share: neither arm ever gets less of the two arms' sessions than this; it bounds y.
        """
        bound = LARGEST_VALUE / smallest_share * (1 + 1e-9)  # the last bits of a sum must not push y beyond it
        return cls(BettingTest(Null.AT_MOST, 0.0, bound), BettingTest(Null.AT_LEAST, 0.0, bound))

    def checked(self, smallest_share: float) -> Self:
        """Itself, where it was taken under these odds.

        Raises:
            ValueError: it was not; evidence does not move between them.
        """
        expected = self.of(smallest_share).low.bound
        if not self.low.bound == self.high.bound == expected:
            raise ValueError(f"the evidence is for values within ±{self.low.bound}, expected ±{expected}")
        return self

    @property
    def sessions(self) -> int:
        """How many it has taken."""
        return self.low.count

    @property
    def estimate(self) -> float | None:
        """The mean difference so far, None before the first session."""
        return self.total / self.sessions if self.sessions else None

    @property
    def standard_error(self) -> float | None:
        """Of the estimate, as if sessions had been counted to a number fixed beforehand; None before the second."""
        if self.sessions < 2:  # noqa: PLR2004 - a deviation needs two
            return None
        mean = self.total / self.sessions
        return math.sqrt(max(self.squares / self.sessions - mean * mean, 0.0) / (self.sessions - 1))

    def add(self, session: ArmSession) -> None:
        """Take one session, in the order in which sessions close."""
        y = session.contribution()
        self.low.update(y)
        self.high.update(y)
        self.total += y
        self.squares += y * y

    def lower(self, alpha: float) -> float | None:
        """The lower 1 - alpha bound of the average difference so far; None before the first one."""
        return self.low.confidence_bound(alpha)

    def upper(self, alpha: float) -> float | None:
        """The upper one."""
        return self.high.confidence_bound(alpha)

    def harmful(self, alpha: float) -> bool:
        """Whether "arm >= holdback" has fallen at some moment; wrongly with probability at most ``alpha``, ever."""
        return self.high.rejects(alpha)
