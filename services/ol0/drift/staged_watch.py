"""A candidate on trial against the holdback."""

from dataclasses import dataclass, replace
from typing import Final

from ol0.config import SafetyConfig
from ol0.drift.assignment import Assignment
from ol0.drift.evidence import LiftEvidence
from ol0.drift.sessions import ArmSessions
from ol0.drift.watched import Watched, harm, unbalanced
from ol0.gates.balances import balance_of
from ol0.gates.verdicts import Opinion
from ol0.records import Arm, Outcome
from ol0.statistics.balance import Balance
from ol0.statistics.sessions import OpenSessions

REFERENCE_QUANTILE: Final = 1.28  # one-sided 90 %, normal: between the estimate (false alarms) and its bound (blind)
REFERENCE_SESSIONS: Final = 100  # below, the staged phase says too little to be held against later


@dataclass(frozen=True)
class StagedState:
    """What a ``StagedWatch`` knows; what is None was seen under other odds, or not looked at by an earlier version."""

    watched: Watched
    evidence: LiftEvidence | None = None
    balance: Balance | None = None
    open: OpenSessions | None = None


class StagedWatch:
    """A candidate on trial against the holdback, over all its stages. Its lift is what it is released for.

    Guaranteed: a candidate that is as good as the base is stopped with probability ``safety.alpha`` at most, and with a
    tenth of that for want of balance, if arms are drawn and heard of as they should be.
    """

    def __init__(self, state: StagedState, assignment: Assignment, safety: SafetyConfig) -> None:
        self.watched, self.assignment, self._alpha = state.watched, assignment, safety.alpha
        self.evidence = (state.evidence or LiftEvidence.of(assignment.smallest)).checked(assignment.smallest)
        self.balance = balance_of(safety, assignment.smallest, state.balance)
        self._sessions = ArmSessions(round(1000 * safety.session_gap_s), state.open)

    @property
    def sessions(self) -> int:
        """The size of the evidence."""
        return self.evidence.sessions

    def move_to(self, stage: int) -> None:
        """Moves on to the next stage and keeps all evidence."""
        self.watched = replace(self.watched, stage=stage)

    def add(self, outcome: Outcome) -> None:
        """Take an outcome of the trial, as long as it was served by whom its arm promises."""
        served = {Arm.STAGED: self.watched.digest, Arm.HOLDBACK: self.watched.base}.get(outcome.arm)
        ours = outcome.staged == self.watched.digest and self.watched.counts(outcome)
        share = self.assignment.staged(outcome.serving_sequence)
        self._sessions.take(outcome, share, outcome.greedy_staged, self.balance, served=served, ours=ours)

    def close_sessions(self, now_ms: int) -> Opinion | None:
        """Judge by the sessions that are complete at this event time."""
        for session in self._sessions.due(now_ms):
            self.balance.add(session.heard)
            if session.voted is not None:
                self.evidence.add(session.voted)
        harmful = harm(self.evidence, "the candidate") if self.evidence.harmful(self._alpha) else None
        return unbalanced(self.balance, "the candidate") or harmful

    def reference(self) -> float | None:
        """The lift that it is held to once it is live, None if it was tried too little.

        Its estimate less 1.28 standard errors. Approval came at a moment when it looked good, so the estimate is too
        high on average; the betting bound is valid but lies so low that a loss of 20 points is seen twice as late.
        """
        estimate, error = self.evidence.estimate, self.evidence.standard_error
        if estimate is None or error is None or self.sessions < REFERENCE_SESSIONS:
            return None
        return estimate - REFERENCE_QUANTILE * error

    def snapshot(self) -> StagedState:
        """The whole state."""
        return StagedState(self.watched, self.evidence, self.balance, self._sessions.snapshot())
