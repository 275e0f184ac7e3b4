"""The whole page as words and figures. Pure: the same picture at the same time is the same page."""

from dataclasses import dataclass

from ol0.config import Settings
from ol0.console.observing.picture import Picture
from ol0.console.view.accounts import Accounts, accounts
from ol0.console.view.candidates import Candidates, candidates
from ol0.console.view.groups import Groups, groups
from ol0.console.view.lift import LiftPanel, lift_panel
from ol0.console.view.loops import Loops, loops
from ol0.console.view.serving import ServingPanel, serving_panel
from ol0.console.view.state import Headline, Notice, headline, notices
from ol0.console.view.timeline import Timeline, timeline
from ol0.operator.text import moment


@dataclass(frozen=True, slots=True)
class Page:
    """Everything that the template shows, in its order. ``full``: lists are not cut."""

    lineage: str
    clock: str
    full: bool
    headline: Headline
    notices: tuple[Notice, ...]
    serving: ServingPanel | None
    lift: LiftPanel
    candidates: Candidates
    timeline: Timeline
    groups: Groups
    accounts: Accounts
    loops: Loops


def page_of(picture: Picture, settings: Settings, clock_ms: int, *, full: bool = False) -> Page:
    """What there is to say of a picture at this time of the wall clock."""
    known, stats = picture.known, picture.stats
    rewards = 0 if stats is None else stats.counters.examples
    return Page(
        lineage=settings.kafka.topic_prefix,
        clock=moment(clock_ms),
        full=full,
        headline=headline(picture, rewards),
        notices=notices(picture, settings, clock_ms),
        serving=serving_panel(known, clock_ms),
        lift=lift_panel(known, clock_ms),
        candidates=candidates(known, clock_ms, full=full),
        timeline=timeline(known, clock_ms, full=full),
        groups=groups(known.comparisons, full=full),
        accounts=accounts(stats, picture.letters, clock_ms),
        loops=loops(picture, clock_ms),
    )
