import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from pydantic import TypeAdapter

from ol0.config import SafetyConfig
from ol0.controller.compatibility import Structure
from ol0.controller.heads import Head, Mixer
from ol0.controller.hysteresis import Hysteresis
from ol0.controller.suite import Suite
from ol0.drift.handler import DriftMonitor
from ol0.drift.movement import Movement, judge, measure
from ol0.records import Candidate, Digest, Judgement, Verdict
from testbed.trunks import a_base_on, a_trunk
from testbed.worlds import OLD, Checkpoint, experts, make_base, make_candidate, make_suite, serving_state

SAFETY = SafetyConfig()
BASE = make_base()
PROBES = make_suite()


def monitor(base: Checkpoint = BASE) -> DriftMonitor:
    """A monitor that knows what serves."""
    drift = DriftMonitor(PROBES, SAFETY, holdback=0.1)
    drift.handle(serving_state(base))
    return drift


def verdict(candidate: Candidate, drift: DriftMonitor | None = None) -> Verdict:
    (record,) = (monitor() if drift is None else drift).handle(candidate)
    assert isinstance(record, Verdict)
    return record


def test_the_base_and_a_good_candidate_are_approved() -> None:
    assert verdict(BASE.candidate()).judgement is Judgement.APPROVE
    judged = verdict(make_candidate(BASE).candidate())
    assert (judged.judgement, judged.stage, judged.evidence) == (Judgement.APPROVE, 0, 1_200)
    assert [reason.check for reason in judged.reasons] == [
        "kl",
        "changed",
        "lost",
        "loudness",
        "norm",
        "kl_99",
        "spectral",
    ]


def failed(judged: Verdict) -> list[str]:
    """The checks that stand against a candidate."""
    return [one.check for one in judged.reasons if one.threshold is not None and (one.figure or 0) > one.threshold]


@pytest.mark.parametrize("sureness", [0.1, 1.0, 6.0, 60.0], ids=["small", "flat", "usual", "sharp"])
def test_from_every_base_good_heads_pass_and_bad_ones_do_not(sureness: float) -> None:
    base = make_base(sureness=sureness)
    assert verdict(make_candidate(base).candidate(), monitor(base)).judgement is Judgement.APPROVE
    bad = {
        "forgetting": make_candidate(base, takes=experts(wrong=OLD), opens=range(8)),
        "one old group sabotaged": make_candidate(base, takes=experts(wrong=[0]), opens=range(8)),
        "all to one expert": make_candidate(base, takes=dict.fromkeys(range(8), 0), opens=range(8)),
    }
    for name, candidate in bad.items():
        judged = verdict(candidate.candidate(), monitor(base))
        assert judged.judgement is Judgement.REJECT, name
        assert "lost" in failed(judged), name


@pytest.mark.parametrize("sureness", [0.1, 1.0, 6.0], ids=["small", "flat", "usual"])
def test_weights_times_ten_are_stopped_though_no_answer_to_a_probe_changes(sureness: float) -> None:
    base = make_base(sureness=sureness)
    judged = verdict(make_candidate(base, scale=10).candidate(), monitor(base))
    assert judged.judgement is Judgement.REJECT
    # KL does not see it: the mixer leaves the probes to the base.
    assert failed(judged) == ["loudness"]


def test_loud_heads_that_say_nothing_are_no_matter() -> None:
    # Behind a mixer that is closed everywhere, and beside a base that has no doubt left that could be lost.
    closed = replace(make_candidate(BASE, scale=10).controller, mixer=Mixer(np.zeros(8, np.float32), 20.0))
    sharp = make_base(sureness=6_000.0)
    for controller in (closed, make_candidate(sharp, scale=10_000).controller):
        assert measure(controller, PROBES).loudness <= SAFETY.loudness_critical


def test_the_norm_alone_stops_nobody() -> None:
    base = make_base(sureness=0.1)
    judged = verdict(make_candidate(base).candidate(), monitor(base))
    assert judged.judgement is Judgement.APPROVE
    (norm,) = (one for one in judged.reasons if one.check == "norm")
    assert norm.figure is not None
    assert norm.figure > 50
    assert norm.threshold is None


def test_a_figure_that_an_earlier_version_had_not_is_within_no_limit() -> None:
    stored = asdict(measure(BASE.controller, PROBES))
    del stored["loudness"]
    near, _ = judge(TypeAdapter(Movement).validate_json(json.dumps(stored)), SAFETY)
    assert not near


