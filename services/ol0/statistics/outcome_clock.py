"""How far event time has come, by outcomes that are numbered and arrive over several partitions."""

from bisect import bisect_right
from typing import Final, NotRequired

from typing_extensions import TypedDict

LARGEST_WAIT: Final = 4_096
"""Outcomes that may wait for an earlier one of another partition: eight polls' worth, 30 kB of snapshot at most."""
LARGEST_HOLES: Final = 4_096
"""Runs of outcomes that were given up and may still come: as many as may wait, one by one."""


class ClockSnapshot(TypedDict):
    """The whole state of an ``OutcomeClock`` in plain JSON values."""

    expected: int
    time_ms: int | None
    newest_ms: int | None
    tick_ms: int | None
    ahead: list[tuple[int, int]]
    holes: NotRequired[list[tuple[int, int]]]


class OutcomeClock:
    """How far event time has come, over partitions that arrive interleaved; and which outcomes are repeats.

    Outcomes are numbered without holes from 0 on, in the order in which their windows closed. Event time is therefore
    the end of the last window up to which *every* outcome is here. The largest end would run ahead while one partition
    is read before another, as in every catching up, and would cut the sessions of the slower one.

    An outcome that does not come (it went to the dead letters, its partition is new and not read yet, or numbering has
    jumped) is given up when the newest is ``patience_ms`` ahead, or ``LARGEST_WAIT`` outcomes wait. Time goes on
    without it. It is remembered as a hole: should it come after all, it is new, and only what comes twice is a repeat.
    Beyond ``LARGEST_HOLES`` holes the oldest is forgotten.

    Args:
        patience_ms: how long an outcome may be missing, in milliseconds of event time.
        lag_ms: how long after the end of its window an outcome may come, in milliseconds of the ticks' time: allowed
            lateness and the feedback service's lag. 0 where ticks are the watermark, not the wall.

    >>> clock = OutcomeClock(patience_ms=600_000)
    >>> [clock.take(0, 1_000), clock.take(2, 50_000), clock.take(0, 1_000)]
    [True, True, False]
    >>> clock.now_ms
    1000
    >>> clock.take(1, 30_000), clock.now_ms
    (True, 50000)
    """

    def __init__(self, patience_ms: int, lag_ms: int = 0) -> None:
        self.patience_ms, self.lag_ms = patience_ms, lag_ms
        self._expected = 0
        self._time_ms: int | None = None
        self._newest_ms: int | None = None
        self._tick_ms: int | None = None
        self._ahead: dict[int, int] = {}
        self._holes: list[tuple[int, int]] = []  # first number and the one behind the last, in order

    @property
    def now_ms(self) -> int | None:
        """The event time; None before there is any."""
        known = [time for time in (self._time_ms, None if self._ahead else self._tick_ms) if time is not None]
        return max(known, default=None)

    def take(self, sequence: int, end_ms: int) -> bool:
        """Whether this outcome is new; if so, time moves as far as it may."""
        if sequence < self._expected:
            return self._fill(sequence)
        if sequence in self._ahead:
            return False
        self._ahead[sequence] = end_ms
        self._newest_ms = max(end_ms, end_ms if self._newest_ms is None else self._newest_ms)
        self._advance()
        while self._ahead and self._waited_enough():
            self._give_up(min(self._ahead))
            self._advance()
        return True

    def tick(self, time_ms: int | None) -> None:
        """Take a time, or None: nothing is known. It closes the last sessions before a silence.

        Taken as it is, the wall would be past the gap when an outcome arrives, and would make each decision a session
        of its own. So a tick says only that windows are complete that ended ``lag_ms`` before it.
        """
        if time_ms is not None:
            reached_ms = time_ms - self.lag_ms
            self._tick_ms = max(reached_ms, reached_ms if self._tick_ms is None else self._tick_ms)

    def snapshot(self) -> ClockSnapshot:
        """The state in plain JSON values."""
        return ClockSnapshot(
            expected=self._expected,
            time_ms=self._time_ms,
            newest_ms=self._newest_ms,
            tick_ms=self._tick_ms,
            ahead=sorted(self._ahead.items()),
            holes=list(self._holes),
        )

    def restore(self, snapshot: ClockSnapshot) -> None:
        """Take the state of ``snapshot``."""
        self._expected, self._time_ms = snapshot["expected"], snapshot["time_ms"]
        self._newest_ms, self._tick_ms = snapshot["newest_ms"], snapshot["tick_ms"]
        self._ahead = dict(snapshot["ahead"])
        self._holes = [(first, end) for first, end in snapshot.get("holes", [])]

    def _fill(self, sequence: int) -> bool:
        """Whether this number lies in a hole, where it lies no more then."""
        place = bisect_right(self._holes, sequence, key=lambda hole: hole[0]) - 1
        if place < 0 or sequence >= self._holes[place][1]:
            return False
        first, end = self._holes[place]
        rest = [(first, sequence), (sequence + 1, end)]
        self._holes[place : place + 1] = [hole for hole in rest if hole[0] < hole[1]]
        self._forget_holes()
        return True

    def _give_up(self, sequence: int) -> None:
        """Goes on at this number without those before it."""
        self._holes.append((self._expected, sequence))
        self._expected = sequence
        self._forget_holes()

    def _forget_holes(self) -> None:
        del self._holes[:-LARGEST_HOLES]

    def _advance(self) -> None:
        while self._expected in self._ahead:
            end_ms = self._ahead.pop(self._expected)
            self._time_ms = max(end_ms, end_ms if self._time_ms is None else self._time_ms)
            self._expected += 1

    def _waited_enough(self) -> bool:
        if self._newest_ms is None or len(self._ahead) > LARGEST_WAIT:
            return True
        reached = min(self._ahead.values()) if self._time_ms is None else self._time_ms
        return self._newest_ms - reached > self.patience_ms
