"""What can happen to a call of the store: the process dies before or after it, or the reply is lost."""

from collections import deque
from collections.abc import Callable
from enum import Enum

from redis import Redis

from ol0.pending import Pending
from ol0.replay.script_runner import Command, Scripts, script_source

APPLY, COMMIT = script_source("apply"), script_source("commit")


class KilledError(Exception):
    """The process ends here."""


class Fate(Enum):
    """What becomes of one call, or of commands that are sent together."""

    WELL = "it runs, and the caller hears of it"
    KILLED_BEFORE = "the process ends, and the script never ran"
    KILLED_BETWEEN = "the process ends, and of commands that were sent together the first half has run"
    KILLED_AFTER = "the process ends, and the script has run"
    REPLY_LOST = "the script has run, and the client library sends the same call again"


class CrashingScripts(Scripts):
    """Scripts of a process to which everything happens. ``repeats`` collects scripts and the answers to
    repeated calls of them.

    ``fates`` are those of the next calls, of whatever process; behind them all is well. ``meanwhile`` is what other
    processes do between the listing of due windows and their commit.
    """

    def __init__(
        self, client: Redis, prefix: str, fates: deque[Fate], meanwhile: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(client, prefix)
        self._fates = fates
        self._meanwhile = meanwhile
        self.repeats: list[tuple[object, object, object]] = []

    def send(self, *commands: Command) -> Pending[list[object]]:
        if COMMIT in (command[1] for command in commands):
            self._meanwhile()
        fate = self._fates.popleft() if self._fates else Fate.WELL
        if fate in (Fate.KILLED_BEFORE, Fate.KILLED_BETWEEN):
            if fate is Fate.KILLED_BETWEEN and len(commands) > 1:
                super().send(*commands[: len(commands) // 2]).wait()
            raise KilledError
        sent = super().send(*commands)
        sent.wait()  # the store has run it before anything else happens, so that trials can be repeated
        if fate is Fate.KILLED_AFTER:
            raise KilledError
        if fate is Fate.REPLY_LOST:
            first, sent = sent, super().send(*commands)
            self.repeats += zip((command[1] for command in commands), first.result(), sent.result(), strict=True)
        return sent
