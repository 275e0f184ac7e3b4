"""The lift over time with its band, and how both sides did hour by hour."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from ol0.console.observing.knowledge import Known
from ol0.console.observing.lift_history import LiftPoint
from ol0.console.view.chart import NARROW, WIDE, Band, Line, Mark, Plot, svg
from ol0.console.view.ticks import HOUR_MS
from ol0.console.view.words import Tone, since
from ol0.evaluator.figures import Comparison
from ol0.operator.figures import LiftInterval
from ol0.operator.text import DASH, plural, signed_percent
from ol0.records import Phase

MOST_MARKS: Final = 60


@dataclass(frozen=True, slots=True)
class Drawn:
    """One plot for wide screens and one for narrow ones."""

    wide: str
    narrow: str


@dataclass(frozen=True, slots=True)
class LiftPanel:
    """The newest lift in figures, what it rests on, and the plots; None where there is nothing to draw."""

    estimate: str
    interval: str
    tone: Tone
    verdict: str
    sessions: str
    as_of: str
    over_time: Drawn | None
    by_hour: Drawn | None


def lift_panel(known: Known, clock_ms: int) -> LiftPanel:
    """The panel."""
    lift = known.lift
    tone, verdict = _verdict(lift)
    as_of = "" if known.evaluated_ms is None else since(known.evaluated_ms, clock_ms)
    return LiftPanel(
        estimate=signed_percent(lift.estimate),
        interval=_interval(lift),
        tone=tone,
        verdict=verdict,
        sessions=plural(lift.sessions, "session"),
        as_of=as_of,
        over_time=_drawn(_lift_plot(known)) if known.lift_points else None,
        by_hour=_drawn(_hours_plot(known)) if len(known.comparisons.hours) > 1 else None,
    )


def _interval(lift: LiftInterval) -> str:
    if lift.estimate is None or lift.doubt is not None:
        return ""
    low, high = signed_percent(lift.low), signed_percent(lift.high)
    if lift.low is None and lift.high is None:
        return "no interval yet"
    return f"{low} to {high}".replace(f"{DASH} to", "at most").replace(f"{low} to {DASH}", f"at least {low}")


def _verdict(lift: LiftInterval) -> tuple[Tone, str]:
    """What the interval says; it is valid however often one looks."""
    if lift.estimate is None:
        return Tone.QUIET, "no outcome of both sides yet"
    if lift.doubt is not None:
        return Tone.OPEN, f"proves nothing: {lift.doubt}"
    if lift.low is not None and lift.low > 0:
        return Tone.GOOD, "better than the base, proven"
    if lift.high is not None and lift.high < 0:
        return Tone.BAD, "worse than the base, proven"
    return Tone.QUIET, "not proven yet: the interval holds zero"


def _drawn(plot: Plot) -> Drawn:
    return Drawn(svg(plot, WIDE), svg(plot, NARROW))


def _lift_plot(known: Known) -> Plot:
    points = known.lift_points
    estimates = [(it.time_ms, it.lift.estimate) for it in points if it.lift.estimate is not None]
    return Plot(
        title="The lift over the holdback, with its interval, over event time",
        y_title="lift over the holdback, %",
        x_title="event time, UTC",
        lines=[*_bounds(points), Line("live", "lift", estimates)],
        bands=_bands(points),
        marks=_releases(known),
        signed=True,
    )


def _bounds(points: Sequence[LiftPoint]) -> list[Line]:
    """Each end of the interval, from when on there is evidence for it; the other end may be open."""
    low = [(it.time_ms, it.lift.low) for it in points if it.lift.low is not None]
    high = [(it.time_ms, it.lift.high) for it in points if it.lift.high is not None]
    return [Line("bound live", "", low), Line("bound live", "", high)]


def _bands(points: Sequence[LiftPoint]) -> list[Band]:
    """The interval where both ends are known, in pieces where it is interrupted."""
    bounds = [(it.time_ms, it.lift.low, it.lift.high) for it in points]
    runs = groupby(bounds, key=lambda it: it[1] is not None and it[2] is not None)
    return [
        Band("live", [(at, low or 0.0, high or 0.0) for at, low, high in run]) for is_known, run in runs if is_known
    ]


def _releases(known: Known) -> list[Mark]:
    marks = []
    for move in known.transitions:
        if move.to_phase is Phase.LIVE and move.step:
            marks.append(Mark(move.time_ms, f"step {move.step}"))
        elif move.to_phase is Phase.QUARANTINED and move.from_phase is Phase.LIVE:
            marks.append(Mark(move.time_ms, "rollback"))
    return marks[-MOST_MARKS:]


def _hours_plot(known: Known) -> Plot:
    hours = sorted(known.comparisons.hours.items())
    return Plot(
        title="Success of the learnt policy and of the holdback, hour by hour",
        y_title="success by hour, %",
        x_title="event time, UTC",
        lines=[Line("holdback", "holdback", _side(hours, "holdback")), Line("live", "learnt", _side(hours, "treated"))],
        marks=_releases(known),
    )


def _side(hours: Sequence[tuple[int, Comparison]], side: str) -> list[tuple[int, float]]:
    """The middle of each hour, and the mean reward in it."""
    found = [(start, it.treated if side == "treated" else it.holdback) for start, it in hours]
    return [(start + HOUR_MS // 2, it.success) for start, it in found if it.success is not None]
