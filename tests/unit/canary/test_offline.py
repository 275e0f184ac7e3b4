from dataclasses import replace

import numpy as np
import pytest

from ol0.canary.handler import CanaryGate
from ol0.canary.offline import judge_candidate, run_suite
from ol0.config import SafetyConfig
from ol0.controller.checkpoint import digest_of, read_checkpoint, write_checkpoint
from ol0.controller.controller import Controller
from ol0.controller.suite import Suite, known_good
from ol0.errors import CheckpointError
from ol0.records import Candidate, Digest, Judgement, Verdict
from testbed.trunks import a_base_on, a_trunk
from testbed.worlds import (
    EXPERTS,
    KIND_COUNT,
    NEW,
    OLD,
    Checkpoint,
    experts,
    make_base,
    make_candidate,
    make_suite,
    serving_state,
)

SAFETY = SafetyConfig()
BASE = make_base()


def gate(suite: Suite | None = None, threshold: float = 0.9) -> CanaryGate:
    return CanaryGate(make_suite() if suite is None else suite, SAFETY, threshold, holdback=0.1)


def serving(live: Checkpoint = BASE, suite: Suite | None = None) -> CanaryGate:
    """A gate that knows what serves."""
    canary = gate(suite)
    canary.handle(serving_state(BASE, live=live))
    return canary


def verdict(canary: CanaryGate, candidate: Candidate) -> Verdict:
    (record,) = canary.handle(candidate)
    assert isinstance(record, Verdict)
    return record


def against(judged: Verdict) -> str:
    """The check that stands first: what speaks against the candidate."""
    return judged.reasons[0].check


def test_a_base_that_passes_its_share_is_approved() -> None:
    judged = verdict(gate(), BASE.candidate())
    assert (judged.judgement, judged.stage, judged.evidence) == (Judgement.APPROVE, 0, 1_200)


def test_a_base_that_passes_too_little_is_rejected() -> None:
    judged = verdict(gate(make_suite(kinds=range(8))), BASE.candidate())
    assert judged.judgement is Judgement.REJECT
    assert judged.reasons[0].figure == pytest.approx(0.5)


def test_a_good_candidate_is_approved_offline() -> None:
    judged = verdict(serving(), make_candidate(BASE).candidate())
    assert judged.judgement is Judgement.APPROVE
    assert judged.suite_digest == make_suite().digest


def test_heads_that_forget_the_old_kinds_are_stopped() -> None:
    forgetful = make_candidate(BASE, takes=experts(wrong=OLD), opens=range(8))
    judged = verdict(serving(), forgetful.candidate())
    assert judged.judgement is Judgement.REJECT
    assert "loses on 1200 of 1200 prompts" in judged.reasons[0].text


def test_a_loss_within_the_share_that_must_pass_is_stopped_by_the_bound() -> None:
    # One prompt in 26 is of the forgotten kind: more than .9 still pass, but a loss of 2 points is not ruled out.
    suite = make_suite(kinds=[*([0, 1] * 12), 2, 3])
    forgetful = make_candidate(BASE, takes=experts(wrong=[3]), opens=range(8))
    relaxed = SAFETY.model_copy(update={"critical_confidence": 1.0})
    canary = CanaryGate(suite, relaxed, 0.9, holdback=0.1)
    canary.handle(serving_state(BASE))
    judged = verdict(canary, forgetful.candidate())
    assert (judged.judgement, against(judged)) == (Judgement.REJECT, "suite_base")


def test_a_kind_of_check_that_suffers_is_named_though_the_total_gains() -> None:
    plain = make_suite(kinds=range(8))
    safety_kind = 1
    checks = np.where(np.arange(1_200) % 8 == 3, safety_kind, 0).astype(np.uint8)
    judged = verdict(
        serving(suite=replace(plain, kinds=checks)),
        make_candidate(BASE, takes=experts(wrong=[3]), opens=range(8)).candidate(),
    )
    assert (judged.judgement, against(judged)) == (Judgement.REJECT, "safety_base")


