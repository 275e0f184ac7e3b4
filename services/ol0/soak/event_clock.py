"""Event time that runs faster than the wall clock, for soaks of a day in minutes."""

from collections.abc import Iterable
from threading import Event, Thread
from time import monotonic
from typing import Self

import structlog

from ol0.clock import wall_clock_ms
from ol0.config import Settings
from ol0.errors import StreamError
from ol0.feedback.service import SOURCES
from ol0.records import Tick
from ol0.streaming.lineage import Lineage
from ol0.streaming.sender import RecordSender

STEP_S = 0.1
TICKED = (*SOURCES, "outcomes")  # the gates and the evaluator take their time from outcomes


class EventClock:
    """The only clock of a run under ``streaming.clock = "ticks"``: it writes the time into every partition.

    Time moves on only once the ticks are acknowledged: while Kafka is away it stands still, so an outage of a minute
    does not close the windows of hours.

    Args:
        settings: of the lineage.
        scale: seconds of event time in a second of wall time.
    """

    def __init__(self, settings: Settings, scale: float) -> None:
        lineage = Lineage.of(settings.kafka)
        self._places = list(_places(lineage))
        self._sender = RecordSender(lineage)
        self._scale = scale
        self._now_ms = wall_clock_ms()
        self._stop = Event()
        self._thread = Thread(target=self._run, name="event-clock", daemon=True)

    def __call__(self) -> int:
        """Milliseconds since 1970 UTC, in event time."""
        return self._now_ms

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        then_s = monotonic()
        while not self._stop.wait(STEP_S):
            now_s = monotonic()
            # A pause of this process, or of the broker, is no time: at most two steps at once.
            step_s = min(now_s - then_s, 2 * STEP_S)
            then_s = now_s
            self._move(self._now_ms + round(step_s * self._scale * 1000))

    def _move(self, to_ms: int) -> None:
        try:
            self._sender.send_ticks(Tick(to_ms), self._places)
        except StreamError as error:
            structlog.get_logger("ol0.soak").warning("event time stands still", reason=str(error))
            return
        self._now_ms = to_ms


def _places(lineage: Lineage) -> Iterable[tuple[str, int]]:
    for name in TICKED:
        for number in range(lineage.topics.spec(name).partitions):
            yield lineage.topics.full(name), number
