import json
from collections.abc import Iterable
from dataclasses import replace

import pytest

from ol0.config import SafetyConfig, StageConfig
from ol0.drift.handler import DriftMonitor
from ol0.errors import ContractError
from ol0.records import Arm, Judgement, Record, Verdict
from worlds import NEW, Traffic, experts, make_base, make_candidate, make_suite, serving_state

SAFETY = SafetyConfig(stages=(StageConfig(share=0.5),))
BASE = make_base()
GOOD = make_candidate(BASE)
PROBES = make_suite(prompts=60)
# More holdback than usual lets a fall show within a test's time.
HOLDBACK = 0.3


def monitor(safety: SafetyConfig = SAFETY) -> DriftMonitor:
    return DriftMonitor(PROBES, safety, HOLDBACK)


def verdicts(drift: DriftMonitor, records: Iterable[Record]) -> list[Verdict]:
    return [verdict for record in records for verdict in drift.handle(record) if isinstance(verdict, Verdict)]


def stories(fall: float = 0.0, after: int = 600) -> list[Record]:
    """A trial, a release, 600 good decisions, and ``after`` ones in which live succeeds less by ``fall``."""
    traffic = Traffic(holdback=HOLDBACK)
    trial = serving_state(BASE, staged=GOOD, sequence=1)
    release = serving_state(BASE, live=GOOD, sequence=2)
    good: list[Record] = [trial, *traffic.outcomes(trial, 900), release, *traffic.outcomes(release, 600)]
    traffic.fall = {Arm.LIVE: fall}
    return [*good, *traffic.outcomes(release, after)]


def test_a_good_release_is_left_alone() -> None:
    assert verdicts(monitor(), stories()) == []


def test_a_release_that_turns_worse_than_the_base_is_rolled_back() -> None:
    found = verdicts(monitor(), stories(fall=0.9, after=1_200))
    last = found[-1]
    assert (last.judgement, last.digest, last.stage) == (Judgement.ROLLBACK, GOOD.digest, 2)
    assert last.evidence > 100


def test_a_release_that_only_loses_its_lift_is_rolled_back() -> None:
    # It goes on serving better than the base, by a tenth of what it was released for.
    found = verdicts(monitor(), stories(fall=0.72, after=4_500))
    assert found[-1].judgement is Judgement.ROLLBACK
    assert found[-1].reasons[0].check == "lost_lift"
    assert {one.judgement for one in found[:-1]} <= {Judgement.HOLD}


def test_after_its_rollback_a_release_is_not_rolled_back_again() -> None:
    found = verdicts(monitor(), stories(fall=0.9, after=1_800))
    assert sum(one.judgement is Judgement.ROLLBACK for one in found) == 1


def test_a_candidate_worse_than_the_base_is_rolled_back_at_its_stage() -> None:
    bad = make_candidate(BASE, takes=experts(wrong=range(8)), opens=range(8))
    state = serving_state(BASE, staged=bad, stage=1)
    (found,) = verdicts(monitor(), [state, *Traffic(holdback=HOLDBACK).outcomes(state, 900)])
    assert (found.judgement, found.stage, found.parent) == (Judgement.ROLLBACK, 1, BASE.digest)
    assert found.reasons[0].check == "harm_to_base"


@pytest.mark.parametrize("seed", range(4))
def test_a_candidate_like_the_base_is_left_alone(seed: int) -> None:
    same = make_candidate(BASE, takes=experts(wrong=NEW))
    state = serving_state(BASE, staged=same)
    assert verdicts(monitor(), [state, *Traffic(seed, holdback=HOLDBACK).outcomes(state, 600)]) == []


def test_a_release_of_unknown_lift_must_still_not_be_worse_than_the_base() -> None:
    bad = make_candidate(BASE, takes=experts(wrong=range(8)), opens=range(8))
    state = serving_state(BASE, live=bad)
    (found,) = verdicts(monitor(), [state, *Traffic(holdback=HOLDBACK).outcomes(state, 900)])
    assert (found.judgement, found.reasons[0].check, found.stage) == (Judgement.ROLLBACK, "harm_to_base", 2)


