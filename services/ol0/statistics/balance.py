"""Are two arms heard of equally? What a comparison of rewards takes for granted, tested beside it."""

import math
from dataclasses import dataclass, field
from typing import Annotated, Final, Self

from ol0.controller.numbering import number_of
from ol0.records import Outcome
from ol0.statistics.lift import LiftConfig, LiftSession, RelativeLift
from ol0.statistics.losses import Losses
from ol0.statistics.sample_ratio import SampleRatio
from ol0.statistics.seen import PackedUnits, SeenUnits
from ol0.statistics.spending import candidate_alpha
from ol0.statistics.stored import NOT_STORED

LONGEST: Final = 12  # decisions of a session that count as such: one endless session must not decide
CHECK_EVERY: Final = 25  # sessions; bounds are dearer than what they are made of
RENEWED_EVERY: Final = 2_000  # sessions; a change is diluted by as many at most
SMALLEST_SHARE: Final = 0.001
"""No arm that is watched is due less of the two arms' sessions: it bounds what a single one may weigh."""


@dataclass(frozen=True)
class HeardSession:
    """A complete session of the two arms, voted or not.

    Attributes:
        treated: the arm that served it.
        treated_share: the probability of that.
        decisions: how many there are, at least one.
        voted: how many of them have a reward.
    """

    treated: bool
    treated_share: float
    decisions: int
    voted: int


