"""What the pages need, built once: the lineage as it is seen, who may do what, and the functions behind the forms."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from threading import Semaphore
from typing import Final, Protocol

from ol0.clock import wall_clock_ms
from ol0.config import Settings
from ol0.console.decisions.search import Bounds, Found, search
from ol0.console.observing.picture import Picture
from ol0.console.orders import Done, Rehearsal, Wish, given, rehearsed
from ol0.console.web.access import Access

MOST_SEARCHES: Final = 2


class Watches(Protocol):
    """Sees a lineage: ``observing.watch.Watch`` does. May be read by any thread."""

    @property
    def picture(self) -> Picture:
        """What is known now."""
        ...

    @property
    def revision(self) -> int:
        """Grows with every picture that differs from the one before."""
        ...


@dataclass(frozen=True)
class Desk:
    """Everything that an answer is made from.

    Attributes:
        settings: of the lineage.
        watch: what is seen of it.
        access: who may do what.
        search: looks for a decision.
        rehearse: says what an order would do.
        give: gives it, if it would still do what was shown.
        is_closing: whether the console is about to end.
        clock_ms: the wall clock.
        searching: lets as many searches run at a time as it has places: each reads as fast as the broker gives.
    """

    settings: Settings
    watch: Watches
    access: Access
    search: Callable[[str, Bounds], Found]
    rehearse: Callable[[Wish], Rehearsal]
    give: Callable[[Wish, str], Rehearsal | Done]
    is_closing: Callable[[], bool] = lambda: False
    clock_ms: Callable[[], int] = wall_clock_ms
    searching: Semaphore = field(default_factory=lambda: Semaphore(MOST_SEARCHES))

    @classmethod
    def of(cls, settings: Settings, watch: Watches, access: Access, is_closing: Callable[[], bool]) -> "Desk":
        """The desk of a lineage."""
        return cls(
            settings,
            watch,
            access,
            search=partial(search, settings),
            rehearse=partial(rehearsed, settings),
            give=partial(given, settings),
            is_closing=is_closing,
        )
