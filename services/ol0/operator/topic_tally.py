"""Adds up what the topics say. Pure: no Kafka, no clock; the caller gives the time at which a record was read."""

from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from ol0.kafka.snapshots import assemble_if_whole
from ol0.operator import evaluation
from ol0.operator.figures import NO_LIFT, CandidateStory, ReleaseSeen, Seen, Serving, Success, Trial
from ol0.records import (
    Arm,
    Candidate,
    Digest,
    Gate,
    Outcome,
    Phase,
    Record,
    Release,
    ServingState,
    Snapshot,
    Transition,
    Verdict,
)

RECENT_REWARDS: Final = 1_000
FEWEST_REWARDS: Final = 100
"""Below this many a mean is off by five points and more: showing it would say more than is known."""
REMEMBERED_OUTCOMES: Final = 100_000
"""The relay repeats what was not acknowledged, which lies close together: minutes at full speed are enough."""


class Mean:
    """The mean reward of one arm: over the newest ``RECENT_REWARDS`` and over all."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=RECENT_REWARDS)
        self._recent_total = 0.0
        self._total = 0.0
        self._count = 0
        self._outcomes = 0

    def add(self, reward: float | None) -> None:
        """Take the reward of one outcome, within 0..1; None without feedback."""
        self._outcomes += 1
        if reward is None:
            return
        if len(self._recent) == RECENT_REWARDS:
            self._recent_total -= self._recent[0]
        self._recent.append(reward)
        self._recent_total += reward
        self._total += reward
        self._count += 1

    def forget_recent(self) -> None:
        """Discard the newest rewards: another checkpoint serves this arm now."""
        self._recent.clear()
        self._recent_total = 0.0

    def success(self) -> Success:
        """The figures now."""
        enough = len(self._recent) >= FEWEST_REWARDS
        return Success(
            recent=self._recent_total / len(self._recent) if enough else None,
            overall=self._total / self._count if self._count >= FEWEST_REWARDS else None,
            rewards=self._count,
            outcomes=self._outcomes,
        )


class Tally:
    """Everything an observer knows, one record after the other.

    Args:
        kind_of: what kind of prompt a group is, ``new`` or ``old``; groups that it lacks are counted in no kind.
    """

    def __init__(self, kind_of: Mapping[str, str]) -> None:
        self._kind_of = kind_of
        self._arms = {arm: Mean() for arm in Arm}
        self._kinds: dict[str, dict[Arm, Mean]] = {}
        self._outcomes_seen: dict[int, None] = {}  # a dict keeps the order: the oldest is forgotten first
        self._trial_sequence = -1
        self._trial_digest: Digest | None = None
        # Topics are read in no common order: a verdict may come before the candidate that it is about.
        self._offers: dict[Digest, CandidateStory] = {}
        self._words: dict[Digest, dict[Gate, Verdict]] = {}
        self._phases: dict[Digest, Phase] = {}
        self._stages_ms: dict[Digest, int] = {}
        self.outcomes = 0
        self.rewarded = 0
        self._state: dict[str, Record] = {}
        self.evaluation: Snapshot | None = None  # as it came: many come for each one that is looked at
        self._evaluated: tuple[Snapshot | None, evaluation.Evaluated] = (None, evaluation.Evaluated(NO_LIFT, None))
        self.serving: Serving | None = None
        self.releases: dict[Digest, ReleaseSeen] = {}
        self.verdicts: list[Seen[Verdict]] = []
        self.transitions: list[Seen[Transition]] = []

    def add(self, record: Record, at_s: float) -> None:
        """Take one record of any topic; those that say nothing here are passed over."""
        match record:
            case Outcome():
                self._add_outcome(record)
            case Candidate():
                self._offers[record.digest] = _offer(record, at_s)
            case Verdict():
                self.verdicts.append(Seen(at_s, record))
                self._words.setdefault(record.digest, {})[record.gate] = record
            case Transition():
                self.transitions.append(Seen(at_s, record))
                self._phases[record.digest] = record.to_phase
                if record.to_phase is Phase.STAGED:
                    self._stages_ms[record.digest] = record.time_ms
            case ServingState():
                self._serve(record, at_s)
            case Snapshot():
                self._take_snapshot(record)
            case _:
                pass

    def evaluated(self) -> evaluation.Evaluated:
        """What the evaluator's newest snapshot says.

        Raises:
            ContractError: it cannot be read.
        """
        if self.evaluation is not None and self._evaluated[0] is not self.evaluation:
            self._evaluated = (self.evaluation, evaluation.evaluated(self.evaluation.body))
        return self._evaluated[1]

    def arms(self) -> dict[Arm, Success]:
        """Success of each arm. The staged one has no newest figures while nothing is on trial."""
        return self._figures(self._arms)

    def kinds(self) -> dict[str, dict[Arm, Success]]:
        """The same by kind of prompt."""
        return {kind: self._figures(arms) for kind, arms in self._kinds.items()}

    def candidates(self) -> tuple[CandidateStory, ...]:
        """Every candidate, in the order in which they came."""
        return tuple(
            replace(
                story,
                phase=self._phases.get(digest),
                stage_began_ms=self._stages_ms.get(digest),
                verdicts=dict(self._words.get(digest, {})),
            )
            for digest, story in self._offers.items()
        )

    def _figures(self, means: Mapping[Arm, Mean]) -> dict[Arm, Success]:
        figures = {arm: mean.success() for arm, mean in means.items()}
        if self.serving is None or self.serving.staged is None:
            figures[Arm.STAGED] = replace(figures[Arm.STAGED], recent=None)
        return figures

    def _take_snapshot(self, record: Snapshot) -> None:
        """Keeps the evaluator's: its parts come first, and the head makes them whole."""
        if record.service.startswith(evaluation.SERVICE):
            self._state[record.service] = record
        if record.service != evaluation.SERVICE:
            return
        if (stored := assemble_if_whole(evaluation.SERVICE, self._state)) is not None:
            self.evaluation = Snapshot(record.service, stored.time_ms, stored.body)

    def _add_outcome(self, outcome: Outcome) -> None:
        if outcome.sequence in self._outcomes_seen:
            return
        self._outcomes_seen[outcome.sequence] = None
        if len(self._outcomes_seen) > REMEMBERED_OUTCOMES:
            del self._outcomes_seen[next(iter(self._outcomes_seen))]
        self.outcomes += 1
        self.rewarded += outcome.reward is not None
        if outcome.arm is Arm.STAGED:
            self._begin_trial(outcome)
        self._arms[outcome.arm].add(outcome.reward)
        kind = self._kind_of.get(outcome.group or "")
        if kind is not None:
            self._kinds.setdefault(kind, {arm: Mean() for arm in Arm})[outcome.arm].add(outcome.reward)

    def _begin_trial(self, outcome: Outcome) -> None:
        """Let the newest figures of the staged arm be those of one candidate.

        Outcomes of two trials mix at the border, for partitions are read side by side: only a later serving state
        begins a new trial.
        """
        if outcome.serving_sequence <= self._trial_sequence:
            return
        if outcome.digest != self._trial_digest:
            for mean in (self._arms[Arm.STAGED], *(arms[Arm.STAGED] for arms in self._kinds.values())):
                mean.forget_recent()
        self._trial_sequence, self._trial_digest = outcome.serving_sequence, outcome.digest

    def _serve(self, state: ServingState, at_s: float) -> None:
        self.serving = _summary(state)
        if state.live.digest not in self.releases and state.live.digest != state.base.digest:
            self.releases[state.live.digest] = _seen(state.live, at_s)


def _summary(state: ServingState) -> Serving:
    staged = state.staged
    return Serving(
        sequence=state.sequence,
        mode=state.mode,
        frozen=state.frozen,
        base=state.base.digest,
        live=state.live.digest,
        live_step=state.live.step,
        staged=None
        if staged is None
        else Trial(staged.release.digest, staged.release.step, staged.stage, staged.share),
    )


def _offer(candidate: Candidate, at_s: float) -> CandidateStory:
    return CandidateStory(candidate.digest, candidate.parent, candidate.step, at_s, candidate.time_ms)


def _seen(release: Release, at_s: float) -> ReleaseSeen:
    return ReleaseSeen(release.digest, release.step, at_s, release.approvals)
