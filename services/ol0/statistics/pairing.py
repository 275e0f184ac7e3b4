"""Do prompts depend on which arm answered before? What a paired comparison takes for granted, tested beside it."""

import math
from dataclasses import dataclass, field
from typing import Annotated, Final, Self

from ol0.statistics.balance import LONGEST
from ol0.statistics.betting import BettingTest, Null
from ol0.statistics.stored import NOT_STORED

CHECK_EVERY: Final = 25
"""Sessions that are taken at once: a tenth of the time that they would take one by one."""


@dataclass(frozen=True, slots=True)
class SessionShape:
    """What must not depend on the arm of a session, nor on what it answered.

    Attributes:
        decisions: how many there are, at least one.
        voted: how many of them have a reward.
        agreeing: on how many both arms do the same.
        reward: mean reward of those of these that are voted on, within [0, 1]; None where none is.
    """

    decisions: int
    voted: int
    agreeing: int
    reward: float | None


@dataclass(eq=False)
class Gap:
    """Whether a figure of sessions, within [0, 1], has the same mean in both arms: exact, at every moment."""

    sides: tuple[BettingTest, BettingTest]
    counts: list[int] = field(default_factory=lambda: [0, 0])  # control, treated
    totals: list[float] = field(default_factory=lambda: [0.0, 0.0])
    pending: list[float] = field(default_factory=list)

    @classmethod
    def of(cls, holdback: float) -> Self:
        """Without a session yet."""
        bound = 1 / min(holdback, 1 - holdback)
        return cls((BettingTest(Null.AT_MOST, 0.0, bound), BettingTest(Null.AT_LEAST, 0.0, bound)))

    def add(self, value: float, share: float, *, treated: bool) -> bool:
        """Take the figure of one session of an arm with this share; whether there is news for ``found``."""
        centre = (0.5 + sum(self.totals)) / (1 + sum(self.counts))
        self.pending.append((value - centre) / share * (1 if treated else -1))
        self.counts[treated] += 1
        self.totals[treated] += value
        if len(self.pending) < CHECK_EVERY:
            return False
        for side in self.sides:
            side.update(self.pending)
        self.pending = []
        return True

    def found(self, alpha: float) -> bool:
        """Whether the arms were ever shown to differ; false alarms at most ``alpha``, of both sides together."""
        return any(side.rejects(alpha / 2) for side in self.sides)

    def words(self) -> str:
        """Both means."""
        control, treated = (
            f"{total / count:.2f}" if count else "unknown"
            for total, count in zip(self.totals, self.counts, strict=True)
        )
        return f"{treated} with the learnt policy, {control} with the holdback"


NAMES: Final = {
    "agreeing": "share of decisions on which both arms do the same",
    "reward": "mean reward where both arms do the same",
    "votes": "votes per decision",
    "length": f"decisions of a session (by {LONGEST})",
}


@dataclass(eq=False)
class Pairing:
    """Tests of what must be alike in both arms if prompts come, and are voted on, as they would for the other arm.

    *Agreeing*: the share of a session's decisions on which both arms do the same. Users whose next prompt depends on
    the answer ask the two arms different things. *Reward*: the mean reward of such decisions, where both do the same
    and should fare the same; earlier answers that colour later votes show here. *Votes*: the share of decisions that is
    voted on. *Length*: the decisions of a session, 12 at the most; who asks again after a bad answer asks more.

    Guaranteed: where nothing depends on the arm, something is found with probability ``alpha`` at most, ever. Not
    guaranteed: that a dependence is found. With a holdback of a tenth, a gap of 15 points in a share or in rewards was
    found within 5,000 sessions, and half a decision more in a session of two.

    Attributes:
        holdback: share of all sessions that the base serves, within (0, 1).
        alpha: level.
        found: what depends on the arm, in words; None while nothing was found to.
    """

    holdback: float
    alpha: Annotated[float, NOT_STORED] = math.nan
    gaps: dict[str, Gap] = field(default_factory=dict)
    found: str | None = None

    def __post_init__(self) -> None:
        self.gaps = {name: self.gaps.get(name) or Gap.of(self.holdback) for name in NAMES}

    def add(self, session: SessionShape, *, treated: bool) -> None:
        """Take one session, voted or not, of either arm."""
        figures = {
            "agreeing": session.agreeing / session.decisions,
            "reward": session.reward,
            "votes": session.voted / session.decisions,
            "length": min(session.decisions, LONGEST) / LONGEST,
        }
        share = 1 - self.holdback if treated else self.holdback
        for name, figure in figures.items():
            gap = self.gaps[name]
            is_new = figure is not None and gap.add(figure, share, treated=treated)
            if is_new and self.found is None and gap.found(self.alpha / len(NAMES)):
                self.found = f"what is asked depends on who answers: {NAMES[name]} {gap.words()}"
