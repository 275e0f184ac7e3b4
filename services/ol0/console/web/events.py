"""Server-sent events: a line whenever there is something new to see."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Final

from ol0.console.web.desk import Desk

LOOK_S: Final = 0.5
APART_S: Final = 1.0
"""Between two events: people read no faster."""
AT_LEAST_S: Final = 15.0
"""After so long there is one in any case: ages grow, and a connection that is gone shows itself."""
RETRY: Final = "retry: 3000\n\n"


async def events(desk: Desk) -> AsyncIterator[str]:
    """The stream for one page: the revision of what is to be seen, until the console ends."""
    told, told_s = desk.watch.revision, time.monotonic()
    yield RETRY
    while not desk.is_closing():
        await asyncio.sleep(LOOK_S)
        revision, waited_s = desk.watch.revision, time.monotonic() - told_s
        if (revision != told and waited_s >= APART_S) or waited_s >= AT_LEAST_S:
            told, told_s = revision, time.monotonic()
            yield f"data: {revision}\n\n"
