"""What can happen to a call of the store: the process dies before or after it, or the reply is lost."""

import random
from collections.abc import Callable

from redis import Redis

from ol0.replay.lua import Argument, Scripts


class KilledError(Exception):
    """The process ends here."""


class CrashingScripts(Scripts):
    """Scripts of a process to which everything happens. ``repeats`` collects the answers to repeated calls.

    ``meanwhile`` is what other processes do between the listing of due windows and their commit.
    """

    def __init__(
        self, client: Redis, prefix: str, rng: random.Random, meanwhile: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(client, prefix)
        self._rng = rng
        self._meanwhile = meanwhile
        self.repeats: list[tuple[str, object, object]] = []

    def call(self, name: str, *arguments: Argument) -> list[object]:
        if name == "commit" and self._rng.random() < 0.3:
            self._meanwhile()
        fate = self._rng.random()
        if fate < 0.02:
            raise KilledError
        reply = super().call(name, *arguments)
        if fate < 0.04:
            raise KilledError
        if fate < 0.10:  # the reply was lost: the client library sends the same call again
            first, reply = reply, super().call(name, *arguments)
            self.repeats.append((name, first[0], reply[0]))
        return reply
