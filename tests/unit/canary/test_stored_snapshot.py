import json
import zlib

from ol0.canary.handler import CanaryGate
from ol0.config import SafetyConfig, StageConfig
from testbed.worlds import make_suite
from unit.statistics.stored import of_an_earlier_version


def test_a_snapshot_of_the_version_with_typed_dicts_is_restored_whole() -> None:
    stored = of_an_earlier_version(__file__)
    canary = CanaryGate(
        make_suite(prompts=8), SafetyConfig(stages=(StageConfig(share=0.5),), session_gap_s=6), 0.9, 0.3
    )
    canary.restore(zlib.compress(stored))
    assert json.loads(zlib.decompress(canary.snapshot())) == json.loads(stored)
    assert canary._trial is not None
    assert canary._trial.holdback is not None
    assert (canary._trial.decisions, canary._trial.evidence) == (32, 4)
    assert (
        canary._trial.holdback.balance.losses.words()
        == "2 of 21 numbered decisions are missing in the arm, 0 of 10 beside it"
    )
