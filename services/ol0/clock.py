"""The wall clock, as it is passed in wherever time is needed."""

import time


def wall_clock_ms() -> int:
    """Milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000
