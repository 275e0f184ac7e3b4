"""The lift over holdback, session by session."""

from dataclasses import dataclass
from typing import TypedDict

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

    sessions: OpenSessions
    lift: LiftSnapshot
    counts: list[int]
    totals: list[float]


class SessionLift:
    """Puts votes together to sessions, and sessions to a lift. A session without a vote says nothing and is left out.

    Args:
        holdback: share of the sessions that the base serves, above 0.
        gap_ms: silence after which a session is complete.
    """

    def __init__(self, holdback: float, gap_ms: int) -> None:
        self._treated_share = 1 - holdback
        self._sessions = SessionCollector[Vote](gap_ms)
        # Half the holdback, so that it can be halved without a new lift; see LiftConfig.
        self._lift = RelativeLift(LiftConfig(smallest_share=min(holdback, 1 - holdback) / 2))
        self._counts = [0, 0]  # sessions of the holdback, treated; so are the totals of their values
        self._totals = [0.0, 0.0]

    def add(self, session_id: str, end_ms: int, vote: Vote) -> None:
        """Takes one decision, whose feedback window ended at ``end_ms``."""
        self._sessions.add(session_id, end_ms, vote)

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
            sessions=self._sessions.snapshot(_encode),
            lift=self._lift.snapshot(),
            counts=list(self._counts),
            totals=list(self._totals),
        )

    def restore(self, snapshot: SessionLiftSnapshot) -> None:
        """Takes the state of ``snapshot``."""
        self._sessions.restore(snapshot["sessions"], _decode)
        self._lift = RelativeLift.from_snapshot(snapshot["lift"])
        self._counts, self._totals = list(snapshot["counts"]), list(snapshot["totals"])

    def _take(self, session: Session[Vote]) -> None:
        rewards = [vote.reward for vote in session.items if vote.reward is not None]
        if not rewards:
            return
        treated, value = session.items[0].treated, sum(rewards) / len(rewards)
        self._lift.add(LiftSession(treated=treated, value=value, treated_share=self._treated_share))
        self._counts[treated] += 1
        self._totals[treated] += value


def _encode(vote: Vote) -> Row:
    return [vote.treated, vote.reward]


def _decode(row: Row) -> Vote:
    treated, reward = row
    return Vote(bool(treated), None if reward is None else float(reward))
