"""A plot over time as SVG text, made from numbers and fixed words alone; the style sheet has its colours."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from ol0.console.view.ticks import number_ticks, percent_labels, time_labels, time_ticks

Pairs = Sequence[tuple[int, float]]
SHORTEST_MS: Final = 1_000
"""A plot of one moment has a width, too."""
LEAST_RANGE: Final = 0.02
BOUND: Final = "bound"
"""In the style of lines that are the edges of a band: they do not stretch the axis."""
WIDE_PART: Final = 5
"""The first fifth of a band, where it is widest, may leave the plot: it would flatten all the rest."""
LABEL_GAP: Final = 15.0
"""Least distance of two labels at the right edge."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line: moments in ms and values. ``style`` is its class; ``label`` is at its right end."""

    style: str
    label: str
    points: Pairs


@dataclass(frozen=True, slots=True)
class Band:
    """The area between two bounds at each moment, in ms."""

    style: str
    points: Sequence[tuple[int, float, float]]


@dataclass(frozen=True, slots=True)
class Mark:
    """A vertical line at a moment, with a word."""

    time_ms: int
    label: str


@dataclass(frozen=True, slots=True)
class Size:
    """Width and height of a plot in pixels, the space for labels at the right, and how many ticks it has room for."""

    width: int
    height: int
    right: int
    times: int
    numbers: int


WIDE: Final = Size(1_040, 300, 92, 9, 6)
NARROW: Final = Size(350, 230, 22, 4, 5)
LEFT, TOP, BOTTOM = 60, 26, 44


@dataclass(frozen=True, slots=True)
class Plot:
    """What is drawn.

    Attributes:
        title: for those who do not see it.
        y_title: what the numbers are, with their unit.
        x_title: what the moments are.
        lines: drawn in this order.
        bands: drawn below the lines.
        marks: releases.
        signed: numbers get a sign, and zero a line of its own.
    """

    title: str
    y_title: str
    x_title: str
    lines: Sequence[Line]
    bands: Sequence[Band] = ()
    marks: Sequence[Mark] = ()
    signed: bool = False


def svg(plot: Plot, size: Size) -> str:
    """The plot as an ``svg`` element; empty where there is nothing to draw."""
    if not any(line.points for line in plot.lines):
        return ""
    frame = _Frame.of(plot, size)
    name = escape(plot.title, quote=True)
    head = f'<svg viewBox="0 0 {size.width} {size.height}" role="img" aria-label="{name}">'
    parts = (_grid(frame, plot), _bands(frame, plot), _marks(frame, plot), _lines(frame, plot), _titles(frame, plot))
    return "".join((head, *(text for part in parts for text in part), "</svg>"))


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where moments and values are on the paper."""

    size: Size
    first_ms: int
    last_ms: int
    low: float
    high: float

    @classmethod
    def of(cls, plot: Plot, size: Size) -> "_Frame":
        times = [time for line in plot.lines for time, _ in line.points]
        values = [value for line in plot.lines if BOUND not in line.style for _, value in line.points]
        bounds = [(low, high) for band in plot.bands for _, low, high in band.points]
        values += [bound for pair in bounds[len(bounds) // WIDE_PART :] for bound in pair]
        values += [0.0] if plot.signed else []
        low, high = min(values), max(values)
        room = max(LEAST_RANGE, high - low) * 0.06
        first = min(times)
        return cls(size, first, max(first + SHORTEST_MS, *times), low - room, high + room)

    @property
    def right(self) -> float:
        return self.size.width - self.size.right

    @property
    def bottom(self) -> float:
        return self.size.height - BOTTOM

    def x(self, time_ms: int) -> float:
        share = (time_ms - self.first_ms) / (self.last_ms - self.first_ms)
        return LEFT + share * (self.right - LEFT)

    def y(self, value: float) -> float:
        inside = min(self.high, max(self.low, value))
        return self.bottom - (inside - self.low) / (self.high - self.low) * (self.bottom - TOP)

    def path(self, points: Pairs) -> str:
        return " ".join(f"{self.x(time):.1f},{self.y(value):.1f}" for time, value in points)

    def inside(self, points: Pairs) -> Pairs:
        """The points that are on the paper."""
        return [(time, value) for time, value in points if self.low <= value <= self.high]


def _grid(frame: _Frame, plot: Plot) -> Iterator[str]:
    ticks = number_ticks(frame.low, frame.high, frame.size.numbers)
    for tick, label in zip(ticks, percent_labels(ticks, signed=plot.signed), strict=True):
        y, style = frame.y(tick), "zero" if plot.signed and not tick else "grid"
        yield f'<line class="{style}" x1="{LEFT}" x2="{frame.right:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield _text(LEFT - 8, y + 4, label, "tick", "end")
    moments = time_ticks(frame.first_ms, frame.last_ms, frame.size.times)
    for moment, label in zip(moments, time_labels(moments), strict=True):
        yield _text(frame.x(moment), frame.bottom + 18, label, "tick", "middle")


def _titles(frame: _Frame, plot: Plot) -> Iterator[str]:
    yield _text(0, 12, plot.y_title, "axis", "start")
    yield _text(frame.right, frame.size.height - 6, plot.x_title, "axis", "end")


def _bands(frame: _Frame, plot: Plot) -> Iterator[str]:
    for band in plot.bands:
        there = frame.path([(time, high) for time, _, high in band.points])
        back = frame.path([(time, low) for time, low, _ in reversed(band.points)])
        yield f'<polygon class="band {band.style}" points="{there} {back}"/>'


def _marks(frame: _Frame, plot: Plot) -> Iterator[str]:
    """Labels only where there is room between them; the lines are all there."""
    free = 0.0
    for mark in plot.marks:
        if not frame.first_ms <= mark.time_ms <= frame.last_ms:
            continue
        x = frame.x(mark.time_ms)
        yield f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{frame.bottom}"/>'
        width = 6.2 * len(mark.label)
        if x >= free and x + width < frame.right:
            free = x + width + 8
            yield _text(x + 4, TOP + 9, mark.label, "tick", "start")


def _lines(frame: _Frame, plot: Plot) -> Iterator[str]:
    for line in plot.lines:
        if len(line.points) == 1:
            time, value = line.points[0]
            yield f'<circle class="dot {line.style}" cx="{frame.x(time):.1f}" cy="{frame.y(value):.1f}" r="3"/>'
        elif line.points:
            yield f'<polyline class="line {line.style}" points="{frame.path(frame.inside(line.points))}"/>'
    if frame.size.right >= WIDE.right:
        yield from _labels(frame, [line for line in plot.lines if line.points and line.label])


def _labels(frame: _Frame, lines: Sequence[Line]) -> Iterator[str]:
    """Names at the right ends, apart from each other: a legend would have to be looked up."""
    before = float("-inf")
    for line in sorted(lines, key=lambda it: frame.y(it.points[-1][1])):
        before = max(frame.y(line.points[-1][1]) + 4, before + LABEL_GAP)
        yield _text(frame.right + 6, before, line.label, f"label {line.style}", "start")


def _text(x: float, y: float, words: str, style: str, anchor: str) -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
