"""The elementary changes that verdicts and orders are made of. Each is pure and does one thing."""

from dataclasses import replace

from ol0.records import Digest, Gate, Phase, Release
from ol0.release.causes import verdict_cause
from ol0.release.state import HISTORY_BYTES, Life, Move, Rules, Step, Trial


def advance(life: Life, rules: Rules) -> Step:
    """Moves the candidate on trial one stage on, where its approvals allow it and nothing is frozen."""
    trial = life.trial
    if trial is None or life.frozen or not _is_ready(trial):
        return life, ()
    gates = (Gate.CANARY,) if trial.stage else tuple(Gate)
    cause = "; ".join(verdict_cause(verdict) for gate in gates if (verdict := trial.approval(gate)))
    if life.base is not None and trial.stage < len(rules.shares):
        staged = replace(trial, stage=trial.stage + 1, share=rules.shares[trial.stage])
        return replace(life, trial=staged), (_move(trial, Phase.STAGED, cause),)
    return _go_live(life, rules, trial, cause)


def _is_ready(trial: Trial) -> bool:
    """Offline both gates must approve; later canary moves a stage on and drift only stops it."""
    canary, drift = trial.approval(Gate.CANARY), trial.approval(Gate.DRIFT)
    return canary is not None and drift is not None and canary.stage == trial.stage


def _go_live(life: Life, rules: Rules, trial: Trial, cause: str) -> Step:
    moves = (_move(trial, Phase.LIVE, cause),)
    if life.live is None:
        return replace(seal(life), base=trial.release, live=trial.release), moves
    superseded = Move(life.live.digest, life.live.step, Phase.LIVE, Phase.SUPERSEDED, cause)
    newest = max(verdict.time_ms for verdict in trial.approvals)
    after = cool(replace(seal(life), failures=0), rules, newest)
    return replace(after, live=trial.release, history=_remember(after, rules, life.live)), (superseded, *moves)


def seal(life: Life) -> Life:
    """Takes the candidate off trial: its step is decided, and so are those turned away meanwhile."""
    if life.trial is None:
        return life
    decided = max(life.decided_step, life.sealed_step, life.trial.candidate.step)
    return replace(life, trial=None, decided_step=decided)


def drop(life: Life, cause: str) -> Step:
    """Rejects the candidate on trial, if there is one."""
    if life.trial is None:
        return life, ()
    return seal(life), (_move(life.trial, Phase.REJECTED, cause),)


def cool(life: Life, rules: Rules, time_ms: int) -> Life:
    """Starts the cooldown; it is never made shorter."""
    return replace(life, cooldown_until_ms=max(life.cooldown_until_ms, time_ms + rules.cooldown_ms))


def fail(life: Life, rules: Rules) -> Life:
    """Counts a harm; too many in a row freeze."""
    failures = life.failures + 1
    return replace(life, failures=failures, frozen=life.frozen or failures >= rules.max_failures)


def quarantine_trial(life: Life, cause: str) -> Step:
    """Takes the candidate off trial and never lets it back."""
    if life.trial is None:
        return life, ()
    sealed = seal(life)
    banned = replace(sealed, quarantined=(*life.quarantined, life.trial.candidate.digest))
    return banned, (_move(life.trial, Phase.QUARANTINED, cause),)


def depose(life: Life, cause: str) -> Step:
    """Quarantines what is live and publishes its predecessor; the base at worst. The base itself stays."""
    live, base = life.live, life.base
    if live is None or base is None or live.digest == base.digest:
        return life, ()
    target = max((one for one in life.history if one.step < live.step), key=lambda one: one.step, default=base)
    after, dropped = drop(life, f"its parent {live.digest[:12]} was rolled back: {cause}")
    after = replace(
        after,
        live=target,
        history=tuple(one for one in life.history if one.digest != target.digest),
        quarantined=(*life.quarantined, live.digest),
    )
    fallen = Move(live.digest, live.step, Phase.LIVE, Phase.QUARANTINED, cause)
    return after, (fallen, Move(target.digest, target.step, Phase.SUPERSEDED, Phase.LIVE, cause), *dropped)


def reinstate(life: Life, rules: Rules, digest: Digest, cause: str) -> Step:
    """Makes a former release live without a word against the present one; the trial ends, its parent being gone."""
    target = next((one for one in life.former() if one.digest == digest), None)
    if life.live is None or target is None or target.digest == life.live.digest:
        return life, ()
    after, dropped = drop(life, f"its parent {life.live.digest[:12]} is no longer live: {cause}")
    without = replace(after, history=tuple(one for one in life.history if one.digest != digest))
    after = replace(without, live=target, history=_remember(without, rules, life.live))
    former = Move(life.live.digest, life.live.step, Phase.LIVE, Phase.SUPERSEDED, cause)
    return after, (former, Move(target.digest, target.step, Phase.SUPERSEDED, Phase.LIVE, cause), *dropped)


def _remember(life: Life, rules: Rules, former: Release) -> tuple[Release, ...]:
    """The history with one more release: by step, no base, the newest ones that fit."""
    if life.base is None or former.digest == life.base.digest:
        return life.history
    newest_first = sorted((*life.history, former), key=lambda one: -one.step)[: rules.history]
    while sum(len(one.heads) for one in newest_first) > HISTORY_BYTES:
        newest_first.pop()
    return tuple(reversed(newest_first))


def _move(trial: Trial, phase: Phase, cause: str) -> Move:
    return Move(trial.candidate.digest, trial.candidate.step, trial.phase, phase, cause)
