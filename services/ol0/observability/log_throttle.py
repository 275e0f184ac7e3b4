"""Logs what may happen thousands of times in one line a minute."""

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Final

EVERY_S: Final = 60.0
HEARD: Final = 10_000
"""LogThrottle kept between two lines; of more the oldest are forgotten."""


class LogThrottle:
    """The first note is logged at once; what comes within the next minute is one line, with how often each kind came.

    It goes to a logger of the standard library, which the host of the SDK configures as it likes. May be used from
    several threads, and takes no lock: librdkafka's callbacks use it, and what is raised there must leave none taken.
    """

    def __init__(self, logger: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._logger = logger
        self._clock = clock
        self._heard: deque[tuple[str, int, str, int]] = deque(maxlen=HEARD)
        self._due_s = clock()

    @property
    def due(self) -> bool:
        """Whether a note would be logged at once."""
        return self._clock() >= self._due_s

    def note(self, kind: str, text: str, level: int = logging.WARNING, count: int = 1) -> None:
        """Notes that something happened ``count`` times."""
        self._heard.append((kind, level, text, count))
        if self.due:
            self.tell()

    def clear(self) -> None:
        """In a forked child: what its parent has heard is the parent's to tell."""
        self._heard.clear()

    def tell(self) -> None:
        """Logs all pending notes, due or not."""
        counts: dict[str, int] = {}
        texts: dict[str, str] = {}
        level = logging.NOTSET
        while self._heard:
            try:
                kind, its_level, text, count = self._heard.popleft()
            except IndexError:  # another thread tells the rest
                break
            counts[kind] = counts.get(kind, 0) + count
            texts[kind] = text
            level = max(level, its_level)
        if counts:
            self._due_s = self._clock() + EVERY_S
            line = "; ".join(f"{kind} ({count:,}): {texts[kind]}" for kind, count in counts.items())
            self._logger.log(level, "%s", line)
