"""One stage of one candidate: the evidence that people's sessions give, and when it is enough."""

from dataclasses import dataclass, field

from ol0.canary.groups import GroupComparisons
from ol0.canary.mastery import Mastery
from ol0.canary.opponent import Opponent, OpponentState
from ol0.canary.plan import TrialPlan
from ol0.canary.votes import Vote, by_group
from ol0.config import SafetyConfig
from ol0.records import Arm, Outcome
from ol0.statistics.columns import Row
from ol0.statistics.sessions import OpenSessions, SessionCollector
from ol0.statistics.spending import candidate_alpha
from ol0.statistics.staged import ArmComparison


@dataclass(frozen=True)
class Capital:
    """What the stages so far say of harm to parts of the traffic; see ``GroupComparisons.capital``."""

    groups: dict[str, float] = field(default_factory=dict)
    destinations: dict[str, float] = field(default_factory=dict)
    mastered: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TrialState:
    """The whole state of a ``Trial``; ``earlier`` is the capital of the same candidate's stages before."""

    plan: TrialPlan
    decisions: int = 0
    live: OpponentState | None = None
    holdback: OpponentState | None = None
    groups: dict[str, ArmComparison] = field(default_factory=dict)
    destinations: dict[str, ArmComparison] = field(default_factory=dict)
    mastered: dict[str, ArmComparison] = field(default_factory=dict)
    mastery: list[Row] = field(default_factory=list)
    earlier: Capital = Capital()
    open: OpenSessions | None = None


class Trial:
    """Collects what outcomes say of a candidate on one stage.

    Counted are the outcomes of decisions that knew of this very stage, served by whom their arm promises: a host that
    is pinned or switched off serves another checkpoint under the same arm.

    Half of ``safety.alpha`` is for harm in the total and half for harm to a group that the host named. Approval waits
    as long as a group looks harmed, or what the candidate sends to one and the same action where live would take
    another: a fault without a name is visible in its effect. The same is asked again of
    what live does well alone, lest a gain that leads to the same action hides it (see ``Mastery``). Approval has its
    own alpha, spent over the attempts since the last release. So an equally good candidate is wrongly stopped with
    probability alpha at most on each stage (and a tenth of alpha more for each pair of arms that is wrongly found
    unbalanced), and any that is worse than live beyond the margin, among the attempts until the next release, passes
    with probability alpha at most, as long as the arms are heard of alike. Against the base no loss may be seen.

    Seen is only what comes of different actions. A fault that spoils answers although the actions agree (a slow host)
    is no matter of the candidate and does not show.

    Not covered: users whose sessions all go to one arm make sessions less independent than their coins look.

    Args:
        state: what is tried, with all that is known of it.
        safety: margins and levels.

    Attributes:
        decisions: outcomes of the trial so far, of all arms, voted or not.
    """

    def __init__(self, state: TrialState, safety: SafetyConfig) -> None:
        self.plan = plan = state.plan
        self.decisions = state.decisions
        self.harm_alpha = safety.alpha / 2
        self.approval_alpha = candidate_alpha(plan.place, safety.alpha)
        beside_live = plan.share / (1 - plan.holdback)
        self.live = Opponent(Arm.LIVE, beside_live, safety, state.live)
        self.holdback: Opponent | None = None
        if plan.holdback and plan.live != plan.base:
            share = plan.share / (plan.share + plan.holdback)
            self.holdback = Opponent(Arm.HOLDBACK, share, safety, state.holdback)
        levels = beside_live, safety.group_margin, safety.alpha / 2
        self.groups = GroupComparisons(*levels, state.earlier.groups, state.groups)
        self.destinations = GroupComparisons(*levels, state.earlier.destinations, state.destinations)
        self.mastered = GroupComparisons(*levels, state.earlier.mastered, state.mastered)
        self.mastery = Mastery(state.mastery)
        self._sessions = SessionCollector[Vote](round(1000 * safety.session_gap_s))
        if state.open is not None:
            self._sessions.restore(state.open, Vote.from_row)
        self._now_ms = 0  # up to here every outcome came; not kept over a restart, for the next record gives it again

    @property
    def opponents(self) -> tuple[Opponent, ...]:
        """Live, and the holdback where it gets something else than live."""
        return (self.live,) if self.holdback is None else (self.live, self.holdback)

    @property
    def evidence(self) -> int:
        """Complete sessions of staged and live that had a vote."""
        return self.live.voted.approval.count

    @property
    def own_decisions(self) -> int:
        """The candidate's own, in complete sessions."""
        return self.live.balance.treated_decisions

    @property
    def capital(self) -> Capital:
        """What this stage and those before it say of harm to parts of the traffic."""
        parts = self.groups, self.destinations, self.mastered
        return Capital(*(part.capital() for part in parts))

    def add(self, outcome: Outcome) -> bool:
        """Take an outcome; whether it belongs to this trial."""
        plan = self.plan
        served = {Arm.LIVE: plan.live, Arm.STAGED: plan.digest, Arm.HOLDBACK: plan.base}[outcome.arm]
        counted = plan.counts(outcome) and outcome.digest == served
        for opponent in self.opponents:
            opponent.hear(outcome, self._now_ms, counted=counted)
        if not counted:
            return False
        self.decisions += 1
        for opponent in self.opponents:
            opponent.see(outcome.user or outcome.session_id, outcome.arm)
        self._sessions.add(outcome.session_id, outcome.window_end_ms, Vote.of(outcome))
        return True

    def close_sessions(self, now_ms: int) -> None:
        """Judge by the sessions that are complete at this event time."""
        self._now_ms = now_ms
        for session in self._sessions.due(now_ms):
            for opponent in self.opponents:
                opponent.add(session.items)
            self.groups.add(by_group(session.items, lambda vote: vote.group))
            self.destinations.add(by_group(session.items, lambda vote: vote.sent_to))
            self.mastered.add(by_group(session.items, self.mastery.sent_to))
            self.mastery.add(session.items)

    def snapshot(self) -> TrialState:
        """The whole state; another trial continues it to the bit."""
        return TrialState(
            self.plan,
            self.decisions,
            self.live.state,
            None if self.holdback is None else self.holdback.state,
            self.groups.by_name,
            self.destinations.by_name,
            self.mastered.by_name,
            self.mastery.snapshot(),
            Capital(self.groups.earlier, self.destinations.earlier, self.mastered.earlier),
            self._sessions.snapshot(Vote.row),
        )
