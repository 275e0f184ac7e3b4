"""What candidates and verdicts do: offered, staged, live, superseded; or rejected; or quarantined.

Every rule is a pure function of the state and one record, and returns the state after it and who moved.
"""

from dataclasses import replace

from ol0.records import Candidate, Gate, Judgement, Phase, Verdict
from ol0.release.admission import is_known, is_next, objection
from ol0.release.causes import verdict_cause
from ol0.release.changes import advance, cool, depose, drop, fail, quarantine_trial
from ol0.release.state import Life, Move, Rules, Step, Trial

UNDECIDED = "undecided"
"""Name of the check with which a gate rejects for want of evidence: no harm was shown."""
EARLY_VERDICTS = 8
"""Two gates, and a few candidates that were turned away before their verdicts came."""


def offer(life: Life, candidate: Candidate, rules: Rules) -> Step:
    """Puts a candidate before the gates, or turns it away with the cause."""
    if is_known(life, candidate):
        return life, ()
    if cause := objection(life, candidate):
        return _turn_away(life, candidate, cause)
    early = tuple(verdict for verdict in life.early if verdict.digest == candidate.digest)
    others = tuple(verdict for verdict in life.early if verdict.digest != candidate.digest)
    after = replace(life, trial=Trial(candidate, stage=0), early=others)
    learnt = f"step {candidate.step} of the learner, parent {candidate.parent[:12]}"
    cause = "the base, from a warm-up" if candidate.digest == candidate.parent else learnt
    moves: tuple[Move, ...] = (Move(candidate.digest, candidate.step, None, Phase.OFFERED, cause),)
    for verdict in early:
        after, more = judge(after, verdict, rules)
        moves += more
    return after, moves


def _turn_away(life: Life, candidate: Candidate, cause: str) -> Step:
    """Refuses a candidate before the gates are asked. Its step is settled all the same: its learner waits for that."""
    settled = _settle_step(life, candidate) if is_next(life, candidate) else life
    return settled, (Move(candidate.digest, candidate.step, None, Phase.REJECTED, cause),)


def judge(life: Life, verdict: Verdict, rules: Rules) -> Step:
    """Does what a gate says of what is on trial or live; anything stale changes nothing."""
    if verdict.judgement is Judgement.HOLD:
        return life, ()
    if life.trial is not None and verdict.digest == life.trial.candidate.digest:
        return _judge_trial(life, life.trial, verdict, rules)
    if life.live is not None and verdict.digest == life.live.digest:
        return _judge_live(life, verdict, rules)
    return _keep_early(life, verdict), ()


def _judge_trial(life: Life, trial: Trial, verdict: Verdict, rules: Rules) -> Step:
    if (verdict.base, verdict.parent) != (trial.candidate.base, trial.candidate.parent):
        return life, ()
    match verdict.judgement:
        case Judgement.APPROVE if verdict.stage == trial.stage:
            return _approve(life, trial, verdict, rules)
        case Judgement.REJECT if verdict.stage == trial.stage:
            return _reject(life, trial, verdict, rules)
        case Judgement.ROLLBACK if verdict.stage == trial.stage == 0:
            return _reject(life, trial, verdict, rules)
        case Judgement.ROLLBACK if 1 <= verdict.stage <= trial.stage:
            # Harm shown at an earlier share is harm: it may cross the approval that ended that stage.
            after, moves = quarantine_trial(life, verdict_cause(verdict))
            return _after_failure(after, verdict, rules), moves
        case _:
            return life, ()


def _approve(life: Life, trial: Trial, verdict: Verdict, rules: Rules) -> Step:
    """On live traffic drift only stops: its approval stays the one from offline. A repeated one changes nothing."""
    known = trial.approval(verdict.gate)
    if (trial.stage and verdict.gate is Gate.DRIFT) or (known is not None and known.stage == verdict.stage):
        return life, ()
    return advance(replace(life, trial=trial.approved(verdict)), rules)


def _reject(life: Life, trial: Trial, verdict: Verdict, rules: Rules) -> Step:
    after, moves = drop(life, verdict_cause(verdict))
    undecided = any(reason.check == UNDECIDED for reason in verdict.reasons)
    if trial.stage == 0 or undecided:
        # Before there is a base, the next attempt at a warm-up need not wait.
        return (after if life.base is None else cool(after, rules, verdict.time_ms)), moves
    return _after_failure(after, verdict, rules), moves


def _judge_live(life: Life, verdict: Verdict, rules: Rules) -> Step:
    same_base = life.base is not None and verdict.base == life.base.digest
    on_traffic = verdict.stage >= 1  # how many stages there are, another service's settings may say otherwise
    if verdict.judgement is not Judgement.ROLLBACK or not same_base or not on_traffic:
        return life, ()
    after, moves = depose(life, verdict_cause(verdict))
    return (_after_failure(after, verdict, rules), moves) if moves else (life, ())


def _after_failure(life: Life, verdict: Verdict, rules: Rules) -> Life:
    return fail(cool(life, rules, verdict.time_ms), rules)


def _settle_step(life: Life, candidate: Candidate) -> Life:
    """Raises ``decided_step``: at once, or with the fate of the one that is outstanding."""
    if life.trial is not None:
        return replace(life, sealed_step=candidate.step)
    return replace(life, decided_step=candidate.step)


def _keep_early(life: Life, verdict: Verdict) -> Life:
    """Keeps an offline verdict whose candidate has not come yet: verdicts travel on another topic and may overtake."""
    known = {release.digest for release in life.former()} | set(life.quarantined)
    if verdict.stage or verdict.digest in known:
        return life
    return replace(life, early=(*life.early, verdict)[-EARLY_VERDICTS:])
