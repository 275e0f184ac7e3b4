"""Updates of a trainer from a replay buffer: one, and as many as are due."""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import structlog

from ol0.config import OnlineLearningConfig
from ol0.errors import NothingToDraw
from ol0.learning.cadence import catch_up
from ol0.learning.replay import Replay
from ol0.learning.trainer import Trainer


class Training:
    """Pays for new examples with updates, and keeps the figures of its steps.

    Attributes:
        trained: examples that are paid for; see ``cadence``.
        steps: taken since the figures began.
    """

    def __init__(
        self,
        trainer: Trainer,
        replay: Replay,
        config: OnlineLearningConfig,
        clock: Callable[[], float],
        trained: int = 0,
    ) -> None:
        """Nothing is trained yet.

        Args:
            trainer: learns.
            replay: gives examples.
            config: every number.
            clock: seconds, for the figure ``seconds_per_step`` alone.
            trained: examples that were paid for before.
        """
        self._trainer = trainer
        self._replay = replay
        self._config = config
        self._clock = clock
        self.trained = trained
        self._log = structlog.get_logger("ol0.learner")
        self._waits = False
        self.begin_figures()

    def begin_figures(self) -> None:
        """Forgets the figures so far: those of the next candidate begin here."""
        self._totals: Counter[str] = Counter()
        self._seconds = 0.0
        self.steps = 0

    def update_due(self) -> int:
        """Pays for new examples with updates, a bounded number a call; returns how many were due.

        Examples that vanish from the store meanwhile owe nothing: the round ends, the next refresh sees what is left.
        """
        drawable = self._replay.size
        self._note_waiting(drawable)
        updates, self.trained = catch_up(self._replay.examples, drawable, self.trained, self._config)
        started = self._clock()
        with suppress(NothingToDraw):
            for _ in range(updates):
                self._update()
        self._seconds += self._clock() - started
        return updates

    def _update(self) -> None:
        for report in self._trainer.update(self._replay):
            self._totals.update(report.terms)
            self.steps += 1

    def _note_waiting(self, drawable: int) -> None:
        """Says once that there are examples and none may be drawn, until one may."""
        waits = not drawable and self._replay.examples > 0
        if waits and not self._waits:
            self._log.warning(
                "no example may be drawn: all are excluded, or older than online_learning.max_age_s; learning waits "
                "for new ones",
                examples=self._replay.examples,
                max_age_s=self._config.max_age_s,
            )
        self._waits = waits

    def figures(self) -> dict[str, float]:
        """Means over the steps since the figures began, of which there is at least one."""
        means = {name: float(total) / self.steps for name, total in self._totals.items()}
        return means | {"examples": float(self._replay.examples), "seconds_per_step": self._seconds / self.steps}
