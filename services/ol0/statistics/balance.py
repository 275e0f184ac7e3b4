"""Are two arms heard of equally? What a comparison of rewards takes for granted, tested beside it."""

import math
from dataclasses import dataclass
from typing import Final, NotRequired, Self

from typing_extensions import TypedDict

from ol0.controller.numbering import number_of
from ol0.records import Outcome
from ol0.statistics.betting import BetGrid
from ol0.statistics.lift import LiftConfig, LiftSession, LiftSnapshot, RelativeLift
from ol0.statistics.losses import Losses, LossesSnapshot
from ol0.statistics.sample_ratio import RatioFigures, RatioSnapshot, SampleRatio
from ol0.statistics.seen import SeenUnits
from ol0.statistics.spending import candidate_alpha

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


class BalanceSnapshot(TypedDict):
    """The whole state of a ``Balance`` in plain JSON values."""

    tolerance: float
    smallest_share: float
    period: int
    seen: str
    ratio: RatioSnapshot
    votes: LiftSnapshot
    lengths: LiftSnapshot
    sessions: int
    arms: list[list[int]]
    losses: NotRequired[LossesSnapshot]
    found: str | None


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
    A period of the units ends when ``SeenUnits`` is full; votes and lengths begin anew every 2,000 sessions, likewise
    at spent levels, so that a late change shows.

    ``lack`` is no test but a caution: by how many standard errors the treated arm falls short.

    Args:
        alpha: the level, within (0, 1).
        tolerance: by which share votes per decision and decisions per session may differ, within (0, 1).
        smallest_share: neither arm is ever due less of the two arms' sessions.
    """

    def __init__(self, alpha: float, tolerance: float, smallest_share: float) -> None:
        self.alpha, self.tolerance = alpha, tolerance
        self.smallest_share = max(smallest_share, SMALLEST_SHARE)
        self.found: str | None = None
        self._period = 1
        self._seen, self._ratio = SeenUnits(), SampleRatio()
        self._votes, self._lengths = self._new_rate(), self._new_rate()
        self.losses = Losses()
        self._sessions = 0
        self._arms = [[0] * 5, [0] * 5]  # control, treated: sessions, decisions, votes, lengths and their squares

    def see(self, unit: str, *, treated: bool | None, treated_share: float) -> None:
        """Take the unit of a decision; it counts once, by what it is met in first.

        Args:
            unit: the user where one is known, else the session.
            treated: its arm; None where it is a third one, which must not be counted later either.
            treated_share: the probability of ``treated`` among these two arms.
        """
        if not self._seen.first(unit):
            return
        if treated is not None:
            self._ratio.add(treated=treated, probability=treated_share)
            if self._ratio.rejects(candidate_alpha(self._period, self.alpha / 2)):
                self._find(_ratio_text(self._ratio.figures()))
        if self._seen.full:
            self._period += 1
            self._seen, self._ratio = SeenUnits(), SampleRatio()

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
        self._votes.add(LiftSession(session.treated, session.voted / session.decisions, session.treated_share))
        self._lengths.add(LiftSession(session.treated, length / LONGEST, session.treated_share))
        for place, one in enumerate((1, session.decisions, session.voted, length, length * length)):
            self._arms[session.treated][place] += one
        self._sessions += 1
        if not self._sessions % CHECK_EVERY:
            self._check()

    def _check(self) -> None:
        period = -(-self._sessions // RENEWED_EVERY)
        for rate, name, part in ((self._votes, "votes", 4), (self._lengths, "lengths", 8)):
            figures = rate.figures(candidate_alpha(period, self.alpha / part))
            if figures.high == -self.tolerance or figures.low == self.tolerance:
                self._find(self._rate_text(name))
        if not self._sessions % RENEWED_EVERY:
            self._votes, self._lengths = self._new_rate(), self._new_rate()

    @property
    def units(self) -> RatioFigures:
        """Users, else sessions, of both arms in this period."""
        return self._ratio.figures()

    @property
    def sessions(self) -> tuple[int, int]:
        """Complete sessions of the treated arm and of the control, voted or not."""
        return self._arms[1][0], self._arms[0][0]

    @property
    def treated_decisions(self) -> int:
        """Decisions in the treated arm's complete sessions."""
        return self._arms[1][1]

    @property
    def control_vote_rate(self) -> float:
        """Share of the control's decisions that are voted on; 0 before there is any."""
        _, decisions, voted, *_ = self._arms[0]
        return voted / decisions if decisions else 0.0

    @property
    def control_votes_per_session(self) -> float:
        """Votes in a session of the control, 0 before there is any."""
        sessions, _, voted, *_ = self._arms[0]
        return voted / sessions if sessions else 0.0

    @property
    def lack(self) -> float:
        """Standard errors by which the treated arm falls short: in units, or in decisions per session if that is more.

        As if looked at once, at a moment that was chosen beforehand: a caution while one waits, and no proof.
        """
        figures, (control, treated) = self.units, self._arms
        if not (control[0] and treated[0] and figures.units):
            return 0.0
        units = (figures.due - figures.treated) / math.sqrt(figures.variance)
        shorter = control[3] / control[0] - treated[3] / treated[0]
        count, total, squares = (control[place] + treated[place] for place in (0, 3, 4))
        variance = max(squares / count - (total / count) ** 2, 1e-9) * (1 / control[0] + 1 / treated[0])
        return max(units, shorter / math.sqrt(variance))

    def words(self) -> str:
        """What was counted so far, balanced or not."""
        known = [_ratio_text(self._ratio.figures()), self._rate_text("votes"), self._rate_text("lengths")]
        return "; ".join([*known, self.losses.words()] if self.losses.is_numbered else known)

    def snapshot(self) -> BalanceSnapshot:
        """The state in plain JSON values; ``from_snapshot`` goes on from it to the bit."""
        return BalanceSnapshot(
            tolerance=self.tolerance,
            smallest_share=self.smallest_share,
            period=self._period,
            seen=self._seen.snapshot(),
            ratio=self._ratio.snapshot(),
            votes=self._votes.snapshot(),
            lengths=self._lengths.snapshot(),
            sessions=self._sessions,
            arms=[list(arm) for arm in self._arms],
            losses=self.losses.snapshot(),
            found=self.found,
        )

    @classmethod
    def from_snapshot(cls, snapshot: BalanceSnapshot, alpha: float) -> Self:
        """The tests that ``snapshot`` was taken from; the tolerance belongs to the evidence."""
        balance = cls(alpha, snapshot["tolerance"], snapshot["smallest_share"])
        balance._period, balance.found = snapshot["period"], snapshot["found"]
        balance._seen = SeenUnits.from_snapshot(snapshot["seen"])
        balance._ratio = SampleRatio.from_snapshot(snapshot["ratio"])
        balance._votes = RelativeLift.from_snapshot(snapshot["votes"])
        balance._lengths = RelativeLift.from_snapshot(snapshot["lengths"])
        balance._sessions = snapshot["sessions"]
        balance._arms = [list(arm) for arm in snapshot["arms"]]
        if "losses" in snapshot:
            balance.losses = Losses.from_snapshot(snapshot["losses"])
        return balance

    def _new_rate(self) -> RelativeLift:
        """A ratio of which only two values are asked: the ends of what is tolerated."""
        share = self.smallest_share * (1 - 1e-9)  # the last bits of a session's share must not leave it
        return RelativeLift(
            LiftConfig(-self.tolerance, self.tolerance, 2 * self.tolerance, share, BetGrid(0.02, 0.9, 12))
        )

    def _find(self, words: str) -> None:
        self.found = self.found or words

    def _rate_text(self, name: str) -> str:
        what, over, under = ("votes per decision", 2, 1) if name == "votes" else ("decisions per session", 1, 0)
        treated, control = (_rate(arm[over], arm[under]) for arm in reversed(self._arms))
        return f"{what} {treated} in the arm, {control} beside it"


def _ratio_text(figures: RatioFigures) -> str:
    return f"{figures.treated} of {figures.units} users or sessions are in the arm, {figures.due:.1f} are due"


def _rate(part: int, whole: int) -> str:
    return f"{part / whole:.2f}" if whole else "unknown"
