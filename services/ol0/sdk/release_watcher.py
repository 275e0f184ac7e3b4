"""Follows the releases topic in a background thread."""

import threading
import time
from collections.abc import Callable
from typing import Protocol

from ol0.observability.log_throttle import LogThrottle
from ol0.records import ServingState

POLL_S = 0.1
"""Longest wait in one poll: how late the thread may notice that it is to stop."""
RETRY_S = 1.0
"""Pause after a failure, so that a broken client does not spin."""
STALE_S = 60.0
"""Age of what serves from which on the log says so. An outage of Kafka stops no host, but an operator should know."""
STOP_S = 5.0
"""Longest wait for the thread to end: it may be giving back a connection to a broker that is gone."""


class Latest(Protocol):
    """The newest good serving state, as ``LatestValue`` keeps it. Used by one thread at a time."""

    @property
    def value(self) -> ServingState | None:
        """The newest one; None before the first, or before its topic is read to the end."""
        ...

    @property
    def caught_up(self) -> bool:
        """Whether the topic has been read to its end."""
        ...

    @property
    def current_at_s(self) -> float | None:
        """The last moment, by ``time.monotonic``, at which ``value`` was known to be the newest; None: never."""
        ...

    def poll(self, timeout_s: float) -> bool:
        """Looks for a newer one; says whether there is."""
        ...

    def close(self) -> None:
        """Gives the connection back."""
        ...


class ReleaseWatcher:
    """Hands every newer state to ``take``, which may refuse it; where it raises, the state comes again.

    Nothing that happens here may reach the host: every failure is logged and retried, and the former state serves.

    Args:
        latest: belongs to the thread from ``start`` on. In a forked child it is neither used nor freed, for the frame
            of the thread still holds it there.
        take: makes a state visible.
        notes: logs what fails.
        since_s: when what serves was current before this follower, by ``time.monotonic``; None: never.
    """

    def __init__(
        self, latest: Latest, take: Callable[[ServingState], None], notes: LogThrottle, since_s: float | None = None
    ) -> None:
        self._latest = latest
        self._take = take
        self._notes = notes
        self._since_s = since_s
        self._began_s = time.monotonic()
        self._new: ServingState | None = None
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ol0-releases", daemon=True)

    @property
    def current_at_s(self) -> float | None:
        """The last moment, by ``time.monotonic``, at which what serves was known to be the newest; None: never."""
        current_at_s = self._latest.current_at_s
        return self._since_s if current_at_s is None else current_at_s

    def start(self, wait_s: float) -> bool:
        """Starts to follow; says whether the topic was read to its end within ``wait_s``."""
        self._thread.start()
        return self._ready.wait(wait_s)

    def stop(self) -> None:
        """Ends the thread and gives the connection back."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(STOP_S)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._follow()
            except Exception as error:  # noqa: BLE001 - a host is served whatever fails here
                self._notes.note("cannot follow releases", f"{type(error).__name__}: {error}; the last one serves on")
                self._stop.wait(RETRY_S)
        self._latest.close()

    def _follow(self) -> None:
        if self._latest.poll(POLL_S):
            self._new = self._latest.value
        if self._new is not None:  # from an earlier round too, where Kafka did not answer for its chunks
            self._take(self._new)
            self._new = None
        if self._latest.caught_up:
            self._ready.set()
        current_at_s = self.current_at_s
        age_s = time.monotonic() - (self._began_s if current_at_s is None else current_at_s)
        if age_s > STALE_S and self._notes.due:
            self._notes.note("no news of releases", f"for {age_s:,.0f} s; what served then serves on")
