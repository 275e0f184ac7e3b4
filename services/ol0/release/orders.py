"""What operators order. An order that cannot be carried out leaves a note with the reason, and changes nothing else."""

from dataclasses import replace

from ol0.records import Digest, Mode, OperatorCommand, OperatorKind
from ol0.release.causes import order_cause
from ol0.release.changes import advance, cool, depose, quarantine_trial, reinstate
from ol0.release.state import Life, Refusal, Rules, Step


def obey(life: Life, command: OperatorCommand, rules: Rules) -> Step:
    """Carries out one order."""
    if life.base is None and command.kind is not OperatorKind.FORGET:
        return _refuse(life, command, "there is no base yet: run ol0 warmup first")
    match command.kind:
        case OperatorKind.FORGET:
            return life, ()  # the feedback service's
        case OperatorKind.MODE:
            return _set_mode(life, command)
        case OperatorKind.FREEZE | OperatorKind.THAW:
            return _set_frozen(life, command, rules)
        case OperatorKind.PIN:
            return _pin(life, command, rules)
        case OperatorKind.ROLLBACK:
            return _roll_back(life, command, rules)


def _set_mode(life: Life, command: OperatorCommand) -> Step:
    if command.value not in set(Mode):
        return _refuse(life, command, f"mode {command.value!r}; {', '.join(Mode)} are right")
    return replace(life, mode=Mode(command.value)), ()


def _set_frozen(life: Life, command: OperatorCommand, rules: Rules) -> Step:
    """After a thaw the approvals that came meanwhile take effect."""
    if command.kind is OperatorKind.FREEZE:
        return replace(life, frozen=True), ()
    return advance(replace(life, frozen=False, failures=0), rules)


def _pin(life: Life, command: OperatorCommand, rules: Rules) -> Step:
    choices = {release.digest for release in (*life.former(), life.live) if release is not None}
    if command.value not in choices:
        known = ", ".join(sorted(digest[:12] for digest in choices))
        return _refuse(life, command, f"{command.value} is not among the releases that are kept: {known}")
    after, moves = reinstate(life, rules, Digest(command.value or ""), order_cause(command))
    return replace(after, frozen=True), moves


def _roll_back(life: Life, command: OperatorCommand, rules: Rules) -> Step:
    """Without a digest what is live goes; a digest makes sure that an order repeated does not hit the next one."""
    if life.trial is not None and life.trial.stage and command.value == life.trial.candidate.digest:
        after, moves = quarantine_trial(life, order_cause(command))
        return cool(after, rules, command.time_ms), moves
    if life.live is None or command.value not in (None, life.live.digest):
        return _refuse(life, command, f"{command.value} neither is live nor on trial")
    after, moves = depose(life, order_cause(command))
    if not moves:
        return _refuse(life, command, "the base is live: there is nothing to go back to")
    return cool(after, rules, command.time_ms), moves


def _refuse(life: Life, command: OperatorCommand, reason: str) -> Step:
    order = command.kind if command.value is None else f"{command.kind} {command.value}"
    return replace(life, refused=Refusal(order, command.actor, reason, command.time_ms)), ()
