"""The figures of a run, as the view shows them and the report keeps them. Frozen, and free of heads: kilobytes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from ol0.records import Arm, Check, Digest, Gate, Judgement, Mode, Phase, Reason, Verdict

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Seen(Generic[R]):
    """A record and when it was read, in seconds since the run began."""

    at_s: float
    record: R


@dataclass(frozen=True, slots=True)
class Success:
    """How often decisions went well: mean rewards within 0..1, None while there are too few to say.

    Attributes:
        recent: over the last outcomes that have a reward; of the staged arm, those of the newest candidate only.
        overall: over the whole run.
        rewards: how many outcomes of the whole run had one.
        outcomes: how many there were.
    """

    recent: float | None
    overall: float | None
    rewards: int
    outcomes: int

    @property
    def feedback_rate(self) -> float | None:
        """Share of the outcomes that have a reward. Where it differs between arms, comparing them misleads."""
        return self.rewards / self.outcomes if self.outcomes else None


@dataclass(frozen=True, slots=True)
class LiftInterval:
    """Relative lift over the holdback as a fraction, .1 being ten percent more; None while there is no evidence.

    Where there is a ``doubt``, such as arms that are not heard of alike, no interval is evidence: both ends are None.
    """

    estimate: float | None
    low: float | None
    high: float | None
    sessions: int = 0
    doubt: str | None = None


NO_LIFT = LiftInterval(None, None, None)


@dataclass(frozen=True, slots=True)
class Trial:
    """The candidate that serves a share of the sessions now."""

    digest: Digest
    step: int
    stage: int
    share: float


@dataclass(frozen=True, slots=True)
class Serving:
    """The serving state without its heads."""

    sequence: int
    mode: Mode
    frozen: bool
    base: Digest
    live: Digest
    live_step: int
    staged: Trial | None


@dataclass(frozen=True, slots=True)
class CandidateStory:
    """One candidate so far: the newest verdict of each gate, and its phase.

    Attributes:
        at_s: when it was read, in seconds since the run began.
        offered_ms: when its learner offered it, by the record itself.
        stage_began_ms: when it came to the stage of its trial at which it is, or ended; None before a trial.
    """

    digest: Digest
    parent: Digest
    step: int
    at_s: float
    offered_ms: int
    stage_began_ms: int | None = None
    phase: Phase | None = None
    verdicts: Mapping[Gate, Verdict] | None = None

    def word(self, gate: Gate) -> Verdict | None:
        """The newest verdict of a gate."""
        return (self.verdicts or {}).get(gate)


@dataclass(frozen=True, slots=True)
class ReleaseSeen:
    """A checkpoint that went live for the first time, with the verdicts that let it."""

    digest: Digest
    step: int
    at_s: float
    approvals: tuple[Verdict, ...]


@dataclass(frozen=True, slots=True)
class Point:
    """The figures of one moment, for the plots. Success is None for an arm that serves no or too few sessions."""

    elapsed_s: float
    decisions: int
    outcomes: int
    events_per_s: float
    lag: int
    success: Mapping[Arm, float | None]
    lift: LiftInterval
    restarts: int


PROGRESS: Final = frozenset({Check.SINCE, Check.MISSING})
"""Checks whose figure says how far a trial is, and decides nothing."""


def deciding_reason(verdict: Verdict) -> Reason | None:
    """The check that a verdict turned on: the first that has a figure, else the first.

    The canary puts what decided first. Drift gives its figures always in the same order, so of its rejections it is
    the first figure that is beyond its limit.
    """
    measured = [reason for reason in verdict.reasons if reason.figure is not None and reason.check not in PROGRESS]
    measured = measured or list(verdict.reasons)
    if verdict.gate is Gate.DRIFT and verdict.judgement is Judgement.REJECT:
        measured = [reason for reason in measured if _beyond(reason)] or measured
    return measured[0] if measured else None


def _beyond(reason: Reason) -> bool:
    return reason.figure is not None and reason.threshold is not None and reason.figure > reason.threshold
