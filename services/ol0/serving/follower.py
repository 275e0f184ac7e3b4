"""Follows the releases topic in a background thread."""

import threading
from collections.abc import Callable
from typing import Protocol

import structlog

from ol0.records import ServingState

POLL_S = 0.1
"""Longest wait in one poll: how late the thread may notice that it is to stop."""
RETRY_S = 1.0
"""Pause after a failure, so that a broken client does not spin."""


class Latest(Protocol):
    """The newest good serving state, as ``streaming.table.LatestValue`` keeps it. Used by one thread at a time."""

    @property
    def value(self) -> ServingState | None:
        """The newest one; None while there is none."""
        ...

    @property
    def caught_up(self) -> bool:
        """Whether the topic has been read to its end once."""
        ...

    def poll(self, timeout_s: float) -> bool:
        """Looks for a newer one; says whether there is."""
        ...

    def close(self) -> None:
        """Gives the connection back."""
        ...


class Follower:
    """Hands every newer state to ``take``, which may refuse it but must not raise.

    Nothing that happens here may reach the host: whatever fails is logged and tried again, and what served goes on.
    """

    def __init__(self, latest: Latest, take: Callable[[ServingState], None]) -> None:
        self._latest = latest
        self._take = take
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ol0-releases", daemon=True)

    def start(self, wait_s: float) -> bool:
        """Starts to follow; says whether the topic was read to its end within ``wait_s``."""
        self._thread.start()
        return self._ready.wait(wait_s)

    def stop(self) -> None:
        """Ends the thread and gives the connection back."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        log = structlog.get_logger("ol0.serving")
        while not self._stop.is_set():
            try:
                self._follow()
            except Exception:
                # A host is served whatever fails here.
                log.exception("cannot follow releases; the last good one serves on")
                self._stop.wait(RETRY_S)
        self._latest.close()

    def _follow(self) -> None:
        # Before the end is reached a value may be an old one: it must not serve even for a moment.
        newer = self._latest.poll(POLL_S)
        if not self._latest.caught_up:
            return
        state = self._latest.value
        if (newer or not self._ready.is_set()) and state is not None:
            self._take(state)
        self._ready.set()
