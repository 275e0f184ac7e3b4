"""Decisions that belong together, put together: a session is the unit of every comparison of arms."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from itertools import accumulate, pairwise
from typing import Final, Generic, TypeVar

import numpy as np

from ol0.statistics.columns import Column, Row, pack_columns, pack_integers, unpack_columns, unpack_integers

Item = TypeVar("Item")

OPEN_SESSIONS: Final = 400_000
"""Sessions that are open at once: 5,000 a second with a gap of a minute, and a third more. Some 150 MB."""
SESSION_DECISIONS: Final = 10_000
"""Of one session. No person gets so far; a name that never falls silent must not fill the memory."""
DIGEST_BYTES: Final = 8
"""Among 400,000 open sessions two are taken for one by chance once in 200 million."""


@dataclass(frozen=True)
class Session(Generic[Item]):
    """One complete session.

    Attributes:
        items: one per decision, in the order of arrival, which within a session is the order of sequence.
        end_ms: event time at which its last decision's feedback window closed.
    """

    items: tuple[Item, ...]
    end_ms: int


@dataclass(frozen=True)
class OpenSessions:
    """All open sessions, by (end, digest), in columns; see ``ol0.statistics.columns``.

    ``ends`` are differences, each to the one before; ``sizes`` says how many of the rows are whose.
    """

    digests: str
    ends: str
    sizes: str
    columns: list[Column]
    closed_early: int


@dataclass(slots=True)
class _Open(Generic[Item]):
    end_ms: int
    items: list[Item]


class SessionCollector(Generic[Item]):
    """Collects decisions until their session has been silent for a while.

    Silence is measured between the ends of feedback windows, for that is the time in which outcomes come: every window
    is equally long, so two outcomes are as far apart as their decisions were. A session that speaks again after the gap
    counts as another one.

    Of a session's name only a digest is kept, so names cost nothing however long they are. The memory is bounded: where
    more than ``largest`` sessions are open, the oldest are complete early, and ``closed_early`` counts them; and one
    that never falls silent is another one after ``SESSION_DECISIONS``.

    Args:
        gap_ms: silence after which a session is complete, in milliseconds of event time.
        largest: sessions that may be open at once.

    >>> collector = SessionCollector[str](gap_ms=60_000)
    >>> collector.add("ann", 1_000, "first")
    >>> collector.add("ann", 31_000, "second")
    >>> collector.due(90_000)
    []
    >>> collector.due(91_000)
    [Session(items=('first', 'second'), end_ms=31000)]
    """

    def __init__(self, gap_ms: int, largest: int = OPEN_SESSIONS) -> None:
        self.gap_ms, self._largest = gap_ms, largest
        self.closed_early = 0
        self._open: dict[bytes, _Open[Item]] = {}
        # An entry for each session, at an end that it had; where it has gone on since, it is put back when it comes up.
        self._ends: list[tuple[int, bytes]] = []

    def __len__(self) -> int:
        """How many sessions are open."""
        return len(self._open)

    def add(self, key: str, end_ms: int, item: Item) -> None:
        """Take one decision, whose feedback window ended at ``end_ms``."""
        digest = _digest(key.encode())
        known = self._open.get(digest)
        if known is not None and len(known.items) < SESSION_DECISIONS:
            known.items.append(item)
            known.end_ms = max(known.end_ms, end_ms)
            return
        if known is not None:
            self._put(_digest(digest + known.end_ms.to_bytes(DIGEST_BYTES, "big", signed=True)), known)
        self._put(digest, _Open(end_ms, [item]))

    def due(self, now_ms: int) -> list[Session[Item]]:
        """The sessions that are complete at this event time, by (end, digest), so that no partition's haste shows."""
        complete = []
        while self._ends and (self._ends[0][0] + self.gap_ms <= now_ms or len(self._open) > self._largest):
            end_ms, digest = heapq.heappop(self._ends)
            one = self._open.get(digest)
            if one is None:
                continue
            if one.end_ms != end_ms:
                heapq.heappush(self._ends, (one.end_ms, digest))
                continue
            del self._open[digest]
            self.closed_early += end_ms + self.gap_ms > now_ms
            complete.append(Session(tuple(one.items), end_ms))
        return complete

    def snapshot(self, encode: Callable[[Item], Row]) -> OpenSessions:
        """The open sessions; ``restore`` continues from them. Rows are equally long, their columns of one kind each."""
        digests = np.frombuffer(b"".join(self._open), ">u8").astype(np.uint64)
        known = list(self._open.values())
        ends = np.array([one.end_ms for one in known], np.int64)
        order = np.lexsort((digests, ends))
        ordered = [known[place] for place in order.tolist()]
        return OpenSessions(
            digests=pack_integers(digests[order]),
            ends=pack_integers(np.diff(ends[order], prepend=0)),
            sizes=pack_integers(np.array([len(one.items) for one in ordered], np.int64)),
            columns=pack_columns(encode(item) for one in ordered for item in one.items),
            closed_early=self.closed_early,
        )

    def restore(self, snapshot: OpenSessions, decode: Callable[[Row], Item]) -> None:
        """Forget what is open and take the sessions of ``snapshot`` instead.

        Raises:
            ValueError: the snapshot cannot be read.
        """
        self._open, self.closed_early = _unpack(snapshot, decode), snapshot.closed_early
        self._ends = [(one.end_ms, digest) for digest, one in self._open.items()]
        heapq.heapify(self._ends)

    def _put(self, digest: bytes, one: _Open[Item]) -> None:
        self._open[digest] = one
        heapq.heappush(self._ends, (one.end_ms, digest))


def _digest(name: bytes) -> bytes:
    return blake2b(name, digest_size=DIGEST_BYTES).digest()


def _unpack(snapshot: OpenSessions, decode: Callable[[Row], Item]) -> dict[bytes, _Open[Item]]:
    digests = unpack_integers(snapshot.digests, "<u8")
    ends = accumulate(unpack_integers(snapshot.ends, "<i8"))
    items = [decode(row) for row in unpack_columns(snapshot.columns)]
    bounds = list(accumulate(unpack_integers(snapshot.sizes, "<i8"), initial=0))
    if bounds[-1] != len(items):
        raise ValueError(f"sessions of {bounds[-1]} decisions, but {len(items)} rows")
    return {
        digest.to_bytes(DIGEST_BYTES, "big"): _Open(end_ms, items[first:last])
        for digest, end_ms, (first, last) in zip(digests, ends, pairwise(bounds), strict=True)
    }
