"""What can happen to a call of the store: the process dies before or after it, or the reply is lost."""

from collections import deque
from collections.abc import Callable
from enum import Enum

from redis import Redis

from ol0.replay.lua import Argument, Scripts


class KilledError(Exception):
    """The process ends here."""


class Fate(Enum):
    """What becomes of one call."""

    WELL = "it runs, and the caller hears of it"
    KILLED_BEFORE = "the process ends, and the script never ran"
    KILLED_AFTER = "the process ends, and the script has run"
    REPLY_LOST = "the script has run, and the client library sends the same call again"


class CrashingScripts(Scripts):
    """Scripts of a process to which everything happens. ``repeats`` collects the answers to repeated calls.

    ``fates`` are those of the next calls, of whatever process; behind them all is well. ``meanwhile`` is what other
    processes do between the listing of due windows and their commit.
    """

    def __init__(
        self, client: Redis, prefix: str, fates: deque[Fate], meanwhile: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(client, prefix)
        self._fates = fates
        self._meanwhile = meanwhile
        self.repeats: list[tuple[str, object, object]] = []

    def call(self, name: str, *arguments: Argument) -> list[object]:
        if name == "commit":
            self._meanwhile()
        fate = self._fates.popleft() if self._fates else Fate.WELL
        if fate is Fate.KILLED_BEFORE:
            raise KilledError
        reply = super().call(name, *arguments)
        if fate is Fate.KILLED_AFTER:
            raise KilledError
        if fate is Fate.REPLY_LOST:
            first, reply = reply, super().call(name, *arguments)
            self.repeats.append((name, first[0], reply[0]))
        return reply
