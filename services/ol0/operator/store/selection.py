"""Which decisions an operator means: those of a user, or of a time."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from ol0.errors import ConfigError
from ol0.records import Decision
from ol0.replay.exclusion import Matches
from ol0.wire.payloads import Payloads


@dataclass(frozen=True, slots=True)
class Selection:
    """Decisions of one user, or of a time; of both where both are given.

    Attributes:
        pseudonym: of the user; None: any.
        from_ms: the earliest event time.
        to_ms: the event time before which they were made; None: any.
    """

    pseudonym: str | None = None
    from_ms: int = 0
    to_ms: int | None = None

    @classmethod
    def between(cls, begin: str, end: str) -> Self:
        """Decisions from ``begin`` on and before ``end``: ISO 8601 (UTC where no zone is given), or milliseconds.

        Raises:
            ConfigError: one is neither, or they are in the wrong order.
        """
        from_ms, to_ms = _milliseconds(begin), _milliseconds(end)
        if from_ms >= to_ms:
            raise ConfigError(f"--between {begin} {end}: the first has to lie before the second")
        return cls(from_ms=from_ms, to_ms=to_ms)

    def __contains__(self, decision: Decision) -> bool:
        in_time = self.from_ms <= decision.time_ms and (self.to_ms is None or decision.time_ms < self.to_ms)
        return in_time and self.pseudonym in (None, decision.user)

    def matches(self, payloads: Payloads) -> Matches:
        """The same, of payloads."""
        return lambda payload: payloads.unpack(payload) in self


def _milliseconds(text: str) -> int:
    if text.isdecimal():
        return int(text)
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{text!r}: a time is written as 2026-03-01T12:00 (UTC), or in milliseconds") from None
    return round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)
