import json
from dataclasses import replace

import pytest

from ol0.config import StageConfig
from ol0.errors import ContractError
from ol0.records import Gate, Judgement, Mode, OperatorKind, Phase, ServingState, Transition
from ol0.release.handler import ReleaseHandler
from ol0.wire.validation import validate
from support.examples import TIME_MS
from unit.release.lineage import BASE, CONFIG, LIVE_STAGE, Lineage, a_verdict, an_order


def test_a_mode_is_published() -> None:
    lineage = Lineage()
    (state,) = lineage.handler.handle(an_order(OperatorKind.MODE, "observe", 7))
    assert isinstance(state, ServingState)
    assert (state.mode, state.sequence, state.time_ms) == (Mode.OBSERVE, 2, 7)
    assert lineage.handler.handle(an_order(OperatorKind.MODE, "observe", 8)) == ()


def test_while_frozen_an_approved_candidate_waits_and_a_thaw_stages_it() -> None:
    lineage = Lineage()
    lineage.handler.handle(an_order(OperatorKind.FREEZE))
    candidate = lineage.staged()
    assert lineage.handler.state.trial is not None
    assert lineage.handler.state.trial.phase is Phase.OFFERED
    state, transition = lineage.handler.handle(an_order(OperatorKind.THAW))
    assert isinstance(state, ServingState)
    assert state.staged is not None
    assert (state.staged.release.digest, state.frozen) == (candidate.digest, False)
    assert isinstance(transition, Transition)


def test_while_frozen_a_stage_that_was_passed_is_left_only_after_the_thaw() -> None:
    lineage = Lineage()
    candidate = lineage.staged()
    lineage.handler.handle(an_order(OperatorKind.FREEZE))
    lineage.judge(candidate, Gate.CANARY, Judgement.APPROVE, 1)
    assert lineage.handler.state.trial is not None
    assert lineage.handler.state.trial.stage == 1
    lineage.handler.handle(an_order(OperatorKind.THAW))
    assert lineage.handler.state.trial.stage == 2


def test_a_thaw_alone_moves_no_stage_on() -> None:
    lineage = Lineage()
    lineage.staged()
    for kind in (OperatorKind.FREEZE, OperatorKind.THAW):
        lineage.handler.handle(an_order(kind))
    assert lineage.handler.state.trial is not None
    assert lineage.handler.state.trial.stage == 1


def test_an_order_with_an_earlier_time_does_not_shorten_the_cooldown() -> None:
    lineage = Lineage()
    lineage.released()
    until_ms = lineage.handler.state.cooldown_until_ms
    lineage.handler.handle(an_order(OperatorKind.ROLLBACK, time_ms=1))
    assert lineage.handler.state.cooldown_until_ms == until_ms


def test_while_frozen_harm_still_ends_a_trial() -> None:
    lineage = Lineage()
    candidate = lineage.staged()
    lineage.handler.handle(an_order(OperatorKind.FREEZE))
    lineage.judge(candidate, Gate.DRIFT, Judgement.ROLLBACK, 1)
    assert lineage.handler.state.trial is None


def test_a_thaw_forgets_the_failures() -> None:
    lineage = Lineage()
    lineage.judge(lineage.staged(), Gate.CANARY, Judgement.REJECT, 1)
    (state,) = lineage.handler.handle(an_order(OperatorKind.THAW))
    assert isinstance(state, ServingState)
    assert state.failures == 0


def test_a_pin_makes_a_former_release_live_and_freezes() -> None:
    lineage = Lineage()
    first, second = lineage.released(), lineage.released()
    waiting = lineage.next_candidate()
    state, *transitions = lineage.handler.handle(an_order(OperatorKind.PIN, first.digest))
    assert isinstance(state, ServingState)
    assert (state.live.digest, state.frozen) == (first.digest, True)
    assert {(one.digest, one.to_phase) for one in transitions if isinstance(one, Transition)} == {
        (first.digest, Phase.LIVE),
        (second.digest, Phase.SUPERSEDED),
        (waiting.digest, Phase.REJECTED),
    }
    lineage.handler.handle(an_order(OperatorKind.PIN, second.digest))
    assert lineage.handler.state.live is not None
    assert lineage.handler.state.live.digest == second.digest
    lineage.handler.handle(an_order(OperatorKind.PIN, BASE.digest))
    assert lineage.handler.state.live == lineage.handler.state.base


def test_below_a_pinned_release_lies_an_older_one_not_the_one_it_was_pinned_against() -> None:
    lineage = Lineage()
    first, second, third = (lineage.released() for _ in range(3))
    lineage.handler.handle(an_order(OperatorKind.PIN, second.digest))
    lineage.judge(second, Gate.DRIFT, Judgement.ROLLBACK, LIVE_STAGE)
    assert lineage.handler.state.live is not None
    assert lineage.handler.state.live.digest == first.digest
    assert third.digest in {one.digest for one in lineage.handler.state.history}


def test_a_rollback_order_quarantines_without_counting_a_failure() -> None:
    lineage = Lineage()
    first, second = lineage.released(), lineage.released()
    lineage.handler.handle(an_order(OperatorKind.ROLLBACK, second.digest))
    life = lineage.handler.state
    assert life.live is not None
    assert (life.live.digest, life.quarantined, life.failures) == (first.digest, (second.digest,), 0)
    lineage.handler.handle(an_order(OperatorKind.ROLLBACK, second.digest))
    assert lineage.handler.state.live == life.live, "an order that comes twice must not hit the next one"


