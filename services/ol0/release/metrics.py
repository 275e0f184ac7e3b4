"""What serves, as metrics."""

from collections.abc import Iterator

from ol0.observability import metrics
from ol0.observability.metrics import Figure
from ol0.records import Mode
from ol0.release.state import ReleaseState


def release_figures(state: ReleaseState) -> Iterator[Figure]:
    """Figures of one state; before there is a base there are none of what serves."""
    yield Figure(metrics.SERVING_SEQUENCE, state.sequence)
    yield Figure(metrics.FAILURES, state.failures)
    yield Figure(metrics.FROZEN, state.frozen)
    yield Figure(metrics.APPLIES, state.mode is Mode.APPLY)
    if state.live is not None:
        yield Figure(metrics.SERVING_STEP, state.live.step)
    trial = state.trial
    yield Figure(metrics.TRIAL_STAGE, -1 if trial is None else trial.stage)
    yield Figure(metrics.TRIAL_SHARE, 0 if trial is None or trial.share is None else trial.share)
