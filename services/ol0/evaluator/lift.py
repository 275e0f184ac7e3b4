"""The lift over holdback, session by session."""

from dataclasses import dataclass, field, replace
from typing import Final, Literal, Self

from ol0.evaluator.votes import Vote
from ol0.records import Arm, Outcome
from ol0.statistics.balance import Balance, HeardSession
from ol0.statistics.clusters import Clusters
from ol0.statistics.lift import LiftConfig, LiftFigures, LiftSession, RelativeLift
from ol0.statistics.paired_lift import PairedLift
from ol0.statistics.pairing import Pairing, SessionShape
from ol0.statistics.sessions import OpenSessions, Session, SessionCollector

LAYOUT: Final = 2
"""Of the snapshot. The first one held no actions; of those sessions nothing can be paired any more."""


@dataclass(eq=False)
class LiftState:
    """What a ``SessionLift`` knows.

    Attributes:
        since_ms: decisions before it were drawn under another holdback and do not count; None: all do.
    """

    layout: Literal[2]
    holdback: float
    since_ms: int | None
    balance: Balance
    lift: RelativeLift
    paired: PairedLift
    pairing: Pairing
    clusters: Clusters = field(default_factory=Clusters)  # of ``lift``
    counts: list[int] = field(default_factory=lambda: [0, 0])  # voted sessions of the holdback, treated
    totals: list[float] = field(default_factory=lambda: [0.0, 0.0])  # of their values
    sessions: OpenSessions | None = None  # in a snapshot alone

    @classmethod
    def of(cls, holdback: float, alpha: float, tolerance: float, since_ms: int | None) -> Self:
        """Without a session yet; see ``SessionLift``."""
        smaller = min(holdback, 1 - holdback)
        return cls(
            LAYOUT,
            holdback,
            since_ms,
            Balance.of(alpha, tolerance, smaller),
            # Half the holdback, so that it can be halved without a new lift; see LiftConfig.
            RelativeLift(LiftConfig(smallest_share=smaller / 2)),
            PairedLift(holdback),
            Pairing(holdback, alpha),
        )


@dataclass(frozen=True)
class OtherLift:
    """What another version kept: it cannot be continued, but its holdback is known."""

    holdback: float | None = None
    layout: int | None = None

    def __post_init__(self) -> None:
        if self.layout == LAYOUT:
            raise ValueError("a lift of this version that cannot be read")


class SessionLift:
    """Puts votes together to sessions, and sessions to a lift. A session without a vote says nothing and is left out.

    The lift is that of the pairs (see ``PairedLift``), as long as prompts do not depend on which arm answered. Where
    they were found to (``Pairing``), it is the plain comparison of sessions from then on, which is wider.

    It comes with the balance of the arms: where they are not heard of alike, a lift is nothing that was shown.

    Args:
        holdback: share of the sessions that the base serves, above 0.
        gap_ms: silence after which a session is complete.
        alpha: level at which the arms are found unbalanced, and prompts to depend on the arm.
        tolerance: see ``Balance``.
        since_ms: see ``LiftState``.
        state: to continue from, of the same holdback.
    """

    def __init__(
        self,
        holdback: float,
        gap_ms: int,
        alpha: float,
        tolerance: float,
        since_ms: int | None = None,
        state: LiftState | None = None,
    ) -> None:
        self._treated_share, self._alpha = 1 - holdback, alpha
        self._sessions = SessionCollector[Vote](gap_ms)
        self.state = state or LiftState.of(holdback, alpha, tolerance, since_ms)
        self.balance, self.since_ms = self.state.balance, self.state.since_ms
        self.balance.alpha = self.state.pairing.alpha = alpha
        if self.state.sessions is not None:
            self._sessions.restore(self.state.sessions, Vote.from_row)
            self.state.sessions = None

    def add(self, outcome: Outcome, vote: Vote | None, now_ms: int) -> None:
        """Takes one decision at this event time, and what it says; None: it does not count."""
        counted = vote is not None and (self.since_ms is None or outcome.time_ms >= self.since_ms)
        self.balance.hear(
            outcome,
            treated=outcome.arm is not Arm.HOLDBACK,
            treated_share=self._treated_share,
            now_ms=now_ms,
            counted=counted,
        )
        if vote is None or not counted:
            return
        unit = outcome.user or outcome.session_id
        self.balance.see(unit, treated=vote.treated, treated_share=self._treated_share)
        self._sessions.add(outcome.session_id, outcome.window_end_ms, vote)

    def close_due(self, now_ms: int) -> None:
        """Takes the sessions that are complete at this event time into the lift."""
        for session in self._sessions.due(now_ms):
            self._take(session)

    def figures(self, alpha: float) -> LiftFigures:
        """Estimate and interval of the relative lift.

        What is spent on finding that prompts depend on the arm is taken from the pairs, so that an interval that was
        shown and does not hold the lift has probability ``alpha`` at most, both intervals together.
        """
        if self.unpaired is not None:
            return self.state.lift.figures(alpha, self.state.clusters.effect)
        return self.state.paired.figures(alpha - self._alpha)

    @property
    def unpaired(self) -> str | None:
        """Why sessions are compared and not prompts, None where prompts are."""
        return self.state.pairing.found

    @property
    def design_effect(self) -> float:
        """How much more the sums vary because users come again, at least 1."""
        return self.state.paired.design_effect if self.unpaired is None else self.state.clusters.effect

    @property
    def points(self) -> float | None:
        """The same as a difference, in mean reward: treated less holdback."""
        if self.unpaired is None:
            return self.state.paired.points
        if not all(self.state.counts):
            return None
        control, treated = (total / count for total, count in zip(self.state.totals, self.state.counts, strict=True))
        return treated - control

    def snapshot(self) -> LiftState:
        """The whole state; another ``SessionLift`` continues it to the bit."""
        return replace(self.state, sessions=self._sessions.snapshot(Vote.row))

    def _take(self, session: Session[Vote]) -> None:
        votes = session.items
        said = [vote.said for vote in votes if vote.said is not None]
        treated = votes[0].treated
        self.balance.add(HeardSession(treated, self._treated_share, len(votes), len(said)))
        alike = [vote.said.reward for vote in votes if vote.agrees and vote.said is not None]
        agreeing, reward = sum(vote.agrees for vote in votes), sum(alike) / len(alike) if alike else None
        self.state.pairing.add(SessionShape(len(votes), len(said), agreeing, reward), treated=treated)
        if not said:
            return
        self.state.paired.add(said, treated=treated, bucket=votes[0].bucket)
        value = sum(one.reward for one in said) / len(said)
        says = self.state.lift.add(LiftSession(treated=treated, value=value, treated_share=self._treated_share))
        self.state.clusters.add(votes[0].bucket, says)
        self.state.counts[treated] += 1
        self.state.totals[treated] += value
