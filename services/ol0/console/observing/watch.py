"""The one thread that looks at the lineage; the page shows what it has seen."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Self

import structlog

from ol0.clock import wall_clock_ms
from ol0.console.observing.knowledge import Knowledge
from ol0.console.observing.picture import Part, Picture, Trouble
from ol0.console.observing.sources import Sources
from ol0.errors import OL0Error, flaw_of
from ol0.records import Partition

if TYPE_CHECKING:
    from ol0.kafka.topic_readers.log_reader import LogReader

PROBE_EVERY_S: Final = 5.0
STORE_EVERY_S: Final = 3.0
ENDS_EVERY_S: Final = 5.0
HOLDUPS_EVERY_S: Final = 15.0
LETTERS_EVERY_S: Final = 10.0
PUBLISH_EVERY_S: Final = 0.5
PAUSE_S: Final = 0.5
"""Between two rounds while there is nothing to follow."""
STOP_S: Final = 15.0


class Watch:
    """Follows the topics and asks broker and store, in a thread of its own.

    A context manager: entering starts the thread, leaving ends it. Whatever is out of reach is a trouble of the
    picture, and is tried again; the last known state stays. ``picture`` and ``revision`` may be read by any thread.

    Args:
        sources: what it asks.
        clock: seconds, for the distances between two questions.
        clock_ms: the wall clock.
    """

    def __init__(
        self,
        sources: Sources,
        *,
        clock: Callable[[], float] = time.monotonic,
        clock_ms: Callable[[], int] = wall_clock_ms,
    ) -> None:
        self._sources, self._clock, self._clock_ms = sources, clock, clock_ms
        self._picture, self._revision = Picture(), 0
        self._troubles: dict[Part, Trouble] = {}
        self._due: dict[str, float] = {}
        self._follower: LogReader | None = None
        self._knowledge = Knowledge()
        self._is_new = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stop.set()
        self._thread.join(STOP_S)

    @property
    def picture(self) -> Picture:
        """What is known now."""
        return self._picture

    @property
    def revision(self) -> int:
        """Grows with every picture that differs from the one before."""
        return self._revision

    def look(self) -> None:
        """One round: each question whose time has come, then what the topics brought."""
        before = self._picture
        if self._is_due("probe", PROBE_EVERY_S):
            self._try(Part.BROKER, self._sources.probe)
        if self._is_due("store", STORE_EVERY_S):
            self._try(Part.STORE, self._read_store)
        if Part.BROKER not in self._troubles:
            self._ask_broker()
        self._tell_troubles()
        self._revision += self._picture != before

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - an old page must not look like a new one
                structlog.get_logger("ol0.console").exception("the watch failed; it starts over")
                self._let_go()
                self._fail(flaw_of(error))
            if self._follower is None:
                self._stop.wait(PAUSE_S)
        self._let_go()

    def _ask_broker(self) -> None:
        self._try(Part.TOPICS, self._follow)
        if self._is_due("ends", ENDS_EVERY_S):
            self._read_ends()
        if self._is_due("holdups", HOLDUPS_EVERY_S):
            self._read_holdups()
        if Part.TOPICS not in self._troubles and self._is_due("letters", LETTERS_EVERY_S):
            self._try(Part.LETTERS, self._read_letters)

    def _follow(self) -> None:
        """Reads what came. After an error everything is read once more, for the reader may have lost its places."""
        if self._follower is None:
            self._follower, self._knowledge = self._sources.follow(), Knowledge()
        try:
            records = self._follower.poll()
        except OL0Error:
            self._let_go()
            raise
        for _, record, _ in records:
            self._knowledge.add(record)
        caught_up = self._follower.caught_up
        self._is_new |= bool(records) or caught_up is not self._picture.caught_up
        if self._is_new and caught_up and self._is_due("publish", PUBLISH_EVERY_S):
            self._is_new = False
            self._picture = replace(self._picture, known=self._knowledge.known(), caught_up=True)

    def _read_store(self) -> None:
        self._picture = replace(self._picture, stats=self._sources.stats())

    def _read_letters(self) -> None:
        self._picture = replace(self._picture, letters=self._sources.letters())

    def _read_ends(self) -> None:
        stats = self._picture.stats
        places = {place for loop in self._picture.known.places for place in loop.offsets}
        places |= set() if stats is None else {Partition.parse(it.name) for it in stats.partitions}
        with suppress(OL0Error):
            self._picture = replace(self._picture, ends=dict(self._sources.ends(places)) if places else {})

    def _read_holdups(self) -> None:
        """Only where the store is read: what it said before is no reason now."""
        stats = self._picture.stats
        if stats is None or Part.STORE in self._troubles:
            return
        with suppress(OL0Error):
            self._picture = replace(self._picture, holdups=dict(self._sources.holdups(stats)))

    def _try(self, part: Part, action: Callable[[], None]) -> None:
        """Notes since when something is out of reach, and that it is back."""
        try:
            action()
        except OL0Error as error:
            since_ms = self._troubles[part].since_ms if part in self._troubles else self._clock_ms()
            self._troubles[part] = Trouble(part, since_ms, str(error))
        else:
            self._troubles.pop(part, None)

    def _is_due(self, name: str, every_s: float) -> bool:
        now_s = self._clock()
        if now_s < self._due.get(name, now_s):
            return False
        self._due[name] = now_s + every_s
        return True

    def _tell_troubles(self) -> None:
        troubles = tuple(self._troubles[part] for part in Part if part in self._troubles)
        if troubles != self._picture.troubles:
            self._picture = replace(self._picture, troubles=troubles)

    def _fail(self, text: str) -> None:
        """Tells of a fault of the console itself, until a round goes well."""
        trouble = Trouble(Part.TOPICS, self._clock_ms(), f"a fault of the console, whose log has the details: {text}")
        self._troubles[Part.TOPICS] = self._troubles.get(Part.TOPICS, trouble)
        self._tell_troubles()
        self._revision += 1

    def _let_go(self) -> None:
        if self._follower is not None:
            self._follower.close()
            self._follower = None
