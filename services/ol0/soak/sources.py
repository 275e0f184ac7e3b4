"""Where the figures of a run come from that stand on no topic."""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from ol0.errors import OL0Error
from ol0.soak.figures import LiftInterval

T = TypeVar("T")


@dataclass(frozen=True)
class Sources:
    """What to ask, and whom.

    Each is called once a second from the observer's thread and should answer within milliseconds. One that raises an
    ``OL0Error`` (its side is away for a moment: runs inject faults) keeps its last value.

    Attributes:
        decisions: how many decisions the traffic has sent.
        planned: how many it will send.
        feedback: how many feedback records it has sent.
        restarts: how often each service was started again.
        store: the counters of the replay store.
        lift: what is known of the lift; None: what the evaluator's snapshot says.
        group_lag: records that the feedback service has not committed yet; None where that is not looked at.
    """

    decisions: Callable[[], int]
    planned: int
    feedback: Callable[[], int] = lambda: 0
    restarts: Callable[[], Mapping[str, int]] = dict
    store: Callable[[], Mapping[str, int]] = dict
    lift: Callable[[], LiftInterval] | None = None
    group_lag: Callable[[], int | None] = lambda: None


class Latest(Generic[T]):
    """A source and its last answer, which stays while the source cannot answer."""

    def __init__(self, source: Callable[[], T], value: T) -> None:
        self._source = source
        self.value = value

    def ask(self) -> T:
        """The newest answer that there is."""
        with contextlib.suppress(OL0Error):
            self.value = self._source()
        return self.value
