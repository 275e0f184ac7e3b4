"""Round numbers for axes."""

import itertools
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from ol0.operator.text import MINUS

STEPS: Final = (1.0, 2.0, 5.0, 10.0)
SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60 * SECOND_MS
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS
TIME_STEPS_MS: Final = (
    *(n * SECOND_MS for n in (1, 2, 5, 10, 15, 30)),
    *(n * MINUTE_MS for n in (1, 2, 5, 10, 15, 30)),
    *(n * HOUR_MS for n in (1, 2, 3, 6, 12)),
    *(n * DAY_MS for n in (1, 2, 7, 14, 28, 91, 364)),
)


def number_ticks(low: float, high: float, most: int) -> list[float]:
    """At most about ``most`` round numbers within low and high.

    >>> number_ticks(-0.1, 0.36, 5)
    [-0.1, 0.0, 0.1, 0.2, 0.3]
    """
    raw = (high - low) / most
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * factor for factor in STEPS if size * factor >= raw * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 9) for number in range(first, last + 1)]


def time_ticks(first_ms: int, last_ms: int, most: int) -> list[int]:
    """Round moments within first and last, UTC: at most ``most`` of them.

    >>> time_ticks(90_000, 330_000, 5)
    [120000, 180000, 240000, 300000]
    """
    span = last_ms - first_ms
    step = next((step for step in TIME_STEPS_MS if span / step < most), TIME_STEPS_MS[-1])
    return list(range(-(-first_ms // step) * step, last_ms + 1, step))


def time_labels(ticks: Sequence[int]) -> list[str]:
    """Words for moments: dates where they are days apart, else times of day.

    >>> time_labels([0, 60_000]), time_labels([0, 86_400_000]), time_labels([0, 5_000])
    (['00:00', '00:01'], ['1 Jan', '2 Jan'], ['00:00:00', '00:00:05'])
    """
    apart = min((later - earlier for earlier, later in itertools.pairwise(ticks)), default=MINUTE_MS)
    times = [datetime.fromtimestamp(tick / 1000, UTC) for tick in ticks]
    if apart >= DAY_MS:
        return [f"{time.day} {time:%b}" for time in times]
    return [f"{time:%H:%M:%S}" if apart < MINUTE_MS else f"{time:%H:%M}" for time in times]


def percent_labels(ticks: Sequence[float], *, signed: bool) -> list[str]:
    """Whole percents, with decimals only where they are needed to tell ticks apart.

    >>> percent_labels([0.0, 0.1], signed=True), percent_labels([0.5, 0.505], signed=False)
    (['0 %', '+10 %'], ['50.0 %', '50.5 %'])
    """
    digits = 0 if all(abs(tick * 100 - round(tick * 100)) < 1e-6 for tick in ticks) else 1  # noqa: PLR2004 - rounding
    return [_percent(tick, digits, signed=signed) for tick in ticks]


def _percent(value: float, digits: int, *, signed: bool) -> str:
    if signed and not value:
        return "0 %"
    text = f"{value * 100:{'+' if signed else ''}.{digits}f} %"
    return text.replace("-", MINUS)
