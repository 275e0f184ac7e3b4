"""One stage of one candidate: the evidence that people's sessions give, and when it is enough."""

from dataclasses import dataclass
from typing import Self, TypedDict

from ol0.canary.groups import GroupComparisons
from ol0.canary.votes import Vote, against_base, against_live, by_group
from ol0.config import SafetyConfig
from ol0.records import Arm, Digest, Outcome
from ol0.statistics.sessions import OpenSessions, SessionCollector
from ol0.statistics.spending import candidate_alpha
from ol0.statistics.staged import ArmComparison, ArmSnapshot


@dataclass(frozen=True)
class TrialPlan:
    """What is tried, and against whom.

    Attributes:
        digest: the candidate.
        live: its parent, which serves.
        base: what the holdback gets.
        stage: number of the stage, 1 is the first.
        share: of all sessions, that the candidate serves.
        sequence: of the serving state with which the stage began.
        place: which candidate since the last release this is, counted from 1.
    """

    digest: Digest
    live: Digest
    base: Digest
    stage: int
    share: float
    sequence: int
    place: int


class PlanSnapshot(TypedDict):
    """A ``TrialPlan`` in plain JSON values."""

    digest: str
    live: str
    base: str
    stage: int
    share: float
    sequence: int
    place: int


class TrialSnapshot(TypedDict):
    """The whole state of a ``Trial`` in plain JSON values."""

    plan: PlanSnapshot
    decisions: int
    live: ArmSnapshot
    holdback: ArmSnapshot | None
    groups: dict[str, ArmSnapshot]
    open: OpenSessions


class Trial:
    """Collects what outcomes say of a candidate on one stage.

    Counted are the outcomes of decisions that knew of this very stage, served by whom their arm promises: a host that
    is pinned or switched off serves somebody else under the same arm.

    Half of ``safety.alpha`` is for harm in the total and half for harm to a group; approval has its own, spent over the
    candidates since the last release. So an equally good candidate is wrongly stopped with probability alpha at most on
    each stage, and any bad one among the candidates until the next release passes with probability alpha at most.

    Seen is only what comes of different actions. A fault that spoils answers although the actions agree (a slow host)
    is no matter of the candidate and does not show.

    Not covered: users whose sessions all go to one arm make sessions less independent than their coins look; a
    candidate whose prompts get votes less often is judged by those that did.

    Args:
        plan: what is tried.
        safety: margins and levels.
        holdback: share of all sessions that the base serves. With none there is no comparison with the base.
    """

    def __init__(self, plan: TrialPlan, safety: SafetyConfig, holdback: float) -> None:
        self.plan = plan
        self.decisions = 0
        self.harm_alpha = safety.alpha / 2
        self.approval_alpha = candidate_alpha(plan.place, safety.alpha)
        share = plan.share / (1 - holdback)
        self.against_live = ArmComparison(share, safety.stage_margin)
        self.against_holdback: ArmComparison | None = None
        if holdback and plan.live != plan.base:
            self.against_holdback = ArmComparison(plan.share / (plan.share + holdback), safety.stage_margin)
        self.groups = GroupComparisons(share, safety.group_margin, safety.alpha / 2)
        self._sessions = SessionCollector[Vote](round(1000 * safety.session_gap_s))

    @property
    def evidence(self) -> int:
        """Complete sessions of staged and live that had a vote."""
        return self.against_live.approval.count

    def add(self, outcome: Outcome) -> bool:
        """Take an outcome; whether it belongs to this trial."""
        plan = self.plan
        served = {Arm.LIVE: plan.live, Arm.STAGED: plan.digest, Arm.HOLDBACK: plan.base}[outcome.arm]
        if outcome.staged != plan.digest or outcome.serving_sequence < plan.sequence or outcome.digest != served:
            return False
        self.decisions += 1
        self._sessions.add(outcome.session_id, outcome.window_end_ms, Vote.of(outcome))
        return True

    def close_sessions(self, now_ms: int) -> None:
        """Judge by the sessions that are complete at this event time."""
        for session in self._sessions.due(now_ms):
            evidence = against_live(session.items)
            if evidence is not None:
                self.against_live.add(evidence)
                self.groups.add(by_group(session.items))
            evidence = against_base(session.items)
            if evidence is not None and self.against_holdback is not None:
                self.against_holdback.add(evidence)

    def snapshot(self) -> TrialSnapshot:
        """In plain JSON values; ``from_snapshot`` goes on from it to the bit."""
        return TrialSnapshot(
            plan=PlanSnapshot(
                digest=self.plan.digest,
                live=self.plan.live,
                base=self.plan.base,
                stage=self.plan.stage,
                share=self.plan.share,
                sequence=self.plan.sequence,
                place=self.plan.place,
            ),
            decisions=self.decisions,
            live=self.against_live.snapshot(),
            holdback=None if self.against_holdback is None else self.against_holdback.snapshot(),
            groups=self.groups.snapshot(),
            open=self._sessions.snapshot(Vote.row),
        )

    @classmethod
    def from_snapshot(cls, snapshot: TrialSnapshot, safety: SafetyConfig, holdback: float) -> Self:
        """The trial that ``snapshot`` was taken from."""
        fields = snapshot["plan"]
        plan = TrialPlan(
            digest=Digest(fields["digest"]),
            live=Digest(fields["live"]),
            base=Digest(fields["base"]),
            stage=fields["stage"],
            share=fields["share"],
            sequence=fields["sequence"],
            place=fields["place"],
        )
        trial = cls(plan, safety, holdback)
        trial.decisions = snapshot["decisions"]
        trial.against_live = ArmComparison.from_snapshot(snapshot["live"])
        if snapshot["holdback"] is not None:
            trial.against_holdback = ArmComparison.from_snapshot(snapshot["holdback"])
        trial.groups.restore(snapshot["groups"])
        trial._sessions.restore(snapshot["open"], Vote.from_row)
        return trial