def test_an_old_serving_state_does_not_bring_a_watch_back() -> None:
    drift, old = monitor(), serving_state(BASE, live=GOOD, sequence=1)
    verdicts(drift, [old, serving_state(BASE, sequence=2), old])
    assert drift._live is None


def test_the_base_itself_is_not_watched() -> None:
    state = serving_state(BASE)
    assert verdicts(monitor(), [state, *Traffic(holdback=HOLDBACK, fall={Arm.LIVE: 0.9}).outcomes(state, 600)]) == []


def test_without_a_holdback_there_is_no_yardstick() -> None:
    drift = DriftMonitor(PROBES, SAFETY, holdback=0.0)
    state = serving_state(BASE, live=GOOD)
    assert verdicts(drift, [state, *Traffic(holdback=0.0, fall={Arm.LIVE: 0.9}).outcomes(state, 300)]) == []


def test_the_lift_of_the_trial_is_what_a_release_is_held_to() -> None:
    drift = monitor()
    verdicts(drift, stories(after=30))
    assert drift._live is not None
    reference = drift._live.reference
    # Half the prompts are new, and there the base succeeds with .1 and the candidate with .9, exploration apart.
    assert reference is not None
    assert 0.25 < reference < 0.4
    assert drift._live.watched.stage == 2


def test_a_release_that_comes_back_brings_its_lift_along() -> None:
    drift, traffic = monitor(), Traffic(holdback=HOLDBACK)
    verdicts(drift, stories(after=30))
    assert drift._live is not None
    reference = drift._live.reference
    other = make_candidate(BASE, parent=GOOD, step=2, scale=1.2)
    verdicts(drift, [serving_state(BASE, live=other, sequence=3), serving_state(BASE, live=GOOD, sequence=4)])
    assert drift._live.watched.digest == GOOD.digest
    assert drift._live.reference == reference
    assert traffic.sequence == 0


def test_sessions_count_by_the_odds_of_their_own_time() -> None:
    drift = monitor()
    verdicts(
        drift,
        [
            serving_state(BASE, live=GOOD, sequence=1),
            serving_state(BASE, live=GOOD, staged=make_candidate(BASE, parent=GOOD, step=2), share=0.5, sequence=5),
        ],
    )
    assert drift._odds.live(1) == drift._odds.live(4) == pytest.approx(0.7)
    assert drift._odds.live(5) == pytest.approx(0.2 / 0.5)
    assert drift._odds.staged(5) == pytest.approx(0.5 / 0.8)


@pytest.mark.parametrize("cut", [500, 1_200, 2_500])
def test_a_restart_in_the_middle_gives_the_same_verdicts(cut: int) -> None:
    records = stories(fall=0.9, after=1_500)
    whole, first, second = monitor(), monitor(), monitor()
    expected = verdicts(whole, records)
    found = verdicts(first, records[:cut])
    second.restore(first.snapshot())
    found += verdicts(second, records[cut:])
    assert found == expected
    assert second.snapshot() == whole.snapshot()
    assert len(whole.snapshot()) < 50_000


def test_new_odds_begin_the_evidence_anew_and_keep_the_reference() -> None:
    first = monitor()
    verdicts(first, stories(after=30))
    second = DriftMonitor(PROBES, SAFETY, holdback=0.1)
    second.restore(first.snapshot())
    assert second._live is not None
    assert first._live is not None
    assert second._live.sessions == 0
    assert second._live.reference == first._live.reference


def test_a_snapshot_of_something_else_is_refused() -> None:
    with pytest.raises(ContractError, match="reset its key"):
        monitor().restore(json.dumps({"clock": 1}).encode())


def test_a_host_that_serves_somebody_else_does_not_count() -> None:
    state = serving_state(BASE, live=GOOD)
    traffic = Traffic(holdback=HOLDBACK, fall={Arm.LIVE: 0.9})
    switched_off = [replace(one, digest=BASE.digest) for one in traffic.outcomes(state, 900)]
    drift = monitor()
    live_only = [one for one in switched_off if one.arm is Arm.LIVE]
    verdicts(drift, [state, *live_only, *(replace(one, sequence=one.sequence + 900) for one in live_only)])
    assert drift._live is not None
    assert drift._live.sessions == 0
