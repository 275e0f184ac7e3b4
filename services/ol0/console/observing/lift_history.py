"""The lift over event time, in as many points as a plot has pixels, however long the console runs."""

from dataclasses import dataclass
from typing import Final

from ol0.operator.figures import LiftInterval

MOST_POINTS: Final = 600


@dataclass(frozen=True, slots=True)
class LiftPoint:
    """The lift that the evaluator gave for one moment of event time, in ms."""

    time_ms: int
    lift: LiftInterval


class LiftHistory:
    """Keeps points at equal distances. Where there are too many, every second one goes and the distance doubles."""

    def __init__(self) -> None:
        self._points: list[LiftPoint] = []
        self._newest: LiftPoint | None = None
        self._apart_ms = 1

    def add(self, point: LiftPoint) -> None:
        """Takes a later point; earlier ones change nothing, for a restarted evaluator may repeat itself."""
        if self._newest is not None and point.time_ms <= self._newest.time_ms:
            return
        self._newest = point
        if self._points and point.time_ms - self._points[-1].time_ms < self._apart_ms:
            return
        self._points.append(point)
        if len(self._points) > MOST_POINTS:
            self._points = self._points[::2]
            self._apart_ms = max(2 * self._apart_ms, self._points[1].time_ms - self._points[0].time_ms)

    def points(self) -> tuple[LiftPoint, ...]:
        """Every point that is kept, and the newest one."""
        newest = [] if self._newest is None or self._newest in self._points[-1:] else [self._newest]
        return (*self._points, *newest)
