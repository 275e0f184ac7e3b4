"""docs/reward.md cannot say anything of the reward rule that is not so."""

import re
from fractions import Fraction
from itertools import count
from pathlib import Path

import pytest

from ol0.config import StreamingConfig
from ol0.feedback.reward import reward
from ol0.feedback.signals import Part
from ol0.records import DecisionId, Feedback, ImplicitFeedback, ImplicitKind, ToolFeedback, UserFeedback
from ol0.replay.counters import FeedbackDrop
from ol0.wire.payloads import action_code
from support.feedback_entries import feedback_entry

PAGE = (Path(__file__).parents[3] / "docs" / "reward.md").read_text(encoding="utf-8")
WEIGHTS = StreamingConfig().reward_weights
TAKEN = 3, 1
CORRECTED = {
    "to the action taken": TAKEN,
    "to another first part": (0, 1),
    "of one of two parts, not the first": (3, 0),
}
TIMES = count(1)


def rows(heading: str) -> list[list[str]]:
    """Cells of the table below a heading, without its head."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    table = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def record(words: str, source: str = "ann") -> Feedback:
    """The feedback that the words of the page mean."""
    time_ms = next(TIMES)
    about = (f"feedback-{time_ms}", DecisionId("00000000-0000-0000-0000-000000000001"), "session", source, time_ms)
    match words.split():
        case ["thumb", value]:
            return UserFeedback(*about, thumb=int(value))
        case ["rating", value]:
            return UserFeedback(*about, rating=int(value))
        case ["correction", *rest]:
            return UserFeedback(*about, correction=CORRECTED[" ".join(rest)])
        case [tool, "succeeded" | "failed" as result]:
            return ToolFeedback(*about, tool=tool, success=result == "succeeded")
        case [kind, "of", "strength", strength]:
            return ImplicitFeedback(*about, kind=ImplicitKind(kind), strength=float(strength))
    raise AssertionError(f"docs/reward.md says {words!r}, which this test does not know")


def said(cell: str) -> list[Feedback]:
    statements = [] if cell == "nothing" else [statement.split(": ") for statement in cell.split("; ")]
    return [record(words, source) for source, words in statements]


def test_the_tables_are_there_and_speak_of_every_part() -> None:
    assert {part for _, part, _ in rows("From signals to parts")} == set(Part)
    assert len(rows("From parts to the reward")) >= 10


@pytest.mark.parametrize(("words", "part", "value"), rows("From signals to parts"))
def test_each_signal_is_the_part_that_the_page_says(words: str, part: str, value: str) -> None:
    judged = reward([feedback_entry(record(words), 1)], action_code(TAKEN), WEIGHTS, None)

    assert getattr(judged.parts, part) == float(value)
    assert judged.value == float(value), "with one part, the reward is that part"


@pytest.mark.parametrize(("statements", "value", "used", "superseded"), rows("From parts to the reward"))
def test_each_case_comes_to_the_reward_that_the_page_says(
    statements: str, value: str, used: str, superseded: str
) -> None:
    judged = reward([feedback_entry(it, it.time_ms) for it in said(statements)], action_code(TAKEN), WEIGHTS, None)

    expected = None if value == "none" else float(Fraction(value))
    assert judged.value == (None if expected is None else pytest.approx(expected, abs=1e-12))
    assert (judged.used, judged.superseded) == (int(used), int(superseded))


def test_the_page_names_the_default_weights() -> None:
    named = re.search(r"default weights \(([^)]*)\)", PAGE.replace("\n", " "))

    assert named is not None
    assert {part: float(weight) for part, weight in (it.split() for it in named[1].split(", "))} == WEIGHTS


def test_the_page_names_every_reason_why_feedback_counts_for_nothing() -> None:
    dropped = PAGE.partition("## What never reaches the rule")[2]

    assert {reason for reason in FeedbackDrop if f"`{reason}`" in dropped} == set(FeedbackDrop) - {
        FeedbackDrop.SUPERSEDED
    }
