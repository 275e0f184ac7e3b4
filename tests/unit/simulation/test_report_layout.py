"""The run report in a real browser: on a phone and on a screen, by day and by night."""

from pathlib import Path

import pytest

from ol0.simulation.report.page import html
from support.headless_browser import layout
from support.made_up_run import LENGTH_S, made_up_report, watch

READABLE_PX = 9.0


@pytest.fixture(scope="module")
def page() -> str:
    """With all that can be unfolded."""
    return html(made_up_report(watch(LENGTH_S + 5))).replace("<details>", "<details open>")


@pytest.mark.parametrize("width", [320, 390, 601, 861, 1_280])
def test_nothing_is_cut_and_the_letters_of_plots_can_be_read(page: str, width: int, tmp_path: Path) -> None:
    found = layout(page, width, tmp_path)
    assert found.cut == []
    assert found.smallest_px is not None
    assert found.smallest_px > READABLE_PX


def test_it_is_dark_where_the_reader_wants_it(page: str, tmp_path: Path) -> None:
    by_day, by_night = (layout(page, 390, tmp_path, dark=dark) for dark in (False, True))
    assert (by_day.ink, by_day.paper) == ("rgb(34, 34, 34)", "rgb(255, 255, 255)")
    assert (by_night.ink, by_night.paper) == ("rgb(230, 231, 234)", "rgb(20, 22, 26)")


def test_no_colour_of_a_plot_is_fixed(page: str) -> None:
    plots = page[page.index("<svg") : page.rindex("</svg>")]
    assert "var(--live)" in plots
    assert "#" not in "".join(part for part in plots.split('"') if "fill" in part or "stroke" in part)