def test_a_rollback_order_can_name_what_is_on_trial() -> None:
    lineage = Lineage()
    candidate = lineage.staged()
    lineage.handler.handle(an_order(OperatorKind.ROLLBACK, candidate.digest))
    assert lineage.handler.state.trial is None
    assert lineage.handler.state.quarantined == (candidate.digest,)


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        (OperatorKind.MODE, "full speed", "off, observe, apply are right"),
        (OperatorKind.PIN, "f" * 64, "not among the releases"),
        (OperatorKind.ROLLBACK, None, "nothing to go back to"),
        (OperatorKind.ROLLBACK, "f" * 64, "neither is live nor on trial"),
    ],
)
def test_an_impossible_order_changes_nothing_but_leaves_a_note(
    kind: OperatorKind, value: str | None, reason: str
) -> None:
    lineage = Lineage()
    assert lineage.handler.handle(an_order(kind, value)) == ()
    refused = lineage.handler.state.refused
    assert refused is not None
    assert reason in refused.reason
    assert reason in lineage.handler.snapshot().decode()


def test_forgetting_users_is_somebody_elses_work() -> None:
    handler = ReleaseHandler(CONFIG, 10)
    assert handler.handle(an_order(OperatorKind.FORGET, "0" * 32)) == ()
    assert handler.state.refused is None


def test_a_restored_handler_goes_on_as_if_nothing_had_happened() -> None:
    lineage, other = Lineage(), ReleaseHandler(CONFIG, 10)
    lineage.released()
    lineage.judge(lineage.staged(), Gate.DRIFT, Judgement.ROLLBACK, 1)
    lineage.handler.handle(an_order(OperatorKind.PIN, "f" * 64))
    candidate = lineage.staged()
    other.restore(lineage.handler.snapshot())
    assert other.state == lineage.handler.state
    order = an_order(OperatorKind.ROLLBACK, candidate.digest)
    assert other.handle(order) == lineage.handler.handle(order)
    assert other.snapshot() == lineage.handler.snapshot()


def test_garbage_is_no_snapshot() -> None:
    with pytest.raises(ContractError, match="no snapshot of release"):
        ReleaseHandler(CONFIG, 10).restore(b"{}garbage")


@pytest.mark.parametrize("stages", [(), (StageConfig(share=0.5),), (StageConfig(share=0.1), StageConfig(share=0.6))])
def test_a_stage_keeps_its_share_whatever_the_settings_become(stages: tuple[StageConfig, ...]) -> None:
    # Whoever judges the stage counts under the share that it began with; a freeze and a thaw publish it again.
    lineage = Lineage()
    candidate = lineage.staged()
    lineage.judge(candidate, Gate.CANARY, Judgement.APPROVE, 1)
    other = ReleaseHandler(CONFIG.model_copy(update={"stages": stages}), 10)
    other.restore(lineage.handler.snapshot())
    for order in (OperatorKind.FREEZE, OperatorKind.THAW):
        (state,) = other.handle(an_order(order))
        assert isinstance(state, ServingState)
        assert state.staged is not None
        assert (state.staged.stage, state.staged.share) == (2, 0.25)
    approval = a_verdict(candidate, Gate.CANARY, stage=2, time_ms=lineage.time_ms)
    state = other.handle(approval)[0]
    assert isinstance(state, ServingState)
    assert state.live.digest == candidate.digest, "no stage is left"


def test_other_settings_hold_from_the_next_stage_on() -> None:
    lineage = Lineage()
    candidate = lineage.staged()
    stages = (StageConfig(share=0.1), StageConfig(share=0.6))
    other = ReleaseHandler(CONFIG.model_copy(update={"stages": stages}), 10)
    other.restore(lineage.handler.snapshot())
    state = other.handle(a_verdict(candidate, Gate.CANARY, stage=1, time_ms=lineage.time_ms))[0]
    assert isinstance(state, ServingState)
    assert state.staged is not None
    assert (state.staged.stage, state.staged.share) == (2, 0.6)


def test_a_trial_whose_share_nobody_noted_needs_its_stage_in_the_settings() -> None:
    lineage = Lineage()
    candidate = lineage.staged()
    lineage.judge(candidate, Gate.CANARY, Judgement.APPROVE, 1)
    unnoted = json.loads(lineage.handler.snapshot())
    del unnoted["trial"]["share"]
    fewer = CONFIG.model_copy(update={"stages": CONFIG.stages[:1]})
    with pytest.raises(ContractError, match="put it back"):
        ReleaseHandler(fewer, 10).restore(json.dumps(unnoted).encode())


def test_a_cause_of_the_longest_reason_can_be_sent() -> None:
    lineage = Lineage()
    first, _ = lineage.released(), lineage.released()
    order = replace(an_order(OperatorKind.PIN, first.digest), actor="é" * 128, reason="é" * 4_096)
    validate(replace(order, time_ms=TIME_MS))
    transitions = [made for made in lineage.handler.handle(order) if isinstance(made, Transition)]
    assert transitions
    for transition in transitions:
        assert transition.cause.startswith("é" * 128)
        validate(replace(transition, time_ms=TIME_MS))
