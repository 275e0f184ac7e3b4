import json

import pytest
from pydantic import TypeAdapter

from ol0.config import SafetyConfig, ServingConfig
from ol0.errors import ContractError
from ol0.evaluator.figures import EvaluationFigures
from ol0.evaluator.handler import OnlineEvaluator
from unit.statistics.stored import of_an_earlier_version


def test_a_snapshot_of_the_version_with_typed_dicts_is_restored_whole() -> None:
    stored = of_an_earlier_version(__file__)
    evaluator = OnlineEvaluator(safety=SafetyConfig(session_gap_s=6), serving=ServingConfig(holdback=0.3))
    evaluator.restore(stored)
    assert json.loads(evaluator.snapshot()) == json.loads(stored)
    assert evaluator.figures() == TypeAdapter(EvaluationFigures).validate_python(json.loads(stored)["figures"])


def test_a_lift_of_this_layout_that_cannot_be_read_does_not_start_over() -> None:
    body = json.loads(of_an_earlier_version(__file__))
    body["state"]["lift"]["counts"] = ["many"]
    with pytest.raises(ContractError, match="no snapshot of the evaluator"):
        OnlineEvaluator().restore(json.dumps(body).encode())
