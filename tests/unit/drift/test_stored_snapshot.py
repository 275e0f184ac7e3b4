import json

from ol0.config import SafetyConfig, StageConfig
from ol0.drift.handler import DriftMonitor
from testbed.worlds import make_suite
from unit.statistics.stored import of_an_earlier_version


def test_a_snapshot_of_the_version_with_typed_dicts_is_restored_whole() -> None:
    stored = of_an_earlier_version(__file__)
    safety = SafetyConfig(stages=(StageConfig(share=0.5),), session_gap_s=6)
    drift = DriftMonitor(make_suite(prompts=60), safety, holdback=0.3)
    drift.restore(stored)
    before = json.loads(stored)
    before["structure"]["trunk"] = None  # what no base had then
    assert json.loads(drift.snapshot()) == before
    assert drift._live is not None
    assert drift._staged is not None
    assert (drift._live.sessions, drift._staged.sessions) == (3, 7)
    assert (
        drift._staged.balance.losses.words() == "2 of 21 numbered decisions are missing in the arm, 0 of 10 beside it"
    )
