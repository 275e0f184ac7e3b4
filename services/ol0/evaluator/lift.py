"""The lift over holdback, session by session."""

from dataclasses import dataclass
from typing import TypedDict

from ol0.records import Arm, Outcome
from ol0.statistics.balance import Balance, BalanceSnapshot, HeardSession
from ol0.statistics.columns import Row
from ol0.statistics.lift import LiftConfig, LiftFigures, LiftSession, LiftSnapshot, RelativeLift
from ol0.statistics.sessions import OpenSessions, Session, SessionCollector


@dataclass(frozen=True, slots=True)
class Vote:
    """One decision of a session: whether the learnt policy was to serve it, and its reward."""

    treated: bool
    reward: float | None


class SessionLiftSnapshot(TypedDict):
    """The whole state in plain JSON values."""

    holdback: float
    since_ms: int | None
    sessions: OpenSessions
    lift: LiftSnapshot
    balance: BalanceSnapshot
    counts: list[int]
    totals: list[float]


class SessionLift:
    """Puts votes together to sessions, and sessions to a lift. A session without a vote says nothing and is left out.

    Beside it stands the balance of the arms: where they are not heard of alike, a lift is nothing that was shown.

    Args:
        holdback: share of the sessions that the base serves, above 0.
        gap_ms: silence after which a session is complete.
        alpha: level at which the arms are found unbalanced.
        tolerance: see ``Balance``.
        since_ms: decisions before it were drawn under another holdback and do not count; None: all do.
    """

    def __init__(
        self, holdback: float, gap_ms: int, alpha: float, tolerance: float, since_ms: int | None = None
    ) -> None:
        self._holdback, self.since_ms = holdback, since_ms
        self._treated_share, self._alpha = 1 - holdback, alpha
        self.balance = Balance(alpha, tolerance, min(holdback, 1 - holdback))
        self._sessions = SessionCollector[Vote](gap_ms)
        # Half the holdback, so that it can be halved without a new lift; see LiftConfig.
        self._lift = RelativeLift(LiftConfig(smallest_share=min(holdback, 1 - holdback) / 2))
        self._counts = [0, 0]  # sessions of the holdback, treated; so are the totals of their values
        self._totals = [0.0, 0.0]

    def add(self, outcome: Outcome) -> None:
        """Takes one decision."""
        if self.since_ms is not None and outcome.time_ms < self.since_ms:
            return
        vote = Vote(outcome.arm is not Arm.HOLDBACK, outcome.reward)
        unit = outcome.user or outcome.session_id
        self.balance.see(unit, treated=vote.treated, treated_share=self._treated_share)
        self._sessions.add(outcome.session_id, outcome.window_end_ms, vote)

    def close_due(self, now_ms: int) -> None:
        """Takes the sessions that are complete at this event time into the lift."""
        for session in self._sessions.due(now_ms):
            self._take(session)

    def figures(self, alpha: float) -> LiftFigures:
        """Estimate and interval of the relative lift."""
        return self._lift.figures(alpha)

    @property
    def points(self) -> float | None:
        """Mean value of the treated sessions minus that of the holdback's."""
        if not all(self._counts):
            return None
        control, treated = (total / count for total, count in zip(self._totals, self._counts, strict=True))
        return treated - control

    def snapshot(self) -> SessionLiftSnapshot:
        """The state; ``restore`` goes on from it to the bit."""
        return SessionLiftSnapshot(
            holdback=self._holdback,
            since_ms=self.since_ms,
            balance=self.balance.snapshot(),
            sessions=self._sessions.snapshot(_encode),
            lift=self._lift.snapshot(),
            counts=list(self._counts),
            totals=list(self._totals),
        )

    def restore(self, snapshot: SessionLiftSnapshot) -> None:
        """Takes the state of ``snapshot``, which must be of the same holdback."""
        self.since_ms = snapshot["since_ms"]
        self.balance = Balance.from_snapshot(snapshot["balance"], self._alpha)
        self._sessions.restore(snapshot["sessions"], _decode)
        self._lift = RelativeLift.from_snapshot(snapshot["lift"])
        self._counts, self._totals = list(snapshot["counts"]), list(snapshot["totals"])

    def _take(self, session: Session[Vote]) -> None:
        rewards = [vote.reward for vote in session.items if vote.reward is not None]
        treated = session.items[0].treated
        self.balance.add(HeardSession(treated, self._treated_share, len(session.items), len(rewards)))
        if not rewards:
            return
        value = sum(rewards) / len(rewards)
        self._lift.add(LiftSession(treated=treated, value=value, treated_share=self._treated_share))
        self._counts[treated] += 1
        self._totals[treated] += value


def _encode(vote: Vote) -> Row:
    return [vote.treated, vote.reward]


def _decode(row: Row) -> Vote:
    treated, reward = row
    return Vote(bool(treated), None if reward is None else float(reward))
