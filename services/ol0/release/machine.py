"""What candidates and verdicts do: offered, staged, live, superseded; or rejected; or quarantined.

Every rule is a pure function of the state and one record, and returns the state after it and who moved.
"""

from dataclasses import replace

from ol0.controller.checkpoint import Opener, read_checkpoint
from ol0.records import Candidate, Check, Digest, Gate, Judgement, Phase, Release, Verdict, brief
from ol0.release.admission import is_known, is_next, objection
from ol0.release.state import HISTORY_BYTES, Move, ReleaseState, Rules, Step, Trial, verdict_cause


def advance(state: ReleaseState, rules: Rules) -> Step:
    """Moves the candidate on trial one stage on, where its approvals allow it and nothing is frozen."""
    trial = state.trial
    if trial is None or state.frozen or not _is_ready(trial):
        return state, ()
    gates = (Gate.CANARY,) if trial.stage else tuple(Gate)
    cause = "; ".join(verdict_cause(verdict) for gate in gates if (verdict := trial.approval(gate)))
    if state.base is not None and trial.stage < len(rules.shares):
        staged = replace(trial, stage=trial.stage + 1, share=rules.shares[trial.stage])
        return replace(state, trial=staged), (_move(trial, Phase.STAGED, cause),)
    return _go_live(state, rules, trial, cause)


def _is_ready(trial: Trial) -> bool:
    """Offline both gates must approve; later canary moves a stage on and drift only stops it."""
    canary, drift = trial.approval(Gate.CANARY), trial.approval(Gate.DRIFT)
    return canary is not None and drift is not None and canary.stage == trial.stage


def _go_live(state: ReleaseState, rules: Rules, trial: Trial, cause: str) -> Step:
    moves = (_move(trial, Phase.LIVE, cause),)
    if state.live is None:
        return replace(seal(state), base=trial.release, live=trial.release), moves
    superseded = Move(state.live.digest, state.live.step, Phase.LIVE, Phase.SUPERSEDED, cause)
    newest = max(verdict.time_ms for verdict in trial.approvals)
    after = cool(replace(seal(state), failures=0), rules, newest)
    return replace(after, live=trial.release, history=_remember(after, rules, state.live)), (superseded, *moves)


def seal(state: ReleaseState) -> ReleaseState:
    """Takes the candidate off trial: its step is decided, and so are those turned away meanwhile."""
    if state.trial is None:
        return state
    decided = max(state.decided_step, state.sealed_step, state.trial.candidate.step)
    return replace(state, trial=None, decided_step=decided)


def drop(state: ReleaseState, cause: str) -> Step:
    """Rejects the candidate on trial, if there is one."""
    if state.trial is None:
        return state, ()
    return seal(state), (_move(state.trial, Phase.REJECTED, cause),)


def cool(state: ReleaseState, rules: Rules, time_ms: int) -> ReleaseState:
    """Starts the cooldown; it is never made shorter."""
    return replace(state, cooldown_until_ms=max(state.cooldown_until_ms, time_ms + rules.cooldown_ms))


def fail(state: ReleaseState, rules: Rules) -> ReleaseState:
    """Counts a harm; too many in a row freeze."""
    failures = state.failures + 1
    return replace(state, failures=failures, frozen=state.frozen or failures >= rules.max_failures)


def quarantine_trial(state: ReleaseState, cause: str) -> Step:
    """Takes the candidate off trial and never lets it back."""
    if state.trial is None:
        return state, ()
    sealed = seal(state)
    banned = replace(sealed, quarantined=(*state.quarantined, state.trial.candidate.digest))
    return banned, (_move(state.trial, Phase.QUARANTINED, cause),)


def depose(state: ReleaseState, cause: str) -> Step:
    """Quarantines what is live and publishes its predecessor; the base at worst. The base itself stays."""
    live, base = state.live, state.base
    if live is None or base is None or live.digest == base.digest:
        return state, ()
    target = max((one for one in state.history if one.step < live.step), key=lambda one: one.step, default=base)
    after, dropped = drop(state, f"its parent {brief(live.digest)} was rolled back: {cause}")
    after = replace(
        after,
        live=target,
        history=tuple(one for one in state.history if one.digest != target.digest),
        quarantined=(*state.quarantined, live.digest),
    )
    fallen = Move(live.digest, live.step, Phase.LIVE, Phase.QUARANTINED, cause)
    return after, (fallen, Move(target.digest, target.step, Phase.SUPERSEDED, Phase.LIVE, cause), *dropped)


def reinstate(state: ReleaseState, rules: Rules, digest: Digest, cause: str) -> Step:
    """Makes a former release live without a word against the present one; the trial ends, its parent being gone."""
    target = next((one for one in state.former() if one.digest == digest), None)
    if state.live is None or target is None or target.digest == state.live.digest:
        return state, ()
    after, dropped = drop(state, f"its parent {brief(state.live.digest)} is no longer live: {cause}")
    without = replace(after, history=tuple(one for one in state.history if one.digest != digest))
    after = replace(without, live=target, history=_remember(without, rules, state.live))
    former = Move(state.live.digest, state.live.step, Phase.LIVE, Phase.SUPERSEDED, cause)
    return after, (former, Move(target.digest, target.step, Phase.SUPERSEDED, Phase.LIVE, cause), *dropped)


def _remember(state: ReleaseState, rules: Rules, former: Release) -> tuple[Release, ...]:
    """The history with one more release: by step, no base, the newest ones that fit."""
    if state.base is None or former.digest == state.base.digest:
        return state.history
    newest_first = sorted((*state.history, former), key=lambda one: -one.step)[: rules.history]
    while sum(len(one.heads) for one in newest_first) > HISTORY_BYTES:
        newest_first.pop()
    return tuple(reversed(newest_first))


