"""What follows from the evidence of a trial: one of the four judgements, with figures and words."""

from collections.abc import Iterator

from ol0.canary.trial import Trial
from ol0.config import SafetyConfig, StageConfig
from ol0.records import Judgement, Reason
from ol0.statistics.staged import ArmComparison, ArmFigures

Opinion = tuple[Judgement, tuple[Reason, ...]]


def judge(trial: Trial, safety: SafetyConfig) -> Opinion:
    """The order matters: harm stops a candidate even at the moment when it would be approved."""
    stage = safety.stages[min(trial.plan.stage, len(safety.stages)) - 1]
    opinion = _harm(trial, safety) or _group_harm(trial, safety) or _approval(trial, safety, stage)
    if opinion is not None:
        return opinion
    if trial.decisions >= safety.max_stage:
        return Judgement.REJECT, (_undecided(trial, safety), *_comparisons(trial, safety))
    return Judgement.HOLD, (*_comparisons(trial, safety), *_wait(trial, stage))


def is_final(trial: Trial, safety: SafetyConfig) -> bool:
    """Whether ``judge`` would say anything but hold; cheap enough to be asked after every record."""
    stage = safety.stages[min(trial.plan.stage, len(safety.stages)) - 1]
    return (
        trial.decisions >= safety.max_stage
        or trial.against_live.harm.rejects(trial.harm_alpha)
        or trial.groups.harmed() is not None
        or _is_approved(trial, stage)
    )


def _harm(trial: Trial, safety: SafetyConfig) -> Opinion | None:
    """Stops at once when the candidate is worse than live; how much worse only names the judgement.

    A proof that the loss is beyond the margin would come later than the proof that there is one, and people would be
    served worse for it. So the estimate says which it is: rollback beyond the margin, reject within. Having been
    stopped when it looked bad, the estimate errs towards rollback, which is the careful side.
    """
    comparison = trial.against_live
    if not comparison.harm.rejects(trial.harm_alpha):
        return None
    figures = comparison.figures(trial.approval_alpha, trial.harm_alpha)
    large = comparison.large_harm.rejects(trial.harm_alpha) or (figures.difference or 0.0) < -safety.stage_margin
    bound = comparison.harm.confidence_bound(trial.harm_alpha)
    text = (
        f"worse than live: {_points(figures.difference)}, at best {_points(bound)}, after {trial.evidence} sessions; "
        f"the estimate is {'beyond' if large else 'within'} the margin of {_margin(safety.stage_margin)}"
    )
    reason = Reason("harm", figures.difference, bound, 0.0, text)
    return (Judgement.ROLLBACK if large else Judgement.REJECT), (reason,)


def _group_harm(trial: Trial, safety: SafetyConfig) -> Opinion | None:
    harm = trial.groups.harmed()
    if harm is None:
        return None
    text = (
        f"group {harm.group!r} loses more than {_margin(safety.group_margin)}: {_points(harm.difference)}, at best "
        f"{_points(harm.high)}, after {harm.sessions} sessions"
    )
    return Judgement.ROLLBACK, (Reason("group_harm", harm.difference, harm.high, -safety.group_margin, text),)


def _is_approved(trial: Trial, stage: StageConfig) -> bool:
    if stage.harm_only:
        return trial.decisions >= stage.min_decisions
    comparisons = [one for one in (trial.against_live, trial.against_holdback) if one is not None]
    return all(comparison.approval.rejects(trial.approval_alpha) for comparison in comparisons)


def _approval(trial: Trial, safety: SafetyConfig, stage: StageConfig) -> Opinion | None:
    if not _is_approved(trial, stage):
        return None
    reasons = tuple(_comparisons(trial, safety))
    if stage.harm_only:
        text = (
            f"no harm seen in {trial.decisions} decisions ({trial.evidence} sessions); {stage.min_decisions} were asked"
        )
        reasons = (Reason("no_harm", float(trial.decisions), None, float(stage.min_decisions), text), *reasons)
    return Judgement.APPROVE, reasons


def _undecided(trial: Trial, safety: SafetyConfig) -> Reason:
    text = f"neither better nor worse was shown in {trial.decisions} decisions; safety.max_stage is {safety.max_stage}"
    return Reason("undecided", float(trial.decisions), None, float(safety.max_stage), text)


def _wait(trial: Trial, stage: StageConfig) -> Iterator[Reason]:
    if stage.harm_only:
        text = f"{stage.min_decisions - trial.decisions} more decisions without harm are needed on this stage"
        yield Reason("no_harm", float(trial.decisions), None, float(stage.min_decisions), text)


def _comparisons(trial: Trial, safety: SafetyConfig) -> Iterator[Reason]:
    """Both comparisons, with how much evidence each still lacks."""
    pairs = (("live", trial.against_live), ("holdback", trial.against_holdback))
    for name, comparison in pairs:
        if comparison is not None:
            figures = comparison.figures(trial.approval_alpha, trial.harm_alpha)
            text = f"against {name}: {_sessions(figures)}; {_missing(comparison, figures, safety)}"
            yield Reason(f"staged_{name}", figures.difference, figures.low, -safety.stage_margin, text)


def _sessions(figures: ArmFigures) -> str:
    return (
        f"{_points(figures.difference)}, at worst {_points(figures.low)}, in {figures.treated_sessions} sessions with "
        f"the candidate and {figures.control_sessions} without"
    )


def _missing(comparison: ArmComparison, figures: ArmFigures, safety: SafetyConfig) -> str:
    if not figures.approval.missing and figures.approval.missing is not None:
        return f"a loss beyond {_margin(safety.stage_margin)} is ruled out"
    if not comparison.approval.count:
        return "no session is complete yet"
    more = figures.approval.missing
    needed = "evidence is not growing" if more is None else f"about {more} more sessions are missing"
    return f"a loss beyond {_margin(safety.stage_margin)} is not ruled out: {needed}"


def _points(difference: float | None) -> str:
    return "not known yet" if difference is None else f"{100 * difference:+.1f} points"


def _margin(margin: float) -> str:
    return f"{100 * margin:.1f} points"
