import doctest
import re
from xml.etree import ElementTree as ET

from ol0.console.view import ticks, words
from ol0.console.view.chart import NARROW, WIDE, Band, Line, Mark, Plot, svg
from ol0.console.web import rendering
from unit.console.pictures import HOUR_MS, NOON_MS

LINE = Line("live", "lift", [(NOON_MS + n * HOUR_MS, 0.1 * n) for n in range(4)])
PLOT = Plot("a title", "lift, %", "event time, UTC", [LINE], signed=True)


def texts(drawn: str) -> list[str]:
    return [it.text or "" for it in ET.fromstring(drawn).iter("text")]  # noqa: S314 - our own


def test_the_examples_of_ticks_and_words_hold() -> None:
    for module in (ticks, words, rendering):
        assert doctest.testmod(module).failed == 0


def test_a_plot_has_axes_with_titles_units_and_a_name_for_its_line() -> None:
    shown = texts(svg(PLOT, WIDE))
    assert {"lift, %", "event time, UTC", "lift", "0 %", "+20 %", "12:00", "15:00"} <= set(shown)


def test_a_band_goes_there_along_its_upper_bound_and_back_along_its_lower_one() -> None:
    band = Band("live", [(NOON_MS, -0.1, 0.2), (NOON_MS + HOUR_MS, 0.0, 0.3)])
    drawn = svg(Plot("t", "y", "x", [LINE], bands=[band]), WIDE)
    points = re.findall(r'<polygon class="band live" points="([^"]+)"', drawn)[0].split()
    heights = [float(point.split(",")[1]) for point in points]
    assert len(points) == 4
    assert heights[0] < heights[3]
    assert heights[1] < heights[2]


def test_the_wide_beginning_of_a_band_does_not_flatten_the_line() -> None:
    hours = range(10)
    wide = [(NOON_MS + n * HOUR_MS, -0.1, 100.0 if n == 0 else 0.4) for n in hours]
    edge = Line("bound live", "", [(at, high) for at, _, high in wide])
    drawn = svg(Plot("t", "y", "x", [edge, LINE], bands=[Band("live", wide)]), WIDE)
    assert "+100" not in drawn
    assert "40 %" in texts(drawn)
    edge_points = re.findall(r'<polyline class="line bound live" points="([^"]+)"', drawn)[0].split()
    assert len(edge_points) == 9


def test_marks_outside_of_the_plot_are_left_out_and_labels_do_not_overlap() -> None:
    marks = [Mark(NOON_MS - HOUR_MS, "before"), Mark(NOON_MS + HOUR_MS, "one"), Mark(NOON_MS + HOUR_MS + 1, "two")]
    drawn = svg(Plot("t", "y", "x", [LINE], marks=marks), WIDE)
    assert drawn.count('class="mark"') == 2
    assert {"before", "one", "two"} & set(texts(drawn)) == {"one"}


def test_nothing_is_no_plot_and_one_moment_is_a_dot() -> None:
    assert svg(Plot("t", "y", "x", [Line("live", "lift", [])]), WIDE) == ""
    drawn = svg(Plot("t", "y", "x", [Line("live", "lift", [(NOON_MS, 0.5)])]), NARROW)
    assert "<circle" in drawn


def test_titles_are_escaped() -> None:
    drawn = svg(Plot('<b>"', "<i>", "x", [LINE]), WIDE)
    assert "<b>" not in drawn
    assert "<i>" not in drawn
