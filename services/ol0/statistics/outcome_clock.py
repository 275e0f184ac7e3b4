"""How far event time has come, by outcomes that are numbered and arrive over several partitions."""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final, Self

from pydantic import BeforeValidator, PlainSerializer

PATIENCE_GAPS: Final = 10
"""How long an outcome of another partition may be missing before time continues without it, in session gaps."""
LARGEST_WAIT: Final = 4_096
"""Outcomes that may wait for an earlier one of another partition: eight polls' worth, 30 kB of snapshot at most."""
LARGEST_HOLES: Final = 4_096
"""Runs of outcomes that were given up and may still come: as many as may wait, one by one."""


def _by_number(ahead: Mapping[int, int]) -> list[tuple[int, int]]:
    return sorted(ahead.items())


@dataclass
class ClockState:
    """What an ``OutcomeClock`` knows.

    Attributes:
        expected: number of the first outcome that is not here.
        time_ms: end of the last window before it.
        newest_ms: the largest end.
        tick_ms: how far ticks have come.
        ahead: by number, the ends of windows that wait for an earlier one.
        holes: numbers that were given up: the first and the one behind the last, in order.
    """

    expected: int = 0
    time_ms: int | None = None
    newest_ms: int | None = None
    tick_ms: int | None = None
    ahead: Annotated[dict[int, int], BeforeValidator(dict), PlainSerializer(_by_number)] = field(default_factory=dict)
    holes: list[tuple[int, int]] = field(default_factory=list)


class OutcomeClock:
    """How far event time has come, over partitions that arrive interleaved; and which outcomes are repeats.

    Outcomes are numbered without holes from 0 on, in the order in which their windows closed. Event time is therefore
    the end of the last window up to which *every* outcome is here. The largest end would run ahead while one partition
    is read before another, as in every catching up, and would cut the sessions of the slower one.

    An outcome that does not come (it went to the dead letters, its partition is new and not read yet, or numbering has
    jumped) is given up when the newest is ``patience_ms`` ahead, or ``LARGEST_WAIT`` outcomes wait. Time moves on
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
        self.state = ClockState()

    @classmethod
    def for_sessions(cls, gap_s: float) -> Self:
        """For sessions that end after this silence; ticks are of the wall."""
        patience_ms = round(1000 * PATIENCE_GAPS * gap_s)
        return cls(patience_ms, lag_ms=patience_ms)

    @property
    def now_ms(self) -> int | None:
        """The event time; None before there is any."""
        known = [
            time for time in (self.state.time_ms, None if self.state.ahead else self.state.tick_ms) if time is not None
        ]
        return max(known, default=None)

    def take(self, sequence: int, end_ms: int) -> bool:
        """Whether this outcome is new; if so, time moves as far as it may."""
        state = self.state
        if sequence < state.expected:
            return self._fill(sequence)
        if sequence in state.ahead:
            return False
        state.ahead[sequence] = end_ms
        state.newest_ms = max(end_ms, end_ms if state.newest_ms is None else state.newest_ms)
        self._advance()
        while state.ahead and self._waited_enough():
            self._give_up(min(state.ahead))
            self._advance()
        return True

    def tick(self, time_ms: int | None) -> None:
        """Take a time, or None: nothing is known. It closes the last sessions before a silence.

        Taken as it is, the wall would be past the gap when an outcome arrives, and would make each decision a session
        of its own. So a tick says only that windows are complete that ended ``lag_ms`` before it.
        """
        if time_ms is not None:
            reached_ms = time_ms - self.lag_ms
            self.state.tick_ms = max(reached_ms, reached_ms if self.state.tick_ms is None else self.state.tick_ms)

    def _fill(self, sequence: int) -> bool:
        """Whether this number lies in a hole, where it lies no more then."""
        place = bisect_right(self.state.holes, sequence, key=lambda hole: hole[0]) - 1
        if place < 0 or sequence >= self.state.holes[place][1]:
            return False
        first, end = self.state.holes[place]
        rest = [(first, sequence), (sequence + 1, end)]
        self.state.holes[place : place + 1] = [hole for hole in rest if hole[0] < hole[1]]
        self._forget_holes()
        return True

    def _give_up(self, sequence: int) -> None:
        """Continues at this number without those before it."""
        self.state.holes.append((self.state.expected, sequence))
        self.state.expected = sequence
        self._forget_holes()

    def _forget_holes(self) -> None:
        del self.state.holes[:-LARGEST_HOLES]

    def _advance(self) -> None:
        state = self.state
        while state.expected in state.ahead:
            end_ms = state.ahead.pop(state.expected)
            state.time_ms = max(end_ms, end_ms if state.time_ms is None else state.time_ms)
            state.expected += 1

    def _waited_enough(self) -> bool:
        if self.state.newest_ms is None or len(self.state.ahead) > LARGEST_WAIT:
            return True
        reached = min(self.state.ahead.values()) if self.state.time_ms is None else self.state.time_ms
        return self.state.newest_ms - reached > self.patience_ms
