"""How much better than the holdback an arm serves, under odds that change while trials come and go."""

import math
from dataclasses import dataclass
from typing import Final, Self

from typing_extensions import TypedDict

from ol0.statistics.betting import BettingSnapshot, BettingTest, Null

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


class LiftSnapshot(TypedDict):
    """The whole state of a ``LiftEvidence`` in plain JSON values."""

    total: float
    squares: float
    low: BettingSnapshot
    high: BettingSnapshot


class LiftEvidence:
    """Arm minus holdback in points of reward per voted decision, with bounds that hold at every moment.

    The same estimator as ``ol0.statistics.staged.ArmComparison``, for a share of sessions that may change: each trial
    takes its sessions from the live arm, so the odds of live against holdback move with every stage. Dividing each
    session by its own odds keeps the expected value; the bets are sized for the most extreme odds.

    What is not covered: a user's sessions all go to one arm, so they are not independent coins. Few heavy users make
    the bounds too narrow.

    Args:
        smallest_share: neither arm ever gets less of the two arms' sessions than this; it bounds y.
    """

    def __init__(self, smallest_share: float) -> None:
        bound = LARGEST_VALUE / smallest_share * (1 + 1e-9)  # the last bits of a sum must not push y beyond it
        self._low = BettingTest(Null.AT_MOST, 0.0, bound)
        self._high = BettingTest(Null.AT_LEAST, 0.0, bound)
        self._total, self._squares = 0.0, 0.0

    @property
    def sessions(self) -> int:
        """How many it has taken."""
        return self._low.count

    @property
    def estimate(self) -> float | None:
        """The mean difference so far, None before the first session."""
        return self._total / self.sessions if self.sessions else None

    @property
    def standard_error(self) -> float | None:
        """Of the estimate, as if sessions had been counted to a number fixed beforehand; None before the second."""
        if self.sessions < 2:  # noqa: PLR2004 - a deviation needs two
            return None
        mean = self._total / self.sessions
        return math.sqrt(max(self._squares / self.sessions - mean * mean, 0.0) / (self.sessions - 1))

    def add(self, session: ArmSession) -> None:
        """Take one session, in the order in which sessions close."""
        y = session.contribution()
        self._low.update(y)
        self._high.update(y)
        self._total += y
        self._squares += y * y

    def low(self, alpha: float) -> float | None:
        """The lower 1 - alpha bound of the average difference so far, None when there is none yet."""
        return self._low.confidence_bound(alpha)

    def high(self, alpha: float) -> float | None:
        """The upper one."""
        return self._high.confidence_bound(alpha)

    def harmful(self, alpha: float) -> bool:
        """Whether "arm >= holdback" has fallen at some moment; wrongly with probability at most ``alpha``, ever."""
        return self._high.rejects(alpha)

    def snapshot(self) -> LiftSnapshot:
        """The state in plain JSON values; ``from_snapshot`` goes on from it to the bit."""
        return LiftSnapshot(
            total=self._total, squares=self._squares, low=self._low.snapshot(), high=self._high.snapshot()
        )

    @classmethod
    def from_snapshot(cls, snapshot: LiftSnapshot, smallest_share: float) -> Self:
        """The evidence that ``snapshot`` was taken from.

        Raises:
            ValueError: it was taken under other odds; evidence does not move between them.
        """
        evidence = cls(smallest_share)
        low, high = BettingTest.from_snapshot(snapshot["low"]), BettingTest.from_snapshot(snapshot["high"])
        if not low.bound == high.bound == evidence._low.bound:
            raise ValueError(f"the evidence is for values within ±{low.bound}, expected ±{evidence._low.bound}")
        evidence._low, evidence._high = low, high
        evidence._total, evidence._squares = snapshot["total"], snapshot["squares"]
        return evidence