def test_one_critical_prompt_that_fails_is_enough() -> None:
    kinds = np.array([3] + [0] * 1_199)
    suite = replace(
        make_suite(),
        features=np.where(kinds == 3, 2, 1)[:, None] * np.eye(KIND_COUNT, dtype=np.float32)[kinds],
        values=known_good((kinds % 4)[:, None], (EXPERTS,)),
        kinds=kinds * 0,
    )
    suite = replace(suite, kinds=suite.kinds.astype(np.uint8))
    judged = verdict(serving(suite=suite), make_candidate(BASE, takes=experts(wrong=[3]), opens=range(8)).candidate())
    assert (judged.judgement, against(judged)) == (Judgement.REJECT, "critical")
    assert judged.reasons[0].figure == 1


def test_a_prompt_of_which_the_base_is_not_sure_is_not_critical() -> None:
    result = run_suite(make_suite(), BASE.digest, BASE.heads, SAFETY.model_copy(update={"critical_confidence": 0.999}))
    assert not result.critical.any()


def test_where_the_base_is_sure_of_everything_the_surest_quarter_is_critical() -> None:
    suite = make_suite()
    louder = np.where(np.arange(1_200) % 4 == 1, 2, 1)[:, None]
    suite = replace(suite, features=(louder * suite.features).astype(np.float32))
    result = run_suite(suite, BASE.digest, BASE.heads, SAFETY)
    assert np.flatnonzero(result.critical).tolist() == list(range(1, 1_200, 4))


def test_a_candidate_that_loses_what_its_parent_gained_is_stopped() -> None:
    parent = make_candidate(BASE)
    back = make_candidate(BASE, parent=parent, step=2, takes=experts(wrong=NEW))
    judged = verdict(serving(live=parent, suite=make_suite(kinds=range(8))), back.candidate())
    assert (judged.judgement, against(judged)) == (Judgement.REJECT, "suite_parent")


def test_a_candidate_may_be_a_little_less_than_its_parent_which_chance_was_kind_to() -> None:
    # Given a parent that gained on 50 of 1,200 old prompts, and a candidate that gains on 30 of these alone
    suite = make_suite()
    suite = replace(suite, values=(np.array(suite.values[0]),))
    base = run_suite(suite, BASE.digest, BASE.heads, SAFETY)
    parent, candidate = (replace(base, digest=Digest(it * 64), worth=base.worth.copy()) for it in "pc")
    base.worth[:50] = 0
    candidate.worth[30:50] = 0
    # When both are held against it: a loss of 2 % could not be ruled out of so few
    found = {it.reason.check: it for it in judge_candidate(suite, SAFETY, candidate, base, parent)}
    # Then what is seen is allowed, though its bound is not
    assert (found["suite_parent"].reason.bound or 0) < -SAFETY.suite_margin < (found["suite_parent"].reason.figure or 0)
    assert found["suite_base"].passed
    assert found["suite_parent"].passed
    # And held against the base the same loss is not
    assert not {it.reason.check: it for it in judge_candidate(suite, SAFETY, candidate, parent, parent)}[
        "suite_base"
    ].passed


def test_a_stale_parent_is_rejected() -> None:
    judged = verdict(serving(live=make_candidate(BASE)), make_candidate(BASE, step=2).candidate())
    assert (judged.judgement, against(judged)) == (Judgement.REJECT, "parent")
    assert "stale parent" in judged.reasons[0].text


def test_another_base_is_rejected() -> None:
    other = make_base(epsilon=0.2)
    judged = verdict(serving(), make_candidate(other, parent=BASE).candidate())
    assert (judged.judgement, against(judged)) == (Judgement.REJECT, "base")


def test_a_second_base_is_rejected_while_one_serves() -> None:
    assert verdict(serving(), make_base(epsilon=0.2).candidate()).judgement is Judgement.REJECT


def test_step_0_cannot_be_a_way_around_the_comparison() -> None:
    disguised = replace(make_candidate(BASE).candidate(), step=0)
    assert verdict(serving(), disguised).judgement is Judgement.REJECT


