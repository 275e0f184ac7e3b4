"""What follows from the evidence of a trial: one of the four judgements, with figures and words."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from ol0.canary.opponent import FEWEST_SESSIONS, Opponent
from ol0.canary.trial import Trial
from ol0.config import SafetyConfig, StageConfig
from ol0.gates.verdicts import Opinion, in_words, sample_ratio
from ol0.records import Check, Judgement, Reason
from ol0.statistics.staged import ArmComparison, ArmFigures

DAY_S: Final = 86_400
DAY_MS: Final = 1000 * DAY_S


def judge(trial: Trial, safety: SafetyConfig, now_ms: int) -> Opinion:
    """The order matters: a comparison that is broken says nothing; harm stops even what would be approved."""
    stage = stage_of(trial, safety)
    opinion = (
        _unbalanced(trial) or _harm(trial, safety) or _group_harm(trial, safety) or _approval(trial, safety, stage)
    )
    if opinion is not None:
        return opinion
    if _is_over(trial, safety, now_ms):
        reasons = _undecided(trial, safety, now_ms), *_doubts(trial, stage), *_comparisons(trial, safety)
        return Judgement.REJECT, reasons
    return Judgement.HOLD, (*_doubts(trial, stage), *_comparisons(trial, safety), *_wait(trial, safety, stage))


def is_final(trial: Trial, safety: SafetyConfig, now_ms: int) -> bool:
    """Whether ``judge`` would say anything but hold; cheap enough to be asked after every record."""
    return (
        _is_over(trial, safety, now_ms)
        or _unbalanced(trial) is not None
        or trial.live.voted.harm.rejects(trial.harm_alpha)
        or trial.groups.harmed() is not None
        or _is_approved(trial, stage_of(trial, safety))
    )


def stage_of(trial: Trial, safety: SafetyConfig) -> StageConfig:
    """The rules of the stage. Where settings have fewer by now, the last ones; the share is the one that is served."""
    if not safety.stages:
        return StageConfig(share=trial.plan.share)
    return safety.stages[min(trial.plan.stage, len(safety.stages)) - 1]


def _is_over(trial: Trial, safety: SafetyConfig, now_ms: int) -> bool:
    """Too many decisions, or too long: without the second, ten outcomes a day would bar all others for years."""
    return trial.decisions >= safety.max_stage or now_ms - trial.plan.began_ms >= 1000 * safety.max_stage_s


def _unbalanced(trial: Trial) -> Opinion | None:
    """Something is lost on the way here, or the arms are not drawn as they should be: no figure can be believed."""
    found = [(one, words) for one in trial.opponents if (words := one.balance.found)]
    reasons = tuple(
        sample_ratio(one.balance, f"the comparison with {one.arm} is broken: {words}") for one, words in found
    )
    return (Judgement.REJECT, reasons) if reasons else None


def _harm(trial: Trial, safety: SafetyConfig) -> Opinion | None:
    """Stops at once when the candidate is worse than live; how much worse only names the judgement.

    A proof that the loss is beyond the margin would come later than the proof that there is one, and people would be
    served worse for it. So the estimate says which it is: rollback beyond the margin, reject within. Having been
    stopped when it looked bad, the estimate errs towards rollback, which is the careful side.
    """
    comparison = trial.live.voted
    if not comparison.harm.rejects(trial.harm_alpha):
        return None
    figures = comparison.figures(trial.approval_alpha, trial.harm_alpha)
    large = comparison.large_harm.rejects(trial.harm_alpha) or (figures.difference or 0.0) < -safety.stage_margin
    bound = comparison.harm.confidence_bound(trial.harm_alpha)
    text = (
        f"worse than live: {_points(figures.difference)}, at best {_points(bound)}, after {trial.evidence} sessions; "
        f"the estimate is {'beyond' if large else 'within'} the margin of {_margin(safety.stage_margin)}"
    )
    reason = Reason(Check.HARM, figures.difference, bound, 0.0, text)
    return (Judgement.ROLLBACK if large else Judgement.REJECT), (reason,)


def _group_harm(trial: Trial, safety: SafetyConfig) -> Opinion | None:
    harm = trial.groups.harmed()
    if harm is None:
        return None
    text = (
        f"{_group_name(harm.group)} loses more than {_margin(safety.group_margin)}: {_points(harm.difference)}, at "
        f"best {_points(harm.high)}, after {harm.sessions} sessions"
    )
    return Judgement.ROLLBACK, (Reason(Check.GROUP_HARM, harm.difference, harm.high, -safety.group_margin, text),)


def _group_name(group: str) -> str:
    return f"group {group!r}"


def _suspicion(trial: Trial) -> str | None:
    """A part of the traffic that looks harmed, in words: a gain in the rest must not be enough before that is clear."""
    if (group := trial.groups.suspected()) is not None:
        return _group_name(group)
    if (action := trial.destinations.suspected()) is not None:
        return f"what the candidate sends to action {action}"
    if (action := trial.mastered.suspected()) is not None:
        return f"what live does well and the candidate sends to action {action}"
    return None


def _is_approved(trial: Trial, stage: StageConfig) -> bool:
    """A gain may be shown before harm to a part of the traffic could be seen: hence so many decisions, in any case."""
    if trial.own_decisions < stage.min_decisions:
        return False
    if stage.harm_only:
        enough = all(one.is_whole for one in trial.opponents)
    else:
        # The base has a tenth of the sessions, too few to prove anything against it in most trials (ADR 33).
        enough = trial.live.approves(trial.approval_alpha) and (trial.holdback is None or trial.holdback.sees_no_loss)
    return enough and _suspicion(trial) is None


def _approval(trial: Trial, safety: SafetyConfig, stage: StageConfig) -> Opinion | None:
    if not _is_approved(trial, stage):
        return None
    reasons = tuple(_comparisons(trial, safety))
    if stage.harm_only:
        own, live = trial.live.balance.complete
        text = (
            f"no harm seen in {trial.own_decisions} decisions of the candidate ({own} complete sessions, beside {live} "
            f"of live); {stage.min_decisions} were asked"
        )
        reasons = (Reason(Check.NO_HARM, float(trial.own_decisions), None, float(stage.min_decisions), text), *reasons)
    return Judgement.APPROVE, reasons


def _undecided(trial: Trial, safety: SafetyConfig, now_ms: int) -> Reason:
    days = (now_ms - trial.plan.began_ms) / DAY_MS
    text = (
        f"neither approved nor stopped in {trial.decisions} decisions and {days:.1f} days since "
        f"{_time(trial.plan.began_ms)}; safety.max_stage is {safety.max_stage}, safety.max_stage_s "
        f"{safety.max_stage_s / DAY_S:g} days"
    )
    return Reason(Check.UNDECIDED, float(trial.decisions), None, float(safety.max_stage), text)


def _doubts(trial: Trial, stage: StageConfig) -> Iterator[Reason]:
    """What keeps a candidate from approval that its votes would give it."""
    for one in trial.opponents:
        if (doubt := _doubt(trial, stage, one)) is not None:
            yield sample_ratio(one.balance, f"{doubt}; {one.balance.words()}")
    if (part := _suspicion(trial)) is not None:
        yield in_words(Check.SUSPICION, f"{part} looks harmed: that has to be cleared up before approval")


def _doubt(trial: Trial, stage: StageConfig, opponent: Opponent) -> str | None:
    own, other = opponent.balance.complete
    if not opponent.is_heard:
        return f"{own} complete sessions of the candidate and {other} of {opponent.arm}, {FEWEST_SESSIONS} are needed"
    if stage.harm_only and not opponent.is_whole:
        lack = opponent.balance.lack
        return f"the candidate's decisions fall short of those of {opponent.arm} by {lack:.1f} standard errors"
    shown = opponent is trial.live and opponent.voted.approval.rejects(trial.approval_alpha)
    if shown and not opponent.is_safe_in_silence:
        return "if what is missing had failed, a loss beyond the margin against live would not be ruled out"
    return None


def _wait(trial: Trial, safety: SafetyConfig, stage: StageConfig) -> Iterator[Reason]:
    missing = max(stage.min_decisions - trial.own_decisions, 0)
    if stage.harm_only or missing:
        text = f"{missing} more decisions of the candidate without harm are needed on this stage"
        yield Reason(Check.NO_HARM, float(trial.own_decisions), None, float(stage.min_decisions), text)
    ends_ms = trial.plan.began_ms + 1000 * safety.max_stage_s
    text = (
        f"stage {trial.plan.stage} runs since {_time(trial.plan.began_ms)}, with {trial.decisions} decisions so far; "
        f"undecided at {_time(ends_ms)} or after {safety.max_stage} decisions, it ends"
    )
    yield Reason(Check.SINCE, float(trial.decisions), None, float(safety.max_stage), text)


def _comparisons(trial: Trial, safety: SafetyConfig) -> Iterator[Reason]:
    """Both comparisons; of the one that has to prove something, how much evidence it still lacks."""
    levels = trial.approval_alpha, trial.harm_alpha
    live = trial.live.voted.figures(*levels)
    text = f"against live: {_sessions(live)}; {_missing(trial.live.voted, live, safety)}"
    yield Reason(Check.STAGED_LIVE, live.difference, live.low, -safety.stage_margin, text)
    if more := live.approval.missing:
        yield Reason(Check.MISSING, float(more), None, None, "against live: sessions that are still needed")
    if trial.holdback is not None:
        base = trial.holdback.voted.figures(*levels)
        text = f"against holdback: {_sessions(base)}; on average no loss is allowed"
        yield Reason(Check.STAGED_HOLDBACK, base.difference, base.low, 0.0, text)


def _sessions(figures: ArmFigures) -> str:
    return (
        f"{_points(figures.difference)}, at worst {_points(figures.low)}, in {figures.treated_sessions} sessions with "
        f"the candidate and {figures.control_sessions} without"
    )


def _missing(comparison: ArmComparison, figures: ArmFigures, safety: SafetyConfig) -> str:
    if not figures.approval.missing and figures.approval.missing is not None:
        # What was shown once stays shown, for the level holds however often one looks: later votes may differ.
        is_now = figures.low is not None and figures.low >= -safety.stage_margin
        return f"a loss beyond {_margin(safety.stage_margin)} {'is' if is_now else 'was'} ruled out"
    if not comparison.approval.count:
        return "no session is complete yet"
    more = figures.approval.missing
    needed = "evidence is not growing" if more is None else f"about {more} more sessions are missing"
    return f"a loss beyond {_margin(safety.stage_margin)} is not ruled out: {needed}"


def _points(difference: float | None) -> str:
    return "not known yet" if difference is None else f"{100 * difference:+.1f} points"


def _margin(margin: float) -> str:
    return f"{100 * margin:.1f} points"


def _time(time_ms: float) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
