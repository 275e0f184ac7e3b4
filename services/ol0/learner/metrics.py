"""What the learner learns from, and what its last candidate was like, as metrics."""

from collections.abc import Iterator

from ol0.learner.handler import LearnerHandler
from ol0.learning.replay import Replay
from ol0.observability import metrics
from ol0.observability.metrics import Figure


def learner_figures(handler: LearnerHandler, replay: Replay) -> Iterator[Figure]:
    """Figures of one moment; those of a summary from the first candidate on."""
    yield Figure(metrics.LEARNT_FROM, replay.examples)
    yield Figure(metrics.CONVINCED, handler.convinced)
    yield Figure(metrics.CANDIDATES, handler.offers)
    yield from (Figure(metrics.LEARNER_FIGURE, value, (name,)) for name, value in handler.summary.items())
