"""When bad records are no accident any more."""

from collections import deque
from typing import Final

from ol0.errors import StreamError

WINDOW: Final = 1_000
"""Records that the share is taken of."""


class BadRecordShare:
    """Watches how many of the last 1,000 records could not be used.

    Dead-lettering most of a topic means a wrong topic, schema or version, which a person has to see. Until 1,000
    records were seen the share is still one of 1,000, so that a few bad ones at the start stop nothing.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._bad: deque[int] = deque()
        self._seen = 0

    def count(self, good: int, bad: int) -> None:
        """Takes in one batch.

        Raises:
            StreamError: more than the allowed share was bad.
        """
        self._seen += good + bad
        self._bad.extend([self._seen] * bad)
        while self._bad and self._bad[0] <= self._seen - WINDOW:
            self._bad.popleft()
        if len(self._bad) > self._limit * WINDOW:
            raise StreamError(
                f"{len(self._bad)} of the last {WINDOW:,} records could not be used, streaming.bad_record_share allows "
                f"{self._limit:.0%}: see what they are with `ol0 dlq list`, then start again"
            )