def _move(trial: Trial, phase: Phase, cause: str) -> Move:
    return Move(trial.candidate.digest, trial.candidate.step, trial.phase, phase, cause)


EARLY_VERDICTS = 8
"""Two gates, and a few candidates that were turned away before their verdicts came."""


def offer(state: ReleaseState, candidate: Candidate, rules: Rules, opener: Opener = read_checkpoint) -> Step:
    """Puts a candidate before the gates, or turns it away with the cause."""
    if is_known(state, candidate):
        return state, ()
    if cause := objection(state, candidate, opener):
        return _turn_away(state, candidate, cause)
    early = tuple(verdict for verdict in state.early if verdict.digest == candidate.digest)
    others = tuple(verdict for verdict in state.early if verdict.digest != candidate.digest)
    after = replace(state, trial=Trial(candidate, stage=0), early=others)
    learnt = f"step {candidate.step} of the learner, parent {brief(candidate.parent)}"
    cause = "the base, from a warm-up" if candidate.digest == candidate.parent else learnt
    moves: tuple[Move, ...] = (Move(candidate.digest, candidate.step, None, Phase.OFFERED, cause),)
    for verdict in early:
        after, more = judge(after, verdict, rules)
        moves += more
    return after, moves


def _turn_away(state: ReleaseState, candidate: Candidate, cause: str) -> Step:
    """Refuses a candidate before the gates are asked. Its step is settled, too: its learner waits for that."""
    settled = _settle_step(state, candidate) if is_next(state, candidate) else state
    return settled, (Move(candidate.digest, candidate.step, None, Phase.REJECTED, cause),)


def judge(state: ReleaseState, verdict: Verdict, rules: Rules) -> Step:
    """Does what a gate says of what is on trial or live; anything stale changes nothing."""
    if verdict.judgement is Judgement.HOLD:
        return state, ()
    if state.trial is not None and verdict.digest == state.trial.candidate.digest:
        return _judge_trial(state, state.trial, verdict, rules)
    if state.live is not None and verdict.digest == state.live.digest:
        return _judge_live(state, verdict, rules)
    return _keep_early(state, verdict), ()


def _judge_trial(state: ReleaseState, trial: Trial, verdict: Verdict, rules: Rules) -> Step:
    if (verdict.base, verdict.parent) != (trial.candidate.base, trial.candidate.parent):
        return state, ()
    match verdict.judgement:
        case Judgement.APPROVE if verdict.stage == trial.stage:
            return _approve(state, trial, verdict, rules)
        case Judgement.REJECT if verdict.stage == trial.stage:
            return _reject(state, trial, verdict, rules)
        case Judgement.ROLLBACK if verdict.stage == trial.stage == 0:
            return _reject(state, trial, verdict, rules)
        case Judgement.ROLLBACK if 1 <= verdict.stage <= trial.stage:
            # Harm shown at an earlier share is harm: it may cross the approval that ended that stage.
            after, moves = quarantine_trial(state, verdict_cause(verdict))
            return _after_failure(after, verdict, rules), moves
        case _:
            return state, ()


def _approve(state: ReleaseState, trial: Trial, verdict: Verdict, rules: Rules) -> Step:
    """On live traffic drift only stops: its approval stays the one from offline. A repeated one changes nothing."""
    known = trial.approval(verdict.gate)
    if (trial.stage and verdict.gate is Gate.DRIFT) or (known is not None and known.stage == verdict.stage):
        return state, ()
    return advance(replace(state, trial=trial.approved(verdict)), rules)


def _reject(state: ReleaseState, trial: Trial, verdict: Verdict, rules: Rules) -> Step:
    after, moves = drop(state, verdict_cause(verdict))
    undecided = any(reason.check == Check.UNDECIDED for reason in verdict.reasons)
    if trial.stage == 0 or undecided:
        # Before there is a base, the next attempt at a warm-up need not wait.
        return (after if state.base is None else cool(after, rules, verdict.time_ms)), moves
    return _after_failure(after, verdict, rules), moves


def _judge_live(state: ReleaseState, verdict: Verdict, rules: Rules) -> Step:
    same_base = state.base is not None and verdict.base == state.base.digest
    on_traffic = verdict.stage >= 1  # how many stages there are, another service's settings may say otherwise
    if verdict.judgement is not Judgement.ROLLBACK or not same_base or not on_traffic:
        return state, ()
    after, moves = depose(state, verdict_cause(verdict))
    return (_after_failure(after, verdict, rules), moves) if moves else (state, ())


def _after_failure(state: ReleaseState, verdict: Verdict, rules: Rules) -> ReleaseState:
    return fail(cool(state, rules, verdict.time_ms), rules)


def _settle_step(state: ReleaseState, candidate: Candidate) -> ReleaseState:
    """Raises ``decided_step``: at once, or with the fate of the one that is outstanding."""
    if state.trial is not None:
        return replace(state, sealed_step=candidate.step)
    return replace(state, decided_step=candidate.step)


def _keep_early(state: ReleaseState, verdict: Verdict) -> ReleaseState:
    """Keeps an offline verdict whose candidate has not come yet: verdicts travel on another topic and may overtake."""
    known = {release.digest for release in state.former()} | set(state.quarantined)
    if verdict.stage or verdict.digest in known:
        return state
    return replace(state, early=(*state.early, verdict)[-EARLY_VERDICTS:])
