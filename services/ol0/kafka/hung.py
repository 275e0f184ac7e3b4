"""Calls that do not come back."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer


@contextmanager
def must_return(call: str, within_s: float) -> Iterator[None]:
    """Ends the process where what stands inside takes longer, so that its supervisor starts it again.

    For calls that have a limit of their own and were seen not to keep it: librdkafka's ``send_offsets_to_transaction``
    after all brokers had died. Nothing else helps: the thread that waits cannot be woken.

    Args:
        call: what it is, for the last line.
        within_s: well beyond the call's own limit, in seconds.
    """
    timer = Timer(
        within_s, _end, (f"ol0: {call}: did not come back within {within_s:g} s; ending, to be started again",)
    )
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _end(words: str) -> None:
    sys.stderr.write(f"{words}\n")
    sys.stderr.flush()
    os._exit(1)
