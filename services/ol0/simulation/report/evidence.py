"""What the canary saw while a candidate was on trial, taken from its verdicts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ol0.operator.observation import Observation
from ol0.records import Check, Digest, Gate, Judgement, Verdict

"""What the canary calls the comparison with what serves."""
ENDS: Final = {
    Judgement.APPROVE: "approved",
    Judgement.REJECT: "rejected",
    Judgement.ROLLBACK: "rolled back",
    Judgement.HOLD: "undecided",
}


@dataclass(frozen=True, slots=True)
class TrialEvidence:
    """One candidate at one stage: after so many sessions, the difference to live and its lower bound, in 0..1."""

    title: str
    sessions: Sequence[int]
    estimates: Sequence[float]
    bounds: Sequence[float]
    threshold: float | None


def trials(now: Observation) -> list[TrialEvidence]:
    """Every trial that has figures, in the order in which they began.

    A trial that was decided at its first look has one point, which is no line: it is left to the table.
    """
    by_trial: dict[tuple[Digest, int], list[Verdict]] = {}
    for verdict in (seen.record for seen in now.verdicts):
        if verdict.gate is Gate.CANARY and verdict.stage > 0:
            by_trial.setdefault((verdict.digest, verdict.stage), []).append(verdict)
    evidence = [_evidence(now, verdicts) for verdicts in by_trial.values()]
    return [trial for trial in evidence if len(trial.sessions) > 1]


def _evidence(now: Observation, verdicts: Sequence[Verdict]) -> TrialEvidence:
    """The comparison with live, as far as the verdicts show it: the one that stops a candidate shows only the harm."""
    rows = [
        (verdict.evidence, reason.figure, reason.bound, reason.threshold)
        for verdict in verdicts
        for reason in verdict.reasons
        if reason.check == Check.STAGED_LIVE and reason.figure is not None and reason.bound is not None
    ]
    last = verdicts[-1]
    story = now.story(last.digest)
    step = "?" if story is None else story.step
    return TrialEvidence(
        title=f"step {step}, stage {last.stage}: {ENDS[last.judgement]}",
        sessions=[sessions for sessions, _, _, _ in rows],
        estimates=[figure for _, figure, _, _ in rows],
        bounds=[bound for _, _, bound, _ in rows],
        threshold=rows[-1][3] if rows else None,
    )
