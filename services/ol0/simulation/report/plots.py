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
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

from ol0.operator.figures import Point, ReleaseSeen
from ol0.operator.text import MINUS, clock
from ol0.records import Arm
from ol0.simulation.report.evidence import TrialEvidence

COLOURS: Final = {Arm.LIVE: "#0072b2", Arm.STAGED: "#d55e00", Arm.HOLDBACK: "#7a7a7a"}
"""Of Okabe and Ito's palette, which colour-blind people tell apart; they differ in brightness too."""
INK: Final = "#333333"
SOFT: Final = "#666666"
FAINT: Final = "#d9d9d9"
VARIABLES: Final = {
    INK: "--ink",
    SOFT: "--soft",
    FAINT: "--line",
    **{colour: f"--{arm}" for arm, colour in COLOURS.items()},
}
"""What the page calls each colour: it has them for light and for dark."""
WIDTHS_IN: Final = {"wide": 9.6, "narrow": 3.2}
"""Of a screen and of a phone: letters are as large on both, because the page scales a plot to its own width."""
HIGHEST: Final = 0.75
"""Of a plot's height, as a part of its width."""
TRIAL_IN: Final = 3.0
MOST_POINTS: Final = 600
LABEL_IN: Final = 0.19
"""Height of a label with the space around it."""
STEP_IN: Final = 0.5
"""Width of the label of a release."""
STEPS: Final = {1: (1, 2, 5, 10, 20, 30), 60: (1, 2, 5, 10, 20, 30), 3600: (1, 2, 3, 6, 12, 24)}
CLOCK_STEPS_S: Final = [unit_s * count for unit_s, counts in STEPS.items() for count in counts]
"""Between two times of an axis, an inch or more apart."""


def success_plot(width_in: float, series: Sequence[Point], releases: Sequence[ReleaseSeen]) -> str:
    """Success of the three arms over time, and when each release went live."""
    figure, axes = _figure(width_in, 3.4)
    points = _thin(series)
    ends: dict[Arm, float] = {}
    for arm, colour in COLOURS.items():
        values = [_known(point.success.get(arm)) for point in points]
        axes.plot([point.elapsed_s for point in points], values, color=colour, linewidth=2, solid_capstyle="round")
        if known := [value for value in values if not math.isnan(value)]:
            ends[arm] = known[-1]
    _time_axis(axes, series, width_in)
    _mark_releases(axes, releases, width_in)
    _label_ends(axes, ends, figure.get_figheight())
    axes.yaxis.set_major_formatter(_percent_ticks())
    return _svg(figure, "success")


def lift_plot(width_in: float, series: Sequence[Point], releases: Sequence[ReleaseSeen]) -> str:
    """The lift with its interval over time. The interval may start late: before, there is no evidence for one."""
    figure, axes = _figure(width_in, 2.5)
    points = [point for point in _thin(series) if point.lift.estimate is not None]
    times = [point.elapsed_s for point in points]
    low, high = [_known(point.lift.low) for point in points], [_known(point.lift.high) for point in points]
    axes.fill_between(times, low, high, color=COLOURS[Arm.LIVE], alpha=0.15, linewidth=0)
    axes.plot(times, low, color=COLOURS[Arm.LIVE], linewidth=0.8)
    axes.plot(times, [_known(point.lift.estimate) for point in points], color=COLOURS[Arm.LIVE], linewidth=2)
    axes.axhline(0, color=INK, linewidth=0.8)
    _time_axis(axes, series, width_in)
    _mark_releases(axes, releases, width_in)
    axes.yaxis.set_major_formatter(_percent_ticks())
    return _svg(figure, "lift")


def trials_plot(width_in: float, trials: Sequence[TrialEvidence]) -> str:
    """Each trial on live sessions: the estimated difference, its lower bound, and what the bound had to clear."""
    columns = int(width_in // TRIAL_IN)
    rows = -(-len(trials) // columns)
    figure = Figure(figsize=(width_in, 0.4 + 2.0 * rows), layout=ConstrainedLayoutEngine(h_pad=0.08))
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
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


def flow_plot(width_in: float, series: Sequence[Point]) -> str:
    """Events per second, and below it how many decisions had no outcome yet; restarts as dotted lines."""
    figure = Figure(figsize=(width_in, 3.2), layout="constrained")
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
    _time_axis(lag, series, width_in)
    return _svg(figure, "flow")


def restart_times(series: Sequence[Point]) -> list[float]:
    """When a service was started again."""
    pairs = itertools.pairwise(series)
    return [later.elapsed_s for earlier, later in pairs if later.restarts > earlier.restarts]


def _figure(width_in: float, height_in: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width_in, min(height_in, HIGHEST * width_in)), layout="constrained")
    axes = figure.subplots()
    _calm(axes)
    return figure, axes


def _calm(axes: Axes) -> None:
    """Only what carries a value: no frame, faint horizontal lines."""
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    axes.tick_params(length=0, labelsize=8, labelcolor=SOFT)
    axes.grid(axis="y", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.margins(x=0.01)


def _time_axis(axes: Axes, series: Sequence[Point], width_in: float) -> None:
    """The same times in every plot, whatever each has to show; at least a second, for a width of 0 is none."""
    length_s = max(1.0, series[-1].elapsed_s if series else 0.0)
    step_s = next((step for step in CLOCK_STEPS_S if length_s <= step * width_in), length_s)
    axes.set_xlim(0, length_s)
    axes.xaxis.set_major_locator(MultipleLocator(step_s))
    axes.xaxis.set_major_formatter(_ticks(clock))


def _mark_releases(axes: Axes, releases: Sequence[ReleaseSeen], width_in: float) -> None:
    """A line each, and its step where the next one leaves room for it."""
    room_s = STEP_IN / width_in * axes.get_xlim()[1]
    following = [*(release.at_s for release in releases[1:]), math.inf]
    for release, next_s in zip(releases, following, strict=False):
        axes.axvline(release.at_s, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
        if next_s - release.at_s < room_s:
            continue
        axes.annotate(
            f"step {release.step}",
            (release.at_s, 1),
            xycoords=("data", "axes fraction"),
            xytext=(4, -2),
            textcoords="offset points",
            fontsize=8,
            color=SOFT,
            va="top",
        )


def _label_ends(axes: Axes, ends: Mapping[Arm, float], height_in: float) -> None:
    """Names the lines at their right ends, apart from each other: a legend would have to be looked up."""
    low, high = axes.get_ylim()
    before = -1.0
    for arm, value in sorted(ends.items(), key=lambda end: end[1]):
        before = max((value - low) / (high - low), before + LABEL_IN / height_in)
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


def _svg(figure: Figure, name: str) -> str:
    """The figure as an ``svg`` element in the page's colours.

    Inside a page it needs no namespaces, whose names look like addresses.
    """
    FigureCanvasSVG(figure)
    figure.set_facecolor("none")
    for axes in figure.axes:
        axes.set_facecolor("none")
    text = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(text, format="svg", metadata=nothing)
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", svg)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # the same ids would stand in every plot of the page
    return re.sub("|".join(VARIABLES), lambda colour: f"var({VARIABLES[colour[0]]})", svg)
