"""The plots of the report, as SVG text that stands inside the page: no file, no font, no address of its own."""

import io
import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ol0.operator.figures import Point, ReleaseSeen
from ol0.operator.text import MINUS, clock
from ol0.records import Arm
from ol0.simulation.report.evidence import TrialEvidence

COLOURS: Final = {Arm.LIVE: "#0072b2", Arm.STAGED: "#d55e00", Arm.HOLDBACK: "#7a7a7a"}
"""Of Okabe and Ito's palette, which colour-blind people tell apart; they differ in brightness too."""
INK: Final = "#333333"
FAINT: Final = "#d9d9d9"
WIDTH_IN: Final = 9.6
MOST_POINTS: Final = 600
TRIALS_PER_ROW: Final = 3
LABEL_GAP: Final = 0.06
"""Least distance of two labels, as a part of the height."""


def success_plot(series: Sequence[Point], releases: Sequence[ReleaseSeen]) -> str:
    """Success of the three arms over time, and when each release went live."""
    figure, axes = _figure(3.4)
    points = _thin(series)
    ends: dict[Arm, float] = {}
    for arm, colour in COLOURS.items():
        values = [_known(point.success.get(arm)) for point in points]
        axes.plot([point.elapsed_s for point in points], values, color=colour, linewidth=2, solid_capstyle="round")
        if known := [value for value in values if not math.isnan(value)]:
            ends[arm] = known[-1]
    _from_the_start(axes, series)
    _mark_releases(axes, releases)
    _label_ends(axes, ends)
    axes.yaxis.set_major_formatter(_percent_ticks())
    return _svg(figure, "success")


def lift_plot(series: Sequence[Point], releases: Sequence[ReleaseSeen]) -> str:
    """The lift with its interval over time. The interval may start late: before, there is no evidence for one."""
    figure, axes = _figure(2.5)
    points = [point for point in _thin(series) if point.lift.estimate is not None]
    times = [point.elapsed_s for point in points]
    low, high = [_known(point.lift.low) for point in points], [_known(point.lift.high) for point in points]
    axes.fill_between(times, low, high, color=COLOURS[Arm.LIVE], alpha=0.15, linewidth=0)
    axes.plot(times, low, color=COLOURS[Arm.LIVE], linewidth=0.8)
    axes.plot(times, [_known(point.lift.estimate) for point in points], color=COLOURS[Arm.LIVE], linewidth=2)
    axes.axhline(0, color=INK, linewidth=0.8)
    _from_the_start(axes, series)
    _mark_releases(axes, releases)
    axes.yaxis.set_major_formatter(_percent_ticks())
    return _svg(figure, "lift")


