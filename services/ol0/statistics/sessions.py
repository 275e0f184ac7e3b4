"""Decisions that belong together, put together: a session is the unit of every comparison of arms."""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeAlias, TypedDict, TypeVar

Item = TypeVar("Item")
Row: TypeAlias = list[bool | int | float | str | None]

# Outcomes that may wait for an earlier one of another partition: eight polls' worth, 30 kB of snapshot at the worst.
LARGEST_WAIT: Final = 4_096


@dataclass(frozen=True)
class Session(Generic[Item]):
    """One complete session.

    Attributes:
        key: what its decisions have in common.
        items: one per decision, in the order of arrival, which within a session is the order of sequence.
        end_ms: event time at which its last decision's feedback window closed.
    """

    key: str
    items: tuple[Item, ...]
    end_ms: int


class OpenSession(TypedDict):
    """A session that goes on, in plain JSON values."""

    key: str
    end_ms: int
    items: list[Row]


class SessionCollector(Generic[Item]):
    """Collects decisions until their session has been silent for a while.

    Silence is measured between the ends of feedback windows, for that is the time in which outcomes come: every window
    is equally long, so two outcomes are as far apart as their decisions were. A session that speaks again after the gap
    counts as another one.

    Args:
        gap_ms: silence after which a session is complete, in milliseconds of event time.

    >>> collector = SessionCollector[str](gap_ms=60_000)
    >>> collector.add("ann", 1_000, "first")
    >>> collector.add("ann", 31_000, "second")
    >>> collector.due(90_000)
    []
    >>> collector.due(91_000)
    [Session(key='ann', items=('first', 'second'), end_ms=31000)]
    """

    def __init__(self, gap_ms: int) -> None:
        self.gap_ms = gap_ms
        self._open: dict[str, tuple[int, list[Item]]] = {}
        # One entry for each decision; where a later one of the session overtook it, it is skipped when it comes up.
        self._ends: list[tuple[int, str]] = []

    def __len__(self) -> int:
        """How many sessions are open."""
        return len(self._open)

    def add(self, key: str, end_ms: int, item: Item) -> None:
        """Take one decision, whose feedback window ended at ``end_ms``."""
        last_ms, items = self._open.get(key, (end_ms, []))
        items.append(item)
        self._open[key] = (max(last_ms, end_ms), items)
        heapq.heappush(self._ends, (max(last_ms, end_ms), key))

    def due(self, now_ms: int) -> list[Session[Item]]:
        """The sessions that are complete at this event time, by (end, key), so that no partition's haste shows."""
        complete = []
        while self._ends and self._ends[0][0] + self.gap_ms <= now_ms:
            end_ms, key = heapq.heappop(self._ends)
            if key in self._open and self._open[key][0] == end_ms:
                complete.append(Session(key, tuple(self._open.pop(key)[1]), end_ms))
        return complete

    def snapshot(self, encode: Callable[[Item], Row]) -> list[OpenSession]:
        """The open sessions, by key; ``restore`` goes on from them."""
        return [
            OpenSession(key=key, end_ms=end_ms, items=[encode(item) for item in items])
            for key, (end_ms, items) in sorted(self._open.items())
        ]

    def restore(self, snapshot: Sequence[OpenSession], decode: Callable[[Row], Item]) -> None:
        """Forget what is open and take the sessions of ``snapshot`` instead."""
        self._open = {one["key"]: (one["end_ms"], [decode(row) for row in one["items"]]) for one in snapshot}
        self._ends = [(end_ms, key) for key, (end_ms, _) in self._open.items()]
        heapq.heapify(self._ends)


class ClockSnapshot(TypedDict):
    """The whole state of an ``OutcomeClock`` in plain JSON values."""

    expected: int
    time_ms: int | None
    newest_ms: int | None
    tick_ms: int | None
    ahead: list[tuple[int, int]]


class OutcomeClock:
    """How far event time has come, over partitions that arrive interleaved; and which outcomes are repeats.

    Outcomes are numbered without holes from 0 on, in the order in which their windows closed. Event time is therefore
    the end of the last window up to which *every* outcome is here. The largest end would run ahead while one partition
    is read before another, as in every catching up, and would cut the sessions of the slower one.

    An outcome that does not come (it went to the dead letters) is given up when the newest is ``patience_ms`` ahead, or
    ``LARGEST_WAIT`` outcomes wait. What comes after that counts as a repeat.

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

    @property
    def now_ms(self) -> int | None:
        """The event time; None before there is any."""
        known = [time for time in (self._time_ms, None if self._ahead else self._tick_ms) if time is not None]
        return max(known, default=None)

    def take(self, sequence: int, end_ms: int) -> bool:
        """Whether this outcome is new; if so, time moves as far as it may."""
        if sequence < self._expected or sequence in self._ahead:
            return False
        self._ahead[sequence] = end_ms
        self._newest_ms = max(end_ms, end_ms if self._newest_ms is None else self._newest_ms)
        self._advance()
        while self._ahead and self._waited_enough():
            self._expected = min(self._ahead)
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
        )

    def restore(self, snapshot: ClockSnapshot) -> None:
        """Take the state of ``snapshot``."""
        self._expected, self._time_ms = snapshot["expected"], snapshot["time_ms"]
        self._newest_ms, self._tick_ms = snapshot["newest_ms"], snapshot["tick_ms"]
        self._ahead = dict(snapshot["ahead"])

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
