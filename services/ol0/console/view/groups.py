"""Arms and groups: how often the learnt policy does well, beside the holdback."""

from dataclasses import dataclass
from typing import Final

from ol0.console.observing.comparisons import Comparisons
from ol0.evaluator.figures import Brief, Comparison
from ol0.operator.text import DASH, percent, signed_points
from ol0.records import Arm

SHOWN: Final = 12
WHO: Final = {
    Arm.LIVE: "what serves",
    Arm.STAGED: "candidates on trial",
    Arm.HOLDBACK: "always the base",
}


@dataclass(frozen=True, slots=True)
class ArmRow:
    """One arm over the whole lineage."""

    arm: str
    who: str
    success: str
    decisions: str
    feedback: str


@dataclass(frozen=True, slots=True)
class GroupRow:
    """One group: success of both sides, their difference in points, and how many decisions that rests on."""

    group: str
    learnt: str
    holdback: str
    difference: str
    decisions: str
    feedback: str


@dataclass(frozen=True, slots=True)
class Groups:
    """All arms and groups; groups with most decisions first. ``unpaired``: why prompts are not compared in pairs."""

    arms: tuple[ArmRow, ...]
    rows: tuple[GroupRow, ...]
    hidden: int
    total: int
    unpaired: str | None


def groups(comparisons: Comparisons, *, full: bool) -> Groups:
    """The tables: all groups where ``full``, else those with most decisions."""
    arms = tuple(_arm(arm, comparisons) for arm in Arm if arm in comparisons.arms)
    ordered = sorted(comparisons.groups.items(), key=lambda it: (-_decisions(it[1]), it[0]))
    shown = ordered if full else ordered[:SHOWN]
    rows = tuple(_row(name, it) for name, it in shown)
    return Groups(arms, rows, len(ordered) - len(rows), len(ordered), comparisons.unpaired)


def _arm(arm: Arm, comparisons: Comparisons) -> ArmRow:
    figures = comparisons.arms[arm]
    success, feedback = percent(figures.success), percent(figures.feedback_rate)
    return ArmRow(arm, WHO[arm], success, f"{figures.decisions:,}", feedback)


def _row(name: str, one: Comparison) -> GroupRow:
    treated, holdback = one.treated, one.holdback
    difference = _difference(treated, holdback)
    return GroupRow(
        group=name or "(no name)",
        learnt=percent(treated.success),
        holdback=percent(holdback.success),
        difference=DASH if difference is None else signed_points(difference),
        decisions=f"{_decisions(one):,}",
        feedback=percent(treated.feedback_rate),
    )


def _difference(treated: Brief, holdback: Brief) -> float | None:
    if treated.success is None or holdback.success is None:
        return None
    return treated.success - holdback.success


def _decisions(one: Comparison) -> int:
    return one.treated.decisions + one.holdback.decisions
