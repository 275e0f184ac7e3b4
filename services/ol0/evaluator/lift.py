"""The lift over holdback, session by session."""

from typing import Final

from typing_extensions import TypedDict

from ol0.evaluator.votes import Vote
from ol0.records import Arm, Outcome
from ol0.statistics.balance import Balance, BalanceSnapshot, HeardSession
from ol0.statistics.clusters import Clusters, ClustersSnapshot
from ol0.statistics.lift import LiftConfig, LiftFigures, LiftSession, LiftSnapshot, RelativeLift
from ol0.statistics.paired_lift import PairedLift, PairedSnapshot
from ol0.statistics.pairing import Pairing, PairingSnapshot, SessionShape
from ol0.statistics.sessions import OpenSessions, Session, SessionCollector

LAYOUT: Final = 2
"""Of the snapshot. The first one held no actions; of those sessions nothing can be paired any more."""


class SessionLiftSnapshot(TypedDict):
    """The whole state in plain JSON values."""

    layout: int
    holdback: float
    since_ms: int | None
    sessions: OpenSessions
    lift: LiftSnapshot
    paired: PairedSnapshot
    pairing: PairingSnapshot
    clusters: ClustersSnapshot
    balance: BalanceSnapshot
    counts: list[int]
    totals: list[float]


class SessionLift:
    """Puts votes together to sessions, and sessions to a lift. A session without a vote says nothing and is left out.

    The lift is that of the pairs (see ``PairedLift``), as long as prompts do not depend on which arm answered. Where
    they were found to (``Pairing``), it is the plain comparison of sessions from then on, which is wider.

    Beside it stands the balance of the arms: where they are not heard of alike, a lift is nothing that was shown.

    Args:
        holdback: share of the sessions that the base serves, above 0.
        gap_ms: silence after which a session is complete.
        alpha: level at which the arms are found unbalanced, and prompts to depend on the arm.
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
        self._clusters = Clusters()
        self._paired, self._pairing = PairedLift(holdback), Pairing(holdback, alpha)
        self._counts = [0, 0]  # sessions of the holdback, treated; so are the totals of their values
        self._totals = [0.0, 0.0]

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
            return self._lift.figures(alpha, self._clusters.effect)
        return self._paired.figures(alpha - self._alpha)

    @property
    def unpaired(self) -> str | None:
        """Why sessions are compared and not prompts, None where prompts are."""
        return self._pairing.found

    @property
    def design_effect(self) -> float:
        """How much more the sums vary because users come again, at least 1."""
        return self._paired.design_effect if self.unpaired is None else self._clusters.effect

    @property
    def points(self) -> float | None:
        """The same as a difference, in mean reward: treated less holdback."""
        if self.unpaired is None:
            return self._paired.points
        if not all(self._counts):
            return None
        control, treated = (total / count for total, count in zip(self._totals, self._counts, strict=True))
        return treated - control

    def snapshot(self) -> SessionLiftSnapshot:
        """The state; ``restore`` goes on from it to the bit."""
        return SessionLiftSnapshot(
            layout=LAYOUT,
            holdback=self._holdback,
            since_ms=self.since_ms,
            balance=self.balance.snapshot(),
            sessions=self._sessions.snapshot(Vote.row),
            lift=self._lift.snapshot(),
            paired=self._paired.snapshot(),
            pairing=self._pairing.snapshot(),
            clusters=self._clusters.snapshot(),
            counts=list(self._counts),
            totals=list(self._totals),
        )

    def restore(self, snapshot: SessionLiftSnapshot) -> None:
        """Takes the state of ``snapshot``, which must be of the same holdback and layout."""
        self.since_ms = snapshot["since_ms"]
        self.balance = Balance.from_snapshot(snapshot["balance"], self._alpha)
        self._sessions.restore(snapshot["sessions"], Vote.from_row)
        self._lift = RelativeLift.from_snapshot(snapshot["lift"])
        self._paired = PairedLift.from_snapshot(snapshot["paired"])
        self._pairing = Pairing.from_snapshot(snapshot["pairing"], self._alpha)
        self._clusters = Clusters.from_snapshot(snapshot["clusters"])
        self._counts, self._totals = list(snapshot["counts"]), list(snapshot["totals"])

    def _take(self, session: Session[Vote]) -> None:
        votes = session.items
        said = [vote.said for vote in votes if vote.said is not None]
        treated = votes[0].treated
        self.balance.add(HeardSession(treated, self._treated_share, len(votes), len(said)))
        alike = [vote.said.reward for vote in votes if vote.agrees and vote.said is not None]
        agreeing, reward = sum(vote.agrees for vote in votes), sum(alike) / len(alike) if alike else None
        self._pairing.add(SessionShape(len(votes), len(said), agreeing, reward), treated=treated)
        if not said:
            return
        self._paired.add(said, treated=treated, bucket=votes[0].bucket)
        value = sum(one.reward for one in said) / len(said)
        says = self._lift.add(LiftSession(treated=treated, value=value, treated_share=self._treated_share))
        self._clusters.add(votes[0].bucket, says)
        self._counts[treated] += 1
        self._totals[treated] += value
