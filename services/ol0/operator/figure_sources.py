"""Sources of the figures of a run that are on no topic."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Sources:
    """What to ask, and whom. Each is called with every look, from any thread, and answers at once.

    Attributes:
        decisions: how many decisions the traffic has sent.
        planned: how many it will send.
        feedback: how many feedback records it has sent.
        restarts: how often each service was started again.
    """

    decisions: Callable[[], int]
    planned: int
    feedback: Callable[[], int] = lambda: 0
    restarts: Callable[[], Mapping[str, int]] = dict