@pytest.mark.parametrize(
    "heads", [b"garbage", make_base().heads[:-1], make_candidate(BASE).heads], ids=["garbage", "cut", "another file"]
)
def test_a_checkpoint_that_is_not_what_it_says_is_rejected(heads: bytes) -> None:
    judged = verdict(serving(), replace(make_candidate(BASE, scale=2).candidate(), heads=heads))
    assert (judged.judgement, against(judged)) == (Judgement.REJECT, "checkpoint")


def test_a_checkpoint_for_other_features_is_rejected() -> None:
    narrow = make_suite()
    narrow = replace(narrow, features=narrow.features[:, :5])
    judged = verdict(gate(narrow), BASE.candidate())
    assert judged.judgement is Judgement.REJECT
    assert "8 features" in judged.reasons[0].text


def test_weights_that_overflow_are_judged_without_a_warning() -> None:
    judged = verdict(serving(), make_candidate(BASE, scale=3e37, opens=range(8)).candidate())
    assert judged.judgement in (Judgement.APPROVE, Judgement.REJECT)


def test_a_candidate_waits_until_it_is_known_what_serves() -> None:
    canary, candidate = gate(), make_candidate(BASE)
    held = verdict(canary, candidate.candidate())
    assert (held.judgement, against(held)) == (Judgement.HOLD, "waiting")
    (judged,) = canary.handle(serving_state(BASE))
    assert isinstance(judged, Verdict)
    assert (judged.digest, judged.judgement) == (candidate.digest, Judgement.APPROVE)
    assert canary.handle(serving_state(BASE, sequence=2)) == []


def test_every_reason_says_what_was_asked_and_what_was_found() -> None:
    judged = verdict(serving(), make_candidate(BASE).candidate())
    assert {reason.check for reason in judged.reasons} >= {"suite_base", "safety_base", "critical"}
    assert all(reason.figure is not None and reason.threshold is not None for reason in judged.reasons)
    assert judged.digest != Digest(judged.parent)


def test_what_a_base_with_hidden_layers_is_sure_of_is_critical() -> None:
    base = a_base_on(a_trunk((5,), "tanh", gain=0.05), (4,))  # a small gain: heads of large weights, sure of much
    features = np.random.default_rng(0).normal(size=(400, base.dimension)).astype(np.float32)
    sure = base.policy(features)[0].max(axis=1)
    suite = Suite(
        Digest("5" * 64), features, (np.eye(4, dtype=np.float32)[base.greedy(features)[:, 0]],), np.zeros(400, np.uint8)
    )
    data = write_checkpoint(base.manifest, base.base, base.base, base.mixer, base.trunk)
    critical = run_suite(suite, digest_of(data), data, SAFETY).critical
    assert critical.any()
    assert sure[critical].min() > sure[~critical].max() - 1e-6


def test_a_state_whose_chunks_are_deleted_since_is_passed_over_where_a_newer_one_serves() -> None:
    # Given a gate that reads of a release which was rolled back since, and its chunks deleted.
    gone, newer = make_candidate(BASE), serving_state(BASE, sequence=3)

    def opener(heads: bytes, digest: Digest | None) -> Controller:
        if digest == gone.digest:
            raise CheckpointError("chunk 1 of 3 is missing")
        return read_checkpoint(heads, digest)

    canary = CanaryGate(make_suite(), SAFETY, 0.9, 0.1, newest=lambda: newer, opener=opener)
    canary.handle(serving_state(BASE, sequence=1))
    # When it comes to that state, then it goes on, and judges as before.
    assert canary.handle(serving_state(BASE, live=gone, sequence=2)) == []
    canary.handle(newer)
    assert verdict(canary, make_candidate(BASE, step=2).candidate()).judgement is Judgement.APPROVE
    # What serves now and cannot be opened still ends it.
    with pytest.raises(CheckpointError, match="serving state 4 serves what cannot be used: chunk 1 of 3 is missing"):
        canary.handle(serving_state(BASE, live=gone, sequence=4))
