import json
from dataclasses import replace

import numpy as np
import pytest

from ol0.config import SafetyConfig
from ol0.controller.heads import Head
from ol0.controller.hysteresis import Hysteresis
from ol0.drift.handler import DriftMonitor
from ol0.drift.movement import judge, measure
from ol0.drift.structure import Structure
from ol0.records import Candidate, Judgement, Verdict
from worlds import OLD, experts, make_base, make_candidate, make_suite, serving_state

SAFETY = SafetyConfig()
BASE = make_base()
PROBES = make_suite()


def monitor() -> DriftMonitor:
    """A monitor that knows what serves."""
    drift = DriftMonitor(PROBES, SAFETY, holdback=0.1)
    drift.handle(serving_state(BASE))
    return drift


def verdict(candidate: Candidate, drift: DriftMonitor | None = None) -> Verdict:
    (record,) = (monitor() if drift is None else drift).handle(candidate)
    assert isinstance(record, Verdict)
    return record


def test_the_base_and_a_good_candidate_are_approved() -> None:
    assert verdict(BASE.candidate()).judgement is Judgement.APPROVE
    judged = verdict(make_candidate(BASE).candidate())
    assert (judged.judgement, judged.stage, judged.evidence) == (Judgement.APPROVE, 0, 1_200)
    assert [reason.check for reason in judged.reasons] == ["kl", "norm", "kl_99", "spectral"]


def test_weights_times_ten_are_stopped() -> None:
    judged = verdict(make_candidate(BASE, scale=10).candidate())
    assert judged.judgement is Judgement.REJECT
    kl, norm = judged.reasons[:2]
    # KL does not see it: the mixer leaves the probes to the base.
    assert kl.figure is not None
    assert kl.figure < SAFETY.kl_warning
    assert norm.figure is not None
    assert norm.figure > SAFETY.norm_critical


def test_heads_that_move_on_old_prompts_are_stopped() -> None:
    judged = verdict(make_candidate(BASE, takes=experts(wrong=OLD), opens=range(8)).candidate())
    assert judged.judgement is Judgement.REJECT
    assert "emergency" in judged.reasons[0].text


@pytest.mark.parametrize(
    ("mean_kl", "near", "word"), [(0.01, True, "allowed"), (0.07, True, "warning"), (0.15, False, "critical")]
)
def test_kl_decides_at_its_levels(mean_kl: float, near: bool, word: str) -> None:  # noqa: FBT001 - a table
    movement = replace(measure(BASE.controller, PROBES.features), mean_kl=mean_kl)
    passed, reasons = judge(movement, SAFETY)
    assert passed is near
    assert word in reasons[0].text


def test_kl_is_that_of_the_definition() -> None:
    candidate = make_candidate(BASE, takes=experts(wrong=[0]), opens=range(8))
    base, learnt = (
        one.policy(PROBES.features)[0].astype(np.float64) for one in (BASE.controller, candidate.controller)
    )
    expected = float((base * np.log(base / learnt)).sum(axis=1).mean())
    assert measure(candidate.controller, PROBES.features).mean_kl == pytest.approx(expected, rel=1e-4)


def test_weights_that_overflow_are_stopped() -> None:
    judged = verdict(make_candidate(BASE, scale=5e37, opens=range(8)).candidate())
    assert judged.judgement is Judgement.REJECT


def test_forged_base_heads_are_stopped() -> None:
    # One bit of one weight: the policy is the same, the yardstick is not.
    weight = BASE.controller.base[0].weight.copy()
    weight[0, 0] = np.nextafter(weight[0, 0], np.float32(9))
    forged = make_candidate(BASE, base_head=Head(weight, BASE.controller.base[0].bias))
    judged = verdict(forged.candidate())
    assert judged.judgement is Judgement.REJECT
    assert "byte for byte" in judged.reasons[0].text


def test_another_exploration_is_stopped() -> None:
    judged = verdict(make_candidate(BASE, epsilon=0.3).candidate())
    assert judged.judgement is Judgement.REJECT
    assert "epsilon: 0.3" in judged.reasons[0].text


def test_another_hysteresis_is_stopped_after_a_restart_too() -> None:
    base = replace(BASE.controller, manifest=replace(BASE.controller.manifest, hysteresis=Hysteresis((1.0,), 0.05)))
    restored = Structure.from_snapshot(json.loads(json.dumps(Structure.of(base).snapshot())))
    assert Structure.of(base).differences(restored) == []
    (difference,) = Structure.of(BASE.controller).differences(restored)
    assert difference.startswith("hysteresis: None, the base has Hysteresis(")


def test_another_base_is_stopped() -> None:
    assert verdict(make_candidate(make_base(epsilon=0.2)).candidate()).judgement is Judgement.REJECT


@pytest.mark.parametrize(
    "change",
    [{"step": 7}, {"parent": make_candidate(BASE).digest}, {"step": 0}, {"heads": b"garbage"}],
    ids=["another step", "another parent", "posing as a base", "garbage"],
)
def test_a_record_that_contradicts_its_file_is_stopped(change: dict[str, object]) -> None:
    judged = verdict(replace(make_candidate(BASE, scale=1.5).candidate(), **change))  # type: ignore[arg-type]
    assert (judged.judgement, judged.reasons[0].check) == (Judgement.REJECT, "checkpoint")


def test_probes_of_another_dimension_are_an_answer_and_not_a_crash() -> None:
    narrow = replace(PROBES, features=PROBES.features[:, :5])
    assert verdict(BASE.candidate(), DriftMonitor(narrow, SAFETY, 0.1)).judgement is Judgement.REJECT


def test_a_candidate_waits_until_its_base_is_known() -> None:
    first = DriftMonitor(PROBES, SAFETY, holdback=0.1)
    candidate = make_candidate(BASE)
    assert verdict(candidate.candidate(), first).judgement is Judgement.HOLD
    second = DriftMonitor(PROBES, SAFETY, holdback=0.1)
    second.restore(first.snapshot())
    judged = second.handle(serving_state(BASE))
    assert [(one.digest, one.judgement) for one in judged if isinstance(one, Verdict)] == [
        (candidate.digest, Judgement.APPROVE)
    ]
