"""What operators order. An order that cannot be carried out leaves a note with the reason, and changes nothing else."""

from dataclasses import replace

from ol0.records import Digest, Mode, OperatorCommand, OperatorKind, brief
from ol0.release.machine import advance, cool, depose, quarantine_trial, reinstate
from ol0.release.state import Refusal, ReleaseState, Rules, Step, order_cause


def obey(state: ReleaseState, command: OperatorCommand, rules: Rules) -> Step:
    """Carries out one order."""
    if state.base is None and command.kind is not OperatorKind.FORGET:
        return _refuse(state, command, "there is no base yet: run ol0 warmup first")
    match command.kind:
        case OperatorKind.FORGET:
            return state, ()  # the feedback service's
        case OperatorKind.MODE:
            return _set_mode(state, command)
        case OperatorKind.FREEZE | OperatorKind.THAW:
            return _set_frozen(state, command, rules)
        case OperatorKind.PIN:
            return _pin(state, command, rules)
        case OperatorKind.ROLLBACK:
            return _roll_back(state, command, rules)


def _set_mode(state: ReleaseState, command: OperatorCommand) -> Step:
    if command.value not in set(Mode):
        return _refuse(state, command, f"mode {command.value!r}; {', '.join(Mode)} are right")
    return replace(state, mode=Mode(command.value)), ()


def _set_frozen(state: ReleaseState, command: OperatorCommand, rules: Rules) -> Step:
    """After a thaw the approvals that came meanwhile take effect."""
    if command.kind is OperatorKind.FREEZE:
        return replace(state, frozen=True), ()
    return advance(replace(state, frozen=False, failures=0), rules)


def _pin(state: ReleaseState, command: OperatorCommand, rules: Rules) -> Step:
    choices = {release.digest for release in (*state.former(), state.live) if release is not None}
    if command.value not in choices:
        known = ", ".join(sorted(brief(digest) for digest in choices))
        return _refuse(state, command, f"{command.value} is not among the releases that are kept: {known}")
    after, moves = reinstate(state, rules, Digest(command.value or ""), order_cause(command))
    return replace(after, frozen=True), moves


def _roll_back(state: ReleaseState, command: OperatorCommand, rules: Rules) -> Step:
    """Without a digest what is live goes; a digest makes sure that an order repeated does not hit the next one."""
    if state.trial is not None and state.trial.stage and command.value == state.trial.candidate.digest:
        after, moves = quarantine_trial(state, order_cause(command))
        return cool(after, rules, command.time_ms), moves
    if state.live is None or command.value not in (None, state.live.digest):
        return _refuse(state, command, f"{command.value} neither is live nor on trial")
    after, moves = depose(state, order_cause(command))
    if not moves:
        return _refuse(state, command, "the base is live: there is nothing to go back to")
    return cool(after, rules, command.time_ms), moves


def _refuse(state: ReleaseState, command: OperatorCommand, reason: str) -> Step:
    order = command.kind if command.value is None else f"{command.kind} {command.value}"
    return replace(state, refused=Refusal(order, command.actor, reason, command.time_ms)), ()
