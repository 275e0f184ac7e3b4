"""How many violations in how many checks call for a rollback."""

from collections import deque
from collections.abc import Iterable
from enum import IntEnum
from typing import Final

WINDOW: Final = 20  # checks


class Level(IntEnum):
    """How much of its lift a release has lost for certain."""

    NONE = 0
    WARNING = 1
    CRITICAL = 2
    EMERGENCY = 3


# How many checks of the window must reach a level.
TOLERATED: Final = {Level.WARNING: 5, Level.CRITICAL: 3, Level.EMERGENCY: 1}


class Violations:
    """The last 20 checks: 5 warnings, 3 criticals or 1 emergency are too much. A check counts for all lower levels.

    >>> violations = Violations()
    >>> [violations.note(Level.CRITICAL) for _ in range(3)]
    [False, False, True]
    """

    def __init__(self, levels: Iterable[Level] = ()) -> None:
        self._levels = deque(levels, maxlen=WINDOW)

    def note(self, level: Level) -> bool:
        """Take the result of one check; whether it is too much now."""
        self._levels.append(level)
        return any(self.count(one) >= most for one, most in TOLERATED.items())

    def count(self, level: Level) -> int:
        """How many of the last checks reached a level."""
        return sum(one >= level for one in self._levels)

    def snapshot(self) -> list[Level]:
        """The last checks, oldest first."""
        return list(self._levels)
