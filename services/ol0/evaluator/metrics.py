"""Whether it helps, as metrics."""

from collections.abc import Iterator

from ol0.evaluator.figures import EvaluationFigures
from ol0.observability import metrics
from ol0.observability.metrics import Figure
from ol0.records import Phase


def evaluation_figures(found: EvaluationFigures) -> Iterator[Figure]:
    """Figures of one moment; what is not known yet is not there, but for counters: an increase begins at a 0."""
    if (lift := found.lift) is not None:
        bounds = {"estimate": lift.estimate, "low": lift.low, "high": lift.high}
        yield from (Figure(metrics.LIFT, value, (name,)) for name, value in bounds.items() if value is not None)
        yield Figure(metrics.LIFT_BELOW_ZERO, lift.high is not None and lift.high < 0)
    yield Figure(metrics.PROVEN, found.proven)
    for arm, summary in found.arms.items():
        yield Figure(metrics.ARM_OUTCOMES, summary.decisions, (arm,))
        if summary.success is not None:
            yield Figure(metrics.ARM_SUCCESS, summary.success, (arm,))
    yield Figure(metrics.UNBALANCED, found.unbalanced is not None)
    yield Figure(metrics.INPUTS_AWAY, found.inputs_away_since_ms is not None)
    yield from (Figure(metrics.TRANSITIONS, found.transitions.get(phase, 0), (phase,)) for phase in Phase)
