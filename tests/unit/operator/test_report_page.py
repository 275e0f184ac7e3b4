import json
from io import StringIO
from itertools import count

from rich.console import Console

from ol0.evaluator.handler import OnlineEvaluator
from ol0.operator.evaluation import report_of
from ol0.operator.report_page import MOST_GROUPS, report_page
from ol0.records import Arm, Snapshot
from testbed.worlds import outcome


def shown(groups: int = 2, sessions: int = 40) -> str:
    evaluator = OnlineEvaluator()
    sequence = count()
    for number in range(sessions):
        for arm, reward in ((Arm.LIVE, float(number % 4 > 0)), (Arm.HOLDBACK, float(number % 2))):
            group = f"kind-{number % groups:03d}"
            evaluator.handle(outcome(arm=arm, reward=reward, group=group, sequence=next(sequence)))
    report = json.loads(report_of(Snapshot("evaluator", 7, evaluator.snapshot()), "shop"))
    out = StringIO()
    Console(file=out, width=100).print(report_page(report))
    return out.getvalue()


def test_arms_groups_and_hours_are_tables_with_the_difference_in_points() -> None:
    page = shown()
    assert page.startswith("lineage shop\nas of ")
    assert "proven      not yet" in page
    rows = [line.split() for line in page.splitlines()]
    assert next(row[:6] for row in rows if row[:1] == ["live"]) == ["live", "40", "100.0", "%", "75.0", "%"]
    assert next(row[:6] for row in rows if row[:1] == ["holdback"]) == ["holdback", "40", "100.0", "%", "50.0", "%"]
    (kind,) = [row for row in rows if row[:1] == ["kind-000"]]
    assert kind == ["kind-000", "40", "50.0", "%", "0.0", "%", "+50.0"]
    assert any(row[:1] == ["hour"] for row in rows)


def test_of_many_groups_the_largest_are_shown() -> None:
    _, table = shown(groups=60, sessions=120).split("\ngroup ")
    assert len(table.split("\n\n")[0].splitlines()) == 1 + MOST_GROUPS
