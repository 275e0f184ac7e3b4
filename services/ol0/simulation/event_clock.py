"""Event time that runs faster than the wall clock, for soaks of a day in minutes."""

from collections.abc import Callable, Sequence
from threading import Event, Thread
from time import monotonic
from typing import Self

import structlog

from ol0.clock import wall_clock_ms
from ol0.config import Settings
from ol0.errors import StreamError
from ol0.feedback.service import SOURCES
from ol0.kafka.lineage import Lineage
from ol0.kafka.sending.record_sender import RecordSender
from ol0.records import Tick

STEP_S = 0.1
LONGEST_STEP_S = 2 * STEP_S
TICKED = (*SOURCES, "outcomes")  # the gates and the evaluator take their time from outcomes

Place = tuple[str, int]
"""A topic by its full name, and the number of a partition."""


class EventClock:
    """The only clock of a run under ``streaming.clock = "ticks"``: it writes the time into every partition.

    Time moves on only once the ticks are acknowledged: while Kafka is away it stands still, so an outage of a minute
    does not close the windows of hours.

    Args:
        send: writes a tick into places and waits until all are acknowledged; else it raises StreamError.
        places: every partition whose readers need the time.
        scale: seconds of event time in a second of wall time.
        start_ms: where event time begins, in milliseconds since 1970 UTC.
        elapsed_s: wall time in seconds since some moment.
    """

    def __init__(
        self,
        send: Callable[[Tick, Sequence[Place]], None],
        places: Sequence[Place],
        scale: float,
        start_ms: int,
        elapsed_s: Callable[[], float] = monotonic,
    ) -> None:
        self._send = send
        self._places = places
        self._scale = scale
        self._now_ms = start_ms
        self._elapsed_s = elapsed_s
        self._then_s = elapsed_s()
        self._stop = Event()
        self._thread = Thread(target=self._run, name="event-clock", daemon=True)

    @classmethod
    def of(cls, settings: Settings, scale: float) -> Self:
        """The clock of a lineage, from now on."""
        lineage = Lineage.of(settings.kafka)
        places = [
            (lineage.topics.full(name), number)
            for name in TICKED
            for number in range(lineage.topics.spec(name).partitions)
        ]
        return cls(RecordSender(lineage).send_ticks, places, scale, wall_clock_ms())

    def __call__(self) -> int:
        """Milliseconds since 1970 UTC, in event time."""
        return self._now_ms

    def __enter__(self) -> Self:
        self._then_s = self._elapsed_s()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def step(self) -> None:
        """Moves event time on by what has passed since the last step, if Kafka takes the ticks.

        A pause of this process, or of the broker, is no time: no step counts as longer than ``LONGEST_STEP_S``.
        """
        now_s = self._elapsed_s()
        passed_s, self._then_s = now_s - self._then_s, now_s
        to_ms = self._now_ms + round(min(passed_s, LONGEST_STEP_S) * self._scale * 1000)
        try:
            self._send(Tick(to_ms), self._places)
        except StreamError as error:
            structlog.get_logger("ol0.simulation").warning("event time does not advance", reason=str(error))
            return
        self._now_ms = to_ms

    def _run(self) -> None:
        while not self._stop.wait(STEP_S):
            self.step()
