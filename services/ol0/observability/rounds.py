"""What a loop says of itself after every round: a sign of life, and figures for metrics."""

import time
from collections.abc import Callable, Iterable
from typing import Final

import structlog

from ol0.errors import OL0Error
from ol0.observability import metrics
from ol0.observability.health import Heartbeat
from ol0.observability.loop_stats import LoopStats
from ol0.observability.metrics import Board, Figure

ASK_S: Final = 5.0
"""How often sources are asked for their figures: some of them cost the store a question."""

Source = Callable[[], Iterable[Figure]]
"""Gives the figures of this moment, in the loop's thread. May raise OL0Error: then what it said last stays."""


class Rounds:
    """Told after every round, in the loop's own thread.

    Args:
        service: label of the loop's own metrics.
        heartbeat: beats once a round.
        board: gets the figures.
        clock: seconds.
    """

    def __init__(
        self,
        service: str,
        heartbeat: Heartbeat | None = None,
        board: Board | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._labels = (service,)
        self._heartbeat = heartbeat or Heartbeat()
        self._board = board or Board()
        self._clock = clock
        self._sources: list[Source] = []
        self._listeners: list[Callable[[LoopStats], Iterable[Figure]]] = []
        self._ask_at = -float("inf")
        self._log = structlog.get_logger("ol0.metrics")

    def ask(self, source: Source) -> None:
        """From now on this source is asked every few seconds; the first time after the next round."""
        self._sources.append(source)
        self._ask_at = -float("inf")

    def listen(self, listener: Callable[[LoopStats], Iterable[Figure]]) -> None:
        """From now on this listener hears of every round, and says what is to be added to counters or set."""
        self._listeners.append(listener)

    def __call__(self, done: LoopStats) -> None:
        """One round is done."""
        self._heartbeat.beat()
        self._board.add(self._of(done))
        self._board.put(_lag(done, self._labels))
        for listener in self._listeners:
            self._board.put(listener(done))
        if self._sources and self._clock() >= self._ask_at:
            self._ask()

    def _ask(self) -> None:
        for source in self._sources:
            try:
                self._board.put(source())
            except OL0Error as error:
                self._log.warning("no figures", reason=str(error))
        self._ask_at = self._clock() + ASK_S

    def _of(self, done: LoopStats) -> list[Figure]:
        counts = {
            metrics.ROUNDS: 1,
            metrics.BUSY: done.seconds,
            metrics.RECORDS: done.records,
            metrics.OUTPUTS: done.outputs,
            metrics.DEAD_LETTERS: done.dead_letters,
            metrics.FORGED: done.forged,
            metrics.MISSED: done.missed,
            metrics.REFUSED_OUTPUTS: done.dropped,
        }
        return [Figure(metric, value, self._labels) for metric, value in counts.items()]


def _lag(done: LoopStats, labels: tuple[str, ...]) -> Iterable[Figure]:
    return () if done.lag is None else (Figure(metrics.LAG, done.lag, labels),)