@dataclass(eq=False)
class Balance:
    """Four tests of one pair of arms, and what they found, in words with figures.

    *Units*: of the users (else sessions) of both arms, as many are in each as are due (``SampleRatio``). This is exact:
    any loss is found in time. *Votes*: the share of a session's decisions that is voted on, treated over control, is
    within 1 ± ``tolerance``. *Lengths*: so is the number of decisions in a session (12 at the most). These two may
    differ for honest reasons (who is served well may vote less, or need fewer attempts), hence the tolerance.
    *Losses*: of the decisions that were numbered and never came, as many are in each arm as are due (``Losses``).

    Guaranteed: arms whose units are drawn as due, whose rates differ by less than the tolerance, and whose decisions
    are lost alike, are found unbalanced with probability ``alpha`` at most, however long one looks: half of it is for
    the units, a quarter for votes, an eighth for lengths and losses each; and the p-th period has alpha / (p (p + 1)).
    A period of the units ends when ``SeenUnits`` is full; votes and lengths start over every 2,000 sessions, likewise
    at spent levels, so that a late change shows.

    ``lack`` is no test but a caution: by how many standard errors the treated arm falls short.

    Attributes:
        tolerance: by which share votes per decision and decisions per session may differ, within (0, 1).
        smallest_share: neither arm is ever due less of the two arms' sessions.
        alpha: the level, within (0, 1).
        ratio: of users, else sessions, of both arms in this period.
        found: what is unbalanced, in words; None while nothing was found to be.
    """

    tolerance: float
    smallest_share: float
    votes: RelativeLift
    lengths: RelativeLift
    alpha: Annotated[float, NOT_STORED] = math.nan
    period: int = 1  # of the units
    seen: PackedUnits = field(default_factory=SeenUnits)
    ratio: SampleRatio = field(default_factory=SampleRatio)
    sessions: int = 0  # complete ones, of both arms
    arms: list[list[int]] = field(default_factory=lambda: [[0] * 5, [0] * 5])  # see ``add``
    losses: Losses = field(default_factory=Losses)
    found: str | None = None

    @classmethod
    def of(cls, alpha: float, tolerance: float, smallest_share: float) -> Self:
        """Without a unit yet."""
        share = max(smallest_share, SMALLEST_SHARE)
        return cls(tolerance, share, _new_rate(tolerance, share), _new_rate(tolerance, share), alpha)

    def see(self, unit: str, *, treated: bool | None, treated_share: float) -> None:
        """Take the unit of a decision; it counts once, by what it is met in first.

        Args:
            unit: the user where one is known, else the session.
            treated: its arm; None where it is a third one, which must not be counted later either.
            treated_share: the probability of ``treated`` among these two arms.
        """
        if not self.seen.first(unit):
            return
        if treated is not None:
            self.ratio.add(treated=treated, probability=treated_share)
            if self.ratio.rejects(candidate_alpha(self.period, self.alpha / 2)):
                self._find(_ratio_text(self.ratio))
        if self.seen.full:
            self.period += 1
            self.seen, self.ratio = SeenUnits(), SampleRatio()

    def hear(self, outcome: Outcome, *, treated: bool, treated_share: float, now_ms: int, counted: bool) -> None:
        """Take one decision of either arm by its number, also one that is not ``counted``; see ``Losses.hear``."""
        self.losses.hear(
            number_of(outcome.decision_id),
            outcome.arm,
            treated=treated,
            treated_share=treated_share,
            end_ms=outcome.window_end_ms,
            now_ms=now_ms,
            counted=counted,
        )
        if self.losses.rejects(self.alpha / 8):
            self._find(self.losses.words())

    def add(self, session: HeardSession) -> None:
        """Take a complete session of either arm."""
        length = min(session.decisions, LONGEST)
        self.votes.add(LiftSession(session.treated, session.voted / session.decisions, session.treated_share))
        self.lengths.add(LiftSession(session.treated, length / LONGEST, session.treated_share))
        for place, one in enumerate((1, session.decisions, session.voted, length, length * length)):
            self.arms[session.treated][place] += one
        self.sessions += 1
        if not self.sessions % CHECK_EVERY:
            self._check()

    def _check(self) -> None:
        period = -(-self.sessions // RENEWED_EVERY)
        for rate, name, part in ((self.votes, "votes", 4), (self.lengths, "lengths", 8)):
            figures = rate.figures(candidate_alpha(period, self.alpha / part))
            if figures.high == -self.tolerance or figures.low == self.tolerance:
                self._find(self._rate_text(name))
        if not self.sessions % RENEWED_EVERY:
            self.votes, self.lengths = (_new_rate(self.tolerance, self.smallest_share) for _ in range(2))

    @property
    def complete(self) -> tuple[int, int]:
        """Complete sessions of the treated arm and of the control, voted or not."""
        return self.arms[1][0], self.arms[0][0]

    @property
    def treated_decisions(self) -> int:
        """Decisions in the treated arm's complete sessions."""
        return self.arms[1][1]

    @property
    def control_vote_rate(self) -> float:
        """Share of the control's decisions that are voted on; 0 before there is any."""
        _, decisions, voted, *_ = self.arms[0]
        return voted / decisions if decisions else 0.0

    @property
    def control_votes_per_session(self) -> float:
        """Votes in a session of the control, 0 before there is any."""
        sessions, _, voted, *_ = self.arms[0]
        return voted / sessions if sessions else 0.0

    @property
    def lack(self) -> float:
        """Standard errors by which the treated arm falls short: in units, or in decisions per session if that is more.

        As if looked at once, at a moment that was chosen beforehand: a caution while one waits, and no proof.
        """
        ratio, (control, treated) = self.ratio, self.arms
        if not (control[0] and treated[0] and ratio.units):
            return 0.0
        units = (ratio.due - ratio.treated) / math.sqrt(ratio.variance)
        shorter = control[3] / control[0] - treated[3] / treated[0]
        count, total, squares = (control[place] + treated[place] for place in (0, 3, 4))
        variance = max(squares / count - (total / count) ** 2, 1e-9) * (1 / control[0] + 1 / treated[0])
        return max(units, shorter / math.sqrt(variance))

    def words(self) -> str:
        """What was counted so far, balanced or not."""
        known = [_ratio_text(self.ratio), self._rate_text("votes"), self._rate_text("lengths")]
        return "; ".join([*known, self.losses.words()] if self.losses.is_numbered else known)

    def _find(self, words: str) -> None:
        self.found = self.found or words

    def _rate_text(self, name: str) -> str:
        what, over, under = ("votes per decision", 2, 1) if name == "votes" else ("decisions per session", 1, 0)
        treated, control = (_rate(arm[over], arm[under]) for arm in reversed(self.arms))
        return f"{what} {treated} in the arm, {control} beside it"


def _new_rate(tolerance: float, smallest_share: float) -> RelativeLift:
    """A ratio of which only two values are asked: the ends of what is tolerated."""
    share = smallest_share * (1 - 1e-9)  # the last bits of a session's share must not leave it
    return RelativeLift(LiftConfig(-tolerance, tolerance, 2 * tolerance, share))


def _ratio_text(ratio: SampleRatio) -> str:
    return f"{ratio.treated} of {ratio.units} users or sessions are in the arm, {ratio.due:.1f} are due"


def _rate(part: int, whole: int) -> str:
    return f"{part / whole:.2f}" if whole else "unknown"
