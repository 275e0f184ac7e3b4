"""What has to start over in a forked child: neither threads nor librdkafka's clients are there."""

import os
import weakref
from collections.abc import Callable


def call_in_children(method: Callable[[], None]) -> None:
    """Calls a bound method first thing in every child that is forked from now on, for as long as its object lives."""
    reference = weakref.WeakMethod(method)

    def call() -> None:
        if (alive := reference()) is not None:
            alive()

    os.register_at_fork(after_in_child=call)
