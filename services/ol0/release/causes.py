"""Why a checkpoint moved, in words that name the gate, the check and the figures."""

from ol0.records import OperatorCommand, Reason, Verdict


def verdict_cause(verdict: Verdict) -> str:
    """As in "canary says reject at stage 1 on 812: harm -0.031 (bound -0.004, threshold 0): ..."."""
    reasons = "; ".join(map(_reason, verdict.reasons)) or "no reason given"
    return f"{verdict.gate} says {verdict.judgement} at stage {verdict.stage} on {verdict.evidence}: {reasons}"


def order_cause(command: OperatorCommand) -> str:
    """Who ordered what, and why."""
    value = f" {command.value[:12]}" if command.value else ""
    return f"{command.actor} ordered {command.kind}{value}: {command.reason}"


def _reason(reason: Reason) -> str:
    sides = (("bound", reason.bound), ("threshold", reason.threshold))
    around = ", ".join(f"{name} {value:.4g}" for name, value in sides if value is not None)
    figure = "" if reason.figure is None else f" {reason.figure:.4g}"
    return f"{reason.check}{figure}{f' ({around})' if around else ''}: {reason.text}"
