import json

import pytest

from ol0.errors import ContractError, StreamError
from ol0.evaluator.handler import OnlineEvaluator
from ol0.operator.evaluation import report_of
from ol0.records import Arm, Outcome, Snapshot
from testbed.worlds import outcome


def snapshot_of(*outcomes: Outcome) -> Snapshot:
    evaluator = OnlineEvaluator()
    for one in outcomes:
        evaluator.handle(one)
    return Snapshot("evaluator", 7, evaluator.snapshot())


def test_it_has_the_figures_of_the_snapshot_and_when_they_were_written() -> None:
    snapshot = snapshot_of(outcome(arm=Arm.LIVE, reward=1.0))
    report = json.loads(report_of(snapshot, "shop"))
    assert (report.pop("lineage"), report.pop("written_ms")) == ("shop", 7)
    assert report == json.loads(snapshot.body)["figures"]
    assert report["arms"]["live"]["success"] == 1.0


@pytest.mark.parametrize(
    ("snapshot", "remedy"), [(None, "is `ol0 evaluator`"), (snapshot_of(), "when its reward window has closed")]
)
def test_nothing_evaluated_yet_is_said_with_what_to_do(snapshot: Snapshot | None, remedy: str) -> None:
    with pytest.raises(StreamError, match=f"nothing of shop has been evaluated yet: .*{remedy}"):
        report_of(snapshot, "shop")


@pytest.mark.parametrize("body", [b"", b"[]", b'{"figures": 1}', b'{"figures": {}}'])
def test_a_body_that_is_no_snapshot_is_said_so(body: bytes) -> None:
    with pytest.raises(ContractError, match="no snapshot of the evaluator"):
        report_of(Snapshot("evaluator", 7, body), "shop")
