"""What the evaluator says: per arm, the lift, and over groups and hours."""

from collections.abc import Mapping
from dataclasses import dataclass

from ol0.ar1.baseline import BaselineMetrics
from ol0.evaluator.tally import Tally
from ol0.records import Arm, Phase
from ol0.statistics.lift import LiftFigures

WEIGHTS: Mapping[str, float] = {"success": 0.3, "quality": 0.25, "satisfaction": 0.2, "task_success": 0.15}
"""Coherence (.1) joins when outcomes carry the policy's entropy; until then the rest is scaled."""


@dataclass(frozen=True, slots=True)
class ArmSummary:
    """One arm. The feedback rate comes first: where it differs between arms, every other comparison is biased.

    Attributes:
        feedback_rate: share of the decisions with a reward.
        decisions: outcomes so far, with a reward or without.
        outcomes: those with a reward.
        success: mean reward.
        task_success: share that tools and corrections call right.
        quality: mean rating, scaled to 0..1.
        satisfaction: share of thumbs that point up.
        aggregate: weighted mean of those that have data.
    """

    feedback_rate: float | None
    decisions: int
    outcomes: int
    success: float | None
    task_success: float | None
    quality: float | None
    satisfaction: float | None
    aggregate: float | None


@dataclass(frozen=True, slots=True)
class Brief:
    """The least that one wants to know of some decisions; see ``ArmSummary``."""

    feedback_rate: float | None
    decisions: int
    success: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """The learnt policy (live and staged) beside the holdback."""

    treated: Brief
    holdback: Brief


@dataclass(frozen=True, slots=True)
class EvaluationFigures:
    """Everything at one moment of event time.

    Attributes:
        time_ms: event time; None before the first outcome.
        arms: each arm by itself.
        treated: live and staged together, by assignment and whatever served them (intention to treat).
        lift: treated over holdback as a ratio, by session and paired by prompt, anytime-valid; None where there is no
            holdback.
        points: the same in points of mean reward, treated minus holdback, by session.
        aggregate_improvement_percent: of the aggregates, over the parts that both have.
        proven: the target is reached, the lower end of the lift's interval is above 0, and the arms are heard of alike.
        aside: decisions outside of mode apply, which belong to no arm.
        groups: by label.
        hours: by start of the hour in event time, ms.
        transitions: how often checkpoints came to each phase.
        baseline: what the warm-up measured of the base; None if unknown.
        baseline_shift: mean reward of the holdback less that of the baseline. The base serves both: far from 0, live
            traffic or its feedback is not what the base was measured on.
        unbalanced: what was found amiss with the sample ratio or the vote rates of the arms, None while nothing is.
        unpaired: why the lift compares sessions and not prompts: what is asked was found to depend on who answers.
            None: it compares what both arms would have done with the same prompts, which is about half as wide.
        design_effect: by how much evidence is discounted because users come again, 1 where they bring nothing of their
            own; None where there is no holdback.
        lift_since_ms: lift, points and balance are of the decisions since then, because the holdback was changed or the
            inputs left the anchors or came back; None: of all.
        inputs_away_since_ms: since when prompts do not look like the anchors (see ``drift/inputs.py``); while they do
            not, nothing is proven. None: they do.
    """

    time_ms: int | None
    arms: Mapping[Arm, ArmSummary]
    treated: ArmSummary
    lift: LiftFigures | None
    points: float | None
    aggregate_improvement_percent: float | None
    proven: bool
    aside: int
    groups: Mapping[str, Comparison]
    hours: Mapping[int, Comparison]
    transitions: Mapping[Phase, int]
    baseline: BaselineMetrics | None = None
    baseline_shift: float | None = None
    unbalanced: str | None = None
    unpaired: str | None = None
    design_effect: float | None = None
    lift_since_ms: int | None = None
    inputs_away_since_ms: int | None = None


def summary(tally: Tally) -> ArmSummary:
    """The figures of one arm."""
    return ArmSummary(
        feedback_rate=tally.feedback_rate,
        decisions=tally.decisions,
        outcomes=tally.voted,
        success=tally.success,
        task_success=tally.task_success,
        quality=tally.quality,
        satisfaction=tally.satisfaction,
        aggregate=aggregate(_parts(tally)),
    )


def brief(tally: Tally) -> Brief:
    """The same in short, for groups and hours."""
    return Brief(tally.feedback_rate, tally.decisions, tally.success)


def aggregate(parts: Mapping[str, float]) -> float | None:
    """Weighted mean of the parts that have data."""
    weight = sum(WEIGHTS[name] for name in parts)
    return sum(WEIGHTS[name] * value for name, value in parts.items()) / weight if weight else None


def improvement_percent(treated: Tally, holdback: Tally) -> float | None:
    """Of the aggregate, over the parts that both arms have: another set of parts is another yardstick."""
    ours, theirs = _parts(treated), _parts(holdback)
    both = ours.keys() & theirs.keys()
    new = aggregate({name: ours[name] for name in WEIGHTS if name in both})
    old = aggregate({name: theirs[name] for name in WEIGHTS if name in both})
    return 100 * (new / old - 1) if new is not None and old else None


def shift(holdback: Tally, baseline: BaselineMetrics | None) -> float | None:
    """Mean reward of the holdback less that of the baseline; None where one of them is unknown."""
    if baseline is None or baseline.task_success_rate is None or holdback.success is None:
        return None
    return holdback.success - baseline.task_success_rate


def _parts(tally: Tally) -> dict[str, float]:
    values = {
        "success": tally.success,
        "quality": tally.quality,
        "satisfaction": tally.satisfaction,
        "task_success": tally.task_success,
    }
    return {name: value for name, value in values.items() if value is not None}
