"""The release that is live against the holdback."""

from dataclasses import dataclass, field

from ol0.config import SafetyConfig
from ol0.drift.assignment import Assignment
from ol0.drift.groups import GroupLift, GroupLifts
from ol0.drift.sessions import ArmSessions
from ol0.drift.violations import Level, Violations
from ol0.drift.watched import Watched, harm, unbalanced
from ol0.drift.windows import Stretch, Windows
from ol0.gates.balances import balance_of
from ol0.gates.verdicts import Opinion
from ol0.records import Arm, Check, Judgement, Outcome, Reason
from ol0.statistics.balance import Balance
from ol0.statistics.sessions import OpenSessions


@dataclass(frozen=True)
class LiveState:
    """What a ``LiveWatch`` knows; ``reference`` is the lift that it was released for, None where that is not known."""

    watched: Watched
    reference: float | None
    stretches: list[Stretch] = field(default_factory=list)
    violations: list[Level] = field(default_factory=list)
    groups: list[GroupLift] = field(default_factory=list)
    balance: Balance | None = None
    open: OpenSessions | None = None


class LiveWatch:
    """A release against the holdback: is it worse than the base, as a whole or for a group; does it keep its lift?

    Guaranteed: as long as it serves at least as well as the base, it is rolled back for harm with probability
    ``safety.alpha`` at most, however long it serves (and with a tenth of that because it seems not to be heard of as
    much as is due, while it is, and with another because a group that loses ``safety.group_margin`` at most seems to
    lose more). Not guaranteed, only measured: false alarms of the loss of lift (5 of 500 good releases in 20,000
    decisions), because the reference is an estimate. Nor can it tell why a lift fades: when the traffic moves to
    prompts that the base masters, the release is blamed.

    How soon: limited by the holdback. At a tenth, with a lift of 13.5 points, a fall by 30 points is seen after 1,400
    decisions (median; 1,900 when 6,000 good ones went before) and one by 20 after 2,400 (3,700). One by 10 is seen
    within 20,000 in half of all cases: the release is still better than the base then. A group of an eighth
    of the traffic that falls from 90 % to 10 % is found after some 1,600. A reward window and a session gap come on
    top.
    """

    def __init__(self, state: LiveState, assignment: Assignment, safety: SafetyConfig) -> None:
        self.watched, self.assignment, self.reference = state.watched, assignment, state.reference
        self._limits = {
            Level.WARNING: safety.lift_warning,
            Level.CRITICAL: safety.lift_critical,
            Level.EMERGENCY: safety.lift_emergency,
        }
        self.windows = Windows(assignment.smallest, safety.alpha, state.stretches)
        self.groups = GroupLifts(assignment.smallest, safety.group_margin, safety.alpha / 10, state.groups)
        self.balance = balance_of(safety, assignment.smallest, state.balance)
        self._violations = Violations(state.violations)
        self._sessions = ArmSessions(round(1000 * safety.session_gap_s), state.open)

    @property
    def sessions(self) -> int:
        """The size of the evidence."""
        return self.windows.sessions

    def add(self, outcome: Outcome) -> None:
        """Take an outcome since the release, as long as it was served by whom its arm promises."""
        served = {Arm.LIVE: self.watched.digest, Arm.HOLDBACK: self.watched.base}.get(outcome.arm)
        ours = self.watched.counts(outcome)
        share = self.assignment.live(outcome.serving_sequence)
        self._sessions.take(outcome, share, outcome.greedy_live, self.balance, served=served, ours=ours)

    def close_sessions(self, now_ms: int) -> Opinion | None:
        """Judge by the sessions that are complete at this event time: harm at once.

        Lost lift and harm to a group are looked for every 100 sessions.
        """
        opinion = None
        for session in self._sessions.due(now_ms):
            self.balance.add(session.heard)
            self.groups.add(session.groups)
            if session.voted is not None and self.windows.add(session.voted):
                opinion = self._check() or opinion
            if opinion is not None and opinion[0] is Judgement.ROLLBACK:
                return opinion
        if (broken := unbalanced(self.balance, "what is live")) is not None:
            return broken
        harmful = self.windows.harmful()
        return opinion if harmful is None else harm(harmful, "what is live")

    def _check(self) -> Opinion | None:
        return self.groups.harmed() or self._lost_lift()

    def _lost_lift(self) -> Opinion | None:
        references = [lift for lift in (self.reference, self.windows.low()) if lift is not None]
        worst = self.windows.worst()
        if not references or worst is None:
            self._violations.note(Level.NONE)
            return None
        reference, (evidence, high) = max(references), worst
        loss = reference - high
        level = max((one for one, limit in self._limits.items() if loss >= limit), default=Level.NONE)
        too_much = self._violations.note(level)
        if level is Level.NONE:
            return None
        text = (
            f"{level.name.lower()}: of a lift of {100 * reference:+.1f} points over the base at most "
            f"{100 * high:+.1f} are left in the last {evidence.sessions} sessions (estimate "
            f"{100 * (evidence.estimate or 0.0):+.1f}); in the last 20 checks {self._violations.count(Level.WARNING)} "
            f"warnings, {self._violations.count(Level.CRITICAL)} criticals, "
            f"{self._violations.count(Level.EMERGENCY)} emergencies; 5, 3 or 1 are too much"
        )
        reason = Reason(Check.LOST_LIFT, evidence.estimate, high, reference - self._limits[level], text)
        return (Judgement.ROLLBACK if too_much else Judgement.HOLD), (reason,)

    def snapshot(self) -> LiveState:
        """The whole state."""
        return LiveState(
            self.watched,
            self.reference,
            self.windows.stretches,
            self._violations.snapshot(),
            self.groups.snapshot(),
            self.balance,
            self._sessions.snapshot(),
        )
