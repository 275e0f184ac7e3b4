"""What time it is, by the brokers and not by this host."""

import time
from collections.abc import Callable

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Message


class BrokerTime:
    """The newest time at which a broker has appended a record, and the seconds that have passed since one heard of it.

    A host's clock may be an hour ahead; it is not asked. What passes is measured by a monotonic clock.
    Producers' times (topics with ``CreateTime``) are hosts' clocks too, and say nothing here.

    Args:
        monotonic: seconds since some moment.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._newest_ms: int | None = None
        self._heard_at = 0.0

    @property
    def now_ms(self) -> int | None:
        """Milliseconds since 1970 UTC, never less than before; None as long as no time was heard of."""
        if self._newest_ms is None:
            return None
        return self._newest_ms + int((self._monotonic() - self._heard_at) * 1000)

    def hear(self, message: Message) -> None:
        """Takes the time of a message that was read, or whose delivery is reported."""
        kind, time_ms = message.timestamp()
        if kind == TIMESTAMP_LOG_APPEND_TIME:
            self.note(time_ms)

    def note(self, time_ms: int) -> None:
        """Takes a time, unless a later one is known."""
        now_ms = self.now_ms
        if now_ms is None or time_ms > now_ms:
            self._newest_ms, self._heard_at = time_ms, self._monotonic()
