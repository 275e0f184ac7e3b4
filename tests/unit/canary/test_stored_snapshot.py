import json
import zlib

from ol0.canary.handler import CanaryGate
from ol0.config import SafetyConfig, StageConfig
from ol0.records import Verdict
from testbed.worlds import make_base, make_candidate, make_suite, serving_state
from unit.statistics.stored import of_an_earlier_version


def test_a_snapshot_of_an_earlier_version_is_restored_and_its_trial_begins_anew() -> None:
    stored = of_an_earlier_version(__file__)
    canary = CanaryGate(
        make_suite(prompts=8), SafetyConfig(stages=(StageConfig(share=0.5),), session_gap_s=6), 0.9, 0.3
    )
    canary.restore(zlib.compress(stored))
    again, before = json.loads(zlib.decompress(canary.snapshot())), json.loads(stored)
    assert (before.pop("layout"), again.pop("layout")) == (3, 4)
    assert (before.pop("trial") is None, again.pop("trial")) == (False, None)
    assert again == before


WAITING = (
    b'{"suite":"%b","clock":{"expected":0,"time_ms":null,"newest_ms":null,"tick_ms":null,"ahead":[],"holes":[]},'
    b'"standing":null,"pending":[{"base":"%b","parent":"%b","step":1,"time_ms":1700000000000,"result":{"digest":"%b",'
    b'"flaw":null,"worth":"0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f","critical":"00"}}],'
    b'"trial":null,"open":false,"held":0,"place":0,"tried":null,"held_ms":0,"layout":3}'
)


def test_who_waited_for_a_version_that_stored_no_digest_of_an_offer_is_judged() -> None:
    base, suite = make_base(), make_suite(prompts=8)
    waits = make_candidate(base)
    canary = CanaryGate(suite, SafetyConfig(), 0.9, holdback=0.1)
    named = (one.encode() for one in (suite.digest, base.digest, base.digest, waits.digest))
    canary.restore(zlib.compress(WAITING % tuple(named)))
    (verdict,) = canary.handle(serving_state(base))
    assert isinstance(verdict, Verdict)
    assert (verdict.digest, verdict.base) == (waits.digest, base.digest)