def test_heads_that_move_on_old_prompts_are_stopped() -> None:
    judged = verdict(make_candidate(BASE, takes=experts(wrong=OLD), opens=range(8)).candidate())
    assert judged.judgement is Judgement.REJECT
    assert "emergency" in judged.reasons[0].text


@pytest.mark.parametrize(
    ("mean_kl", "near", "word"), [(0.01, True, "allowed"), (0.07, True, "warning"), (0.15, False, "critical")]
)
def test_kl_decides_at_its_levels(mean_kl: float, near: bool, word: str) -> None:  # noqa: FBT001 - a table
    movement = replace(measure(BASE.controller, PROBES), mean_kl=mean_kl)
    passed, reasons = judge(movement, SAFETY)
    assert passed is near
    assert word in reasons[0].text


@pytest.mark.parametrize("check", ["kl", "changed", "lost", "loudness"])
def test_every_limit_stops_by_itself(check: str) -> None:
    still = measure(BASE.controller, PROBES)
    figure = "mean_kl" if check == "kl" else check
    far, reasons = judge(replace(still, **{figure: getattr(SAFETY, f"{check}_critical") + 0.01}), SAFETY)
    assert not far
    assert [one.check for one in reasons if one.threshold is not None and (one.figure or 0) > one.threshold] == [check]


def test_kl_is_that_of_the_definition() -> None:
    candidate = make_candidate(BASE, takes=experts(wrong=[0]), opens=range(8))
    base, learnt = (
        one.policy(PROBES.features)[0].astype(np.float64) for one in (BASE.controller, candidate.controller)
    )
    expected = float((base * np.log(base / learnt)).sum(axis=1).mean())
    assert measure(candidate.controller, PROBES).mean_kl == pytest.approx(expected, rel=1e-4)


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
    adapter = TypeAdapter(Structure)
    stored = adapter.dump_json(Structure.of(base))
    of_an_earlier_version = json.dumps({**json.loads(stored), "hysteresis": [[1.0], 0.05]})
    for body in (stored, of_an_earlier_version):
        restored = adapter.validate_json(body)
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


@pytest.mark.parametrize(
    "other",
    [
        replace(PROBES, features=PROBES.features[:, :5]),
        replace(PROBES, values=PROBES.values * 3),
    ],
    ids=["features", "parts"],
)
def test_probes_of_another_dimension_are_an_answer_and_not_a_crash(other: Suite) -> None:
    judged = verdict(BASE.candidate(), DriftMonitor(other, SAFETY, 0.1))
    assert (judged.judgement, judged.reasons[0].check) == (Judgement.REJECT, "checkpoint")


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


def test_who_waited_while_the_suite_was_changed_is_not_judged_by_what_the_old_one_said() -> None:
    first = DriftMonitor(PROBES, SAFETY, holdback=0.1)
    verdict(make_candidate(BASE).candidate(), first)
    for digest in ("6", "7"):  # nor after another restart before anything serves
        second = DriftMonitor(replace(PROBES, digest=Digest(digest * 64)), SAFETY, holdback=0.1)
        second.restore(first.snapshot())
        first = second
    (judged,) = second.handle(serving_state(BASE))
    assert isinstance(judged, Verdict)
    assert judged.judgement is Judgement.REJECT
    assert "the canary suite was changed" in judged.reasons[0].text


def test_hidden_layers_belong_to_the_base_that_a_candidate_is_measured_against() -> None:
    base = a_base_on(a_trunk((5,), "tanh"), (4,))
    features = np.random.default_rng(0).normal(size=(200, base.dimension)).astype(np.float32)
    values = np.eye(4, dtype=np.float32)[base.greedy(features)[:, 0]]
    probes = Suite(PROBES.digest, features, (values,), np.zeros(200, np.uint8))
    still = measure(base, probes)
    assert (still.mean_kl, still.changed, still.lost, still.norm) == pytest.approx((0, 0, 0, 0), abs=1e-6)
    turned = replace(
        base, learnt=(Head(-base.base[0].weight, base.base[0].bias),), mixer=replace(base.mixer, threshold=-9)
    )
    moved = measure(turned, probes)
    assert moved.changed > 0.5
    assert moved.mean_kl > 0.5
