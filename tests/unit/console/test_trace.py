"""Where a decision went, from what was found of it."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from ol0.config import StreamingConfig
from ol0.console.decisions.pages import trace_page
from ol0.console.decisions.search import Bounds, Found, Place, canonical
from ol0.console.decisions.trace import Trace, trace
from ol0.console.view.words import Tone
from ol0.errors import ConfigError
from ol0.kafka.topic_readers.span_reader import Searched
from ol0.records import DecisionId, Phase, RewardParts, UserFeedback
from support.examples import DECISION, OUTCOME
from support.made_up_run import transition
from unit.console import pictures
from unit.console.browser import console
from unit.console.pictures import EVIL, MINUTE_MS, NOON_MS
from unit.console.test_observing import letter

ID = DecisionId("7e0f3c52-6c1b-4f0e-9d1a-1f2e3d4c5b6a")
STREAMING = StreamingConfig()
MADE = replace(DECISION, decision_id=ID, time_ms=NOON_MS - 30 * MINUTE_MS)
ENDED = replace(
    OUTCOME,
    decision_id=ID,
    time_ms=MADE.time_ms,
    digest=MADE.digest,
    reward=0.75,
    sequence=1_234,
    parts=RewardParts(thumb=1.0, tool=0.5),
    window_end_ms=MADE.time_ms + 10 * MINUTE_MS,
)
THUMB = UserFeedback("f-1", ID, MADE.session_id, "ann", MADE.time_ms + 5_000, thumb=1)


def traced(**found: object) -> Trace:
    values = {"stats": pictures.stats(), **found}
    return trace(Found(ID, Bounds(), **values), STREAMING, NOON_MS)  # type: ignore[arg-type]


def step(view: Trace, name: str) -> tuple[Tone, str]:
    (found,) = [it for it in view.steps if it.name == name]
    return found.tone, "\n".join((found.text, *found.details))


def test_a_decision_with_an_outcome_is_followed_to_its_release() -> None:
    life = (replace(transition("one", Phase.LIVE, "canary says approve"), time_ms=NOON_MS - 60 * MINUTE_MS),)
    view = traced(decision=MADE, outcome=ENDED, said=(THUMB,), life=life)
    names = ["decision", "window", "feedback", "reward", "outcome", "release"]
    assert [it.name for it in view.steps] == names
    assert "Made 2026-11-28 11:30:00Z, 30 min ago" in step(view, "decision")[1]
    assert step(view, "window") == (Tone.GOOD, "Closed at 2026-11-28 11:40:00Z event time.")
    assert "thumb +1, from ann (f-1)" in step(view, "feedback")[1]
    assert step(view, "reward")[1] == "75.0 % of the best there is.\nthumb: 100.0 %\ntool: 50.0 %"
    assert "Number 1,234 on the topic outcomes" in step(view, "outcome")[1]
    assert MADE.digest in step(view, "release")[1]
    assert "canary says approve" in step(view, "release")[1]


def test_an_open_window_says_until_when_and_who_holds_event_time_back() -> None:
    made = replace(MADE, time_ms=NOON_MS - MINUTE_MS)
    tone, text = step(traced(decision=made), "window")
    assert tone is Tone.OPEN
    assert "Open until event time 2026-11-28 12:09:00Z: event time has passed 2026-11-28 11:58:59Z" in text
    assert "shop.decisions.v1[0] holds it back" in text


def test_a_window_that_has_passed_without_an_outcome_points_at_the_drops() -> None:
    tone, text = step(traced(decision=MADE), "window")
    assert tone is Tone.BAD
    assert "decisions dropped so far: 4 late" in text


def test_a_store_that_is_away_is_no_reason_to_guess() -> None:
    assert "the store does not answer" in step(traced(decision=MADE, stats=None), "window")[1]


def test_feedback_outside_of_the_window_is_marked() -> None:
    late = replace(THUMB, feedback_id="late", time_ms=MADE.time_ms + 11 * MINUTE_MS)
    early = replace(THUMB, feedback_id="early", time_ms=MADE.time_ms - 5_000)
    _, text = step(traced(decision=MADE, said=(late, early, THUMB)), "feedback")
    assert "(late), after its window: dropped" in text
    assert "(early), before its decision: dropped" in text
    assert text.index("early") < text.index("f-1") < text.index("late")


def test_a_silent_decision_has_no_reward() -> None:
    view = traced(decision=MADE, outcome=replace(ENDED, reward=None, parts=RewardParts()))
    assert "makes no example" in step(view, "reward")[1]


def test_a_decision_that_is_not_there_is_told_with_what_was_searched() -> None:
    places = (
        Place("decisions", Searched(1_200, NOON_MS - MINUTE_MS, NOON_MS, whole=True)),
        Place("outcomes", Searched(0, whole=False)),
        Place("feedback.tool", Searched(0, whole=False), is_enough=True),
    )
    view = traced(places=places, letters=(letter(3),), unread=("store: refused",))
    assert (view.is_found, view.is_whole) == (False, False)
    assert "the last 24 hours" in step(view, "decision")[1]
    assert "Fix the sender" in step(view, "dead letters")[1]
    assert view.searched == (
        "decisions: 1,200 records, appended 2026-11-28 11:59:00Z to 2026-11-28 12:00:00Z",
        "outcomes: 0 records; not to the end of the span",
        "feedback.tool: 0 records; until it was found",
        "not read: store: refused",
    )


def test_the_same_is_a_page_and_strangers_write_text_into_it() -> None:
    said = (replace(THUMB, source=EVIL),)
    made = replace(MADE, session_id=EVIL, group=EVIL)

    def found(text: str, bounds: Bounds) -> Found:
        return Found(canonical(text), bounds, decision=made, said=said, stats=pictures.stats())

    with console(search=found) as browser:
        answer = browser.get(f"/decisions/{ID.upper()}?hours=48")
        asked = browser.get(f"/decisions?id=+{ID}+")
    assert answer.status == 200
    assert "of the last 48 hours" in answer.text
    assert EVIL not in answer.text
    assert answer.text.count("&lt;script&gt;") >= 3
    assert asked.headers["location"] == f"/decisions/{ID}"


def test_the_command_prints_every_step_without_control_characters() -> None:
    out = io.StringIO()
    view = traced(decision=replace(MADE, group="\x1b[31mred"), outcome=ENDED)
    Console(file=out, width=100).print(trace_page(view))
    printed = out.getvalue()
    assert printed.startswith(f"decision {ID}\n")
    assert "group \\x1b[31mred" in printed
    assert printed.rstrip().endswith("searched")


@pytest.mark.parametrize("text", ["", "none", "7e0f3c52", "<script>"])
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is no decision id"):
        canonical(text)
    assert canonical(f" {ID.upper()} ") == ID
