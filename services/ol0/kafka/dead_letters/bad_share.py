"""When bad records are no accident any more: above a share it is said; where nothing is right, a service stops."""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Final

import structlog

from ol0.errors import SignatureError, StreamError
from ol0.kafka.dead_letters.writer import DeadLetter
from ol0.wire.topics import Topics

WINDOW: Final = 1_000
"""Records of a topic that the share is taken of."""
FEW: Final = 100
"""While there were fewer, the share is one of so many: a few bad ones at the start are no alarm."""
AGAIN_S: Final = 60.0
"""How long a lasting alarm is silent."""
HOPELESS_S: Final = 60.0
"""How long, and through at least ``WINDOW`` records, a vital topic may bring none that can be used."""
VITAL: Final = frozenset({"decisions", "outcomes"})
"""What all others are about, and what always comes from several writers: they are not all wrong at once."""


@dataclass(slots=True)
class _Watched:
    """One topic: the numbers of its bad records among the last ones, and what came since the last good one."""

    seen: int = 0
    bad: deque[int] = field(default_factory=deque)
    in_a_row: int = 0
    row_began_s: float = 0.0
    silent_until_s: float = -inf


class BadRecords:
    """Watches, topic by topic, how many records cannot be used.

    Each of them is a dead letter, so nothing is lost by continuing, and a mistake of one producer is no reason to stop
    what the others send. Above the allowed share an error is logged, once a minute while it lasts. Only where not one
    record of decisions or outcomes can be used, for a minute and through a thousand of them, is the fault not one
    producer's: the service reads with another version or another base than they write, and what comes next is better
    off on the log. Records without a trusted signature do not count: any client can write those.

    Args:
        topics: of the lineage.
        limit: the share of a topic's last 1,000 records that may be bad, 0 to 1.
        clock: seconds since some moment.
    """

    def __init__(self, topics: Topics, limit: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._topics = topics
        self._limit = limit
        self._clock = clock
        self._watched: dict[str, _Watched] = {}
        self._log = structlog.get_logger("ol0.bad_records")

    def count(self, usable: Mapping[str, int], letters: Sequence[DeadLetter]) -> None:
        """Takes in one batch.

        Args:
            usable: records that were used, by full topic name; ticks are none.
            letters: the others.

        Raises:
            StreamError: nothing of a vital topic can be used.
        """
        bad: dict[str, list[DeadLetter]] = {}
        for letter in letters:
            if not isinstance(letter.error, SignatureError):
                bad.setdefault(letter.topic, []).append(letter)
        for topic in usable.keys() | bad.keys():
            watched = self._watched.setdefault(topic, _Watched())
            found = bad.get(topic, [])
            self._note(watched, usable.get(topic, 0), len(found))
            if found:
                self._alarm(watched, found[0])
                self._refuse_hopeless(watched, found[0])

    def _note(self, watched: _Watched, good: int, bad: int) -> None:
        watched.seen += good + bad
        watched.bad.extend([watched.seen] * bad)
        while watched.bad and watched.bad[0] <= watched.seen - WINDOW:
            watched.bad.popleft()
        if good:
            watched.in_a_row = 0
        elif bad:
            if not watched.in_a_row:
                watched.row_began_s = self._clock()
            watched.in_a_row += bad

    def _alarm(self, watched: _Watched, first: DeadLetter) -> None:
        of_last = min(max(watched.seen, FEW), WINDOW)
        if len(watched.bad) <= self._limit * of_last or self._clock() < watched.silent_until_s:
            return
        watched.silent_until_s = self._clock() + AGAIN_S
        self._log.error(
            "many records of a topic cannot be used, they are in its dead letters: `ol0 dlq list`",
            topic=first.topic,
            share=f"{len(watched.bad)} of the last {min(watched.seen, WINDOW):,}",
            allowed=f"streaming.bad_record_share = {self._limit:g}",
            first=first.place,
            reason=str(first.error),
        )

    def _refuse_hopeless(self, watched: _Watched, first: DeadLetter) -> None:
        lasted_s = self._clock() - watched.row_began_s
        if self._topics.logical(first.topic) in VITAL and watched.in_a_row >= WINDOW and lasted_s >= HOPELESS_S:
            raise StreamError(
                f"not one of {watched.in_a_row:,} records of {first.topic} in {lasted_s:.0f} s could be used, "
                f"{first.place} because of this: {first.error}. Is this service of another version than those that "
                "write them, or is serving.base another base? Put that right, then start again; `ol0 dlq list` shows "
                "those that were put aside"
            )