def trials_plot(trials: Sequence[TrialEvidence]) -> str:
    """Each trial on live sessions: the estimated difference, its lower bound, and what the bound had to clear."""
    rows = -(-len(trials) // TRIALS_PER_ROW)
    figure = Figure(figsize=(WIDTH_IN, 0.4 + 2.0 * rows), layout="constrained")
    grid = figure.subplots(rows, TRIALS_PER_ROW, sharey=True, squeeze=False)
    for axes, trial in zip(grid.flat, trials, strict=False):
        _calm(axes)
        colour = COLOURS[Arm.STAGED]  # the marks are the looks: each is a verdict
        axes.plot(trial.sessions, trial.estimates, color=colour, linewidth=2, marker="o", markersize=3.5)
        axes.plot(trial.sessions, trial.bounds, color=colour, linewidth=1.2, linestyle=(0, (3, 2)))
        axes.axhline(0, color=INK, linewidth=0.8)
        if trial.threshold is not None:
            axes.axhline(trial.threshold, color=INK, linewidth=0.8, linestyle=(0, (1, 2)))
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.xaxis.set_major_formatter(_count_ticks())
        axes.set_title(trial.title, loc="left", fontsize=9, color=INK)
        axes.yaxis.set_major_formatter(_point_ticks())
    for axes in list(grid.flat)[len(trials) :]:
        axes.set_axis_off()
    return _svg(figure, "trials")


def flow_plot(series: Sequence[Point]) -> str:
    """Events per second, and below it how many decisions had no outcome yet; restarts as dotted lines."""
    figure = Figure(figsize=(WIDTH_IN, 3.2), layout="constrained")
    rate, lag = figure.subplots(2, 1, sharex=True)
    points = _thin(series)
    times = [point.elapsed_s for point in points]
    for axes, name, values in (
        (rate, "events per second", [point.events_per_s for point in points]),
        (lag, "decisions without an outcome", [float(point.lag) for point in points]),
    ):
        _calm(axes)
        axes.plot(times, values, color=INK, linewidth=1.5)
        axes.fill_between(times, values, color=INK, alpha=0.06, linewidth=0)
        axes.set_ylim(bottom=0)
        axes.set_title(name, loc="left", fontsize=9, color=INK)
        axes.yaxis.set_major_formatter(_count_ticks())
        for at_s in restart_times(series):
            axes.axvline(at_s, color=COLOURS[Arm.STAGED], linewidth=1, linestyle=(0, (1, 2)))
    _from_the_start(lag, series)
    lag.xaxis.set_major_formatter(_clock_ticks())
    return _svg(figure, "flow")


def restart_times(series: Sequence[Point]) -> list[float]:
    """When a service was started again."""
    pairs = itertools.pairwise(series)
    return [later.elapsed_s for earlier, later in pairs if later.restarts > earlier.restarts]


def _figure(height_in: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
    axes = figure.subplots()
    _calm(axes)
    axes.xaxis.set_major_formatter(_clock_ticks())
    return figure, axes


def _calm(axes: Axes) -> None:
    """Only what carries a value: no frame, faint horizontal lines."""
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    axes.tick_params(length=0, labelsize=8, labelcolor="#666666")
    axes.grid(axis="y", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.margins(x=0.01)


def _from_the_start(axes: Axes, series: Sequence[Point]) -> None:
    """The same times in every plot, whatever each has to show; at least a second, for a width of 0 is none."""
    axes.set_xlim(0, max(1.0, series[-1].elapsed_s if series else 0.0))


def _mark_releases(axes: Axes, releases: Sequence[ReleaseSeen]) -> None:
    for release in releases:
        axes.axvline(release.at_s, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.annotate(
            f"step {release.step}",
            (release.at_s, 1),
            xycoords=("data", "axes fraction"),
            xytext=(4, -2),
            textcoords="offset points",
            fontsize=7.5,
            color="#666666",
            va="top",
        )


def _label_ends(axes: Axes, ends: Mapping[Arm, float]) -> None:
    """Names the lines at their right ends, apart from each other: a legend would have to be looked up."""
    low, high = axes.get_ylim()
    before = -1.0
    for arm, value in sorted(ends.items(), key=lambda end: end[1]):
        before = max((value - low) / (high - low), before + LABEL_GAP)
        axes.annotate(
            arm.value,
            (1, before),
            xycoords="axes fraction",
            xytext=(4, 0),
            textcoords="offset points",
            fontsize=9,
            fontweight="bold",
            color=COLOURS[arm],
            va="center",
            annotation_clip=False,
        )


def _thin(series: Sequence[Point]) -> Sequence[Point]:
    """At most ``MOST_POINTS`` points: a plot of a day has no more pixels."""
    return series[:: -(-len(series) // MOST_POINTS) or 1]


def _known(value: float | None) -> float:
    """A gap in a line is NaN for matplotlib."""
    return float("nan") if value is None else value


def _ticks(words: Callable[[float], str]) -> FuncFormatter:
    return FuncFormatter(lambda value, _: words(value).replace("-", MINUS))


def _percent_ticks() -> FuncFormatter:
    return _ticks(lambda value: f"{value * 100:.0f} %")


def _point_ticks() -> FuncFormatter:
    return _ticks(lambda value: f"{value * 100:+.0f}" if abs(value) > 1e-9 else "0")  # noqa: PLR2004 - a zero that is drawn


def _count_ticks() -> FuncFormatter:
    return _ticks(lambda value: f"{value:,.0f}")


def _clock_ticks() -> FuncFormatter:
    return _ticks(lambda value: clock(max(0.0, value)))


def _svg(figure: Figure, name: str) -> str:
    """The figure as an ``svg`` element. Inside a page it needs no namespaces, whose names look like addresses."""
    FigureCanvasSVG(figure)
    text = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(text, format="svg", metadata=nothing)
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", svg)
    return re.sub(r'<g id="[^"]*"', "<g", svg)  # the same ids would stand in every plot of the page
