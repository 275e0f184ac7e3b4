"""The live view on a real terminal: in a small window, in a large one, and in one whose size changes."""

import re
import sys
from pathlib import Path

import pytest

from support.terminal import terminal

ROOT = Path(__file__).parents[3]
SHOWING = [
    sys.executable,
    "-c",
    """
import sys, threading
from rich.console import Console
from ol0.simulation.view import make_view
from support.made_up_run import watch

sys.stdout.reconfigure(encoding="utf-8")
now, pause = watch(77), threading.Event()
with make_view(Console()) as view:
    view.say("Users start to send prompts.")
    while True:
        view.show(now)
        pause.wait(0.05)
""",
]
FIRST, LAST = re.compile(r"^OL0 +1:17"), "504 of about 1,000 sessions."
SMALL, LARGE = (80, 24), (160, 50)
WITHIN_S = 30.0


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'services'}:{ROOT / 'tests'}:{ROOT}")


def is_drawn(lines: list[str], columns: int) -> bool:
    """Whether one whole screen is there, as wide as the window, and nothing of another one."""
    rules = [line for line in lines if set(line) == {"─"}]
    return (
        sum(FIRST.match(line) is not None for line in lines) == 1
        and " ".join(" ".join(lines).split()).endswith(LAST)
        and {len(line) for line in rules} == {columns}
        and len(rules) == 3
    )


@pytest.mark.parametrize(("columns", "rows"), [SMALL, LARGE])
def test_the_view_is_as_wide_as_the_window_and_cuts_no_sentence(columns: int, rows: int, tmp_path: Path) -> None:
    with terminal(columns, rows, SHOWING, tmp_path) as window:
        window.wait_until(lambda: is_drawn(window.lines, columns), WITHIN_S)
    assert "…" not in window.text
    told = " ".join(window.text.split())
    assert told.endswith("is on trial with 50 % of the sessions: 504 of about 1,000 sessions.")
    assert "staged 4221be12 (stage 1, 50 %)" in told


@pytest.mark.parametrize(("before", "after"), [(SMALL, LARGE), (LARGE, SMALL), (LARGE, (80, 50))])
def test_the_view_follows_a_window_that_changes(
    before: tuple[int, int], after: tuple[int, int], tmp_path: Path
) -> None:
    with terminal(*before, SHOWING, tmp_path) as window:
        window.wait_until(lambda: is_drawn(window.lines, before[0]), WITHIN_S)
        window.resize(*after)
        window.wait_until(lambda: is_drawn(window.lines, after[0]), WITHIN_S)
