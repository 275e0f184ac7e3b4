import io
from dataclasses import replace

import pytest
from rich.console import Console

from ol0.operator.figure_sources import Sources
from ol0.operator.observation import Observer
from ol0.operator.status import status_screen
from ol0.records import Phase, Record
from ol0.replay.counters import Counters
from ol0.statistics.lift import LiftFigures
from support.made_up_run import candidate, digest, serving, transition, watch
from unit.simulation.scripted import Scripted, evaluation

MINUTE_MS = 60_000
NOON_MS = 1_795_867_200_000  # 2026-11-28 12:00 UTC
NOTHING_IN_STORE = Counters.parse({}, 0)


def shown(*records: Record, clock_ms: int = NOON_MS) -> str:
    observer = Observer(Scripted(list(records)).reader, Sources(lambda: 0, 0))
    observer.look()
    out = io.StringIO()
    Console(file=out, width=100).print(status_screen(observer.observe(), NOTHING_IN_STORE, "shop", clock_ms))
    return out.getvalue()


def test_the_lift_is_told_with_the_event_time_that_it_holds_for_and_its_age() -> None:
    lift = LiftFigures(900, 100, 0.395, 0.21, None)
    screen = shown(evaluation(lift, NOON_MS - 500), clock_ms=NOON_MS + 3 * MINUTE_MS)
    assert "+39.5 %, at least +21.0 %" in screen
    assert "as of 2026-11-28 11:59:59Z event time, written 3 min ago" in screen


def test_before_the_first_outcome_there_is_no_time_to_tell() -> None:
    assert "as of" not in shown(serving(1, "base", 0))


def test_a_candidate_stands_at_the_time_at_which_it_was_offered() -> None:
    assert "11-28 12:00" in shown(replace(candidate("one", 1), time_ms=NOON_MS))


def test_a_trial_is_told_since_when_its_present_stage_runs() -> None:
    # Given a candidate that came to its first stage two hours ago and to its second one 25 minutes ago.
    stages = [replace(transition("one", Phase.STAGED), time_ms=NOON_MS - minutes * MINUTE_MS) for minutes in (120, 25)]
    # Then the second one is told, and nothing where nothing is on trial.
    screen = shown(candidate("one", 1), *stages, serving(3, "base", 0, "one", 1))
    assert f"staged   {digest('one')[:8]} (stage 1, 50 %)" in screen
    assert "         came to stage 1 at 2026-11-28 11:35:00Z, 25 min ago" in screen
    assert "came to stage" not in shown(candidate("one", 1), *stages, serving(3, "base", 0))


@pytest.mark.parametrize(("rows", "left_out"), [(None, 0), (24, 0), (20, 2), (18, 4)])
def test_a_window_that_is_too_low_says_how_much_it_leaves_out_and_cuts_no_sentence(
    rows: int | None, left_out: int
) -> None:
    # Given a run in the middle of a trial, and what its gates said last
    status = status_screen(watch(77), NOTHING_IN_STORE, "shop", NOON_MS, rows)
    words = ["canary says hold of", "about 496 more", "that are still needed", "drift says approve", "0.1 is critical"]
    # When it is watched
    console = Console(file=io.StringIO(), width=80, record=True)
    console.print(status)
    shown = " ".join(console.export_text().split())
    # Then what does not fit is left out whole, from the end, and said so
    assert [word in shown for word in words] == [True] * (len(words) - left_out) + [False] * left_out
    assert shown.endswith(f"and {left_out} more lines in a taller window" if left_out else words[-1])
