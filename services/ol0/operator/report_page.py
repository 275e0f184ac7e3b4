"""``ol0 report`` for people: whether it helps, arm by arm and group by group."""

from collections.abc import Iterator, Mapping
from typing import Final

from pydantic import TypeAdapter
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ol0.evaluator.figures import ArmSummary, Comparison, EvaluationFigures
from ol0.operator.figures import LiftInterval
from ol0.operator.text import DASH, lift_text, moment, percent, signed_points

MOST_GROUPS: Final = 20
HOURS: Final = 12


def report_page(report: Mapping[str, object]) -> RenderableType:
    """Tables of what ``report_of`` wrote as JSON."""
    names = EvaluationFigures.__dataclass_fields__.keys()
    figures = TypeAdapter(EvaluationFigures).validate_python({name: report[name] for name in names if name in report})
    return Group(
        Text(f"lineage {report['lineage']}", style="bold"),
        *map(Text, _headlines(figures)),
        Text(),
        _arms(figures),
        *_comparisons("group", _largest(figures.groups)),
        *_comparisons("hour", {moment(hour)[:16]: it for hour, it in sorted(figures.hours.items())[-HOURS:]}),
    )


def _headlines(figures: EvaluationFigures) -> Iterator[str]:
    if figures.time_ms is not None:
        yield f"as of {moment(figures.time_ms)} event time"
    lift = figures.lift
    if lift is None:
        yield "lift        none is measured: serving.holdback is 0"
    else:
        sessions = lift.treated_sessions + lift.control_sessions
        interval = LiftInterval(lift.estimate, lift.low, lift.high, sessions, figures.unbalanced)
        since = "" if figures.lift_since_ms is None else f"; of the decisions since {moment(figures.lift_since_ms)}"
        yield f"lift        {lift_text(interval)}; {sessions:,} sessions{since}"
    yield f"proven      {'yes: above 0, and the target is reached' if figures.proven else 'not yet'}"
    if figures.inputs_away_since_ms is not None:
        yield f"inputs      do not look like the anchors since {moment(figures.inputs_away_since_ms)}"
    if figures.unpaired is not None:
        yield f"compares    sessions, not prompts: {figures.unpaired}"
    if figures.transitions:
        told = ", ".join(f"{count:,} {phase}" for phase, count in figures.transitions.items())
        yield f"checkpoints {told}"
    if figures.aside:
        yield f"aside       {figures.aside:,} decisions outside of mode apply, which belong to no arm"


def _arms(figures: EvaluationFigures) -> Table:
    table = _table("arm", "decisions", "heard of", "success", "tasks", "ratings", "thumbs up")
    for name, arm in (*figures.arms.items(), ("live + staged", figures.treated)):
        table.add_row(Text(name), *_cells(arm))
    return table


def _cells(arm: ArmSummary) -> list[str]:
    shares = (arm.feedback_rate, arm.success, arm.task_success, arm.quality, arm.satisfaction)
    return [f"{arm.decisions:,}", *map(percent, shares)]


def _largest(groups: Mapping[str, Comparison]) -> dict[str, Comparison]:
    def size(item: tuple[str, Comparison]) -> int:
        return item[1].treated.decisions + item[1].holdback.decisions

    return dict(sorted(groups.items(), key=size, reverse=True)[:MOST_GROUPS])


def _comparisons(what: str, found: Mapping[str, Comparison]) -> Iterator[RenderableType]:
    """The learnt policy beside the holdback, a row for each; nothing where there are none."""
    if not found:
        return
    table = _table(what, "decisions", "learnt", "holdback", "difference, points")
    for name, it in found.items():
        learnt, held = it.treated.success, it.holdback.success
        difference = DASH if learnt is None or held is None else signed_points(learnt - held)
        count = it.treated.decisions + it.holdback.decisions
        table.add_row(Text(name), f"{count:,}", percent(learnt), percent(held), difference)
    yield Text()
    yield table


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table
