from dataclasses import replace

import pytest

from ol0.controller.checkpoint import digest_of, read_checkpoint, write_checkpoint
from ol0.controller.hysteresis import Hysteresis
from ol0.records import Digest, Gate, Judgement, Mode, Phase, ServingState, Tick, Transition
from ol0.release.handler import ReleaseHandler
from ol0.release.state import serving_state
from unit.release.lineage import BASE, BASE_HEAD, CONFIG, LIVE_STAGE, Lineage, a_candidate, a_verdict


def state_of(lineage: Lineage) -> ServingState:
    state = serving_state(lineage.handler.state, lineage.handler._rules)
    assert state is not None
    return state


def moves(records: object) -> list[tuple[Phase | None, Phase]]:
    assert isinstance(records, tuple)
    return [(record.from_phase, record.to_phase) for record in records if isinstance(record, Transition)]


def test_the_base_serves_once_both_gates_have_approved_it() -> None:
    handler = ReleaseHandler(CONFIG, 10)
    assert moves(handler.handle(BASE)) == [(None, Phase.OFFERED)]
    assert handler.handle(a_verdict(BASE, Gate.CANARY)) == ()
    state, transition = handler.handle(a_verdict(BASE, Gate.DRIFT))
    assert isinstance(state, ServingState)
    assert (state.sequence, state.mode, state.staged, state.decided_step) == (1, Mode.APPLY, None, 0)
    assert state.base == state.live
    assert [verdict.gate for verdict in state.base.approvals] == [Gate.CANARY, Gate.DRIFT]
    assert isinstance(transition, Transition)
    assert transition.serving_sequence == 1


def test_nothing_but_a_base_may_come_first() -> None:
    handler = ReleaseHandler(CONFIG, 10)
    (turned_away,) = handler.handle(a_candidate(1, BASE.digest, 5))
    assert isinstance(turned_away, Transition)
    assert (turned_away.to_phase, turned_away.serving_sequence) == (Phase.REJECTED, 0)
    assert "ol0 warmup" in turned_away.cause


def test_a_base_that_a_gate_rejects_makes_room_for_the_next_attempt() -> None:
    handler = ReleaseHandler(CONFIG, 10)
    handler.handle(BASE)
    handler.handle(a_verdict(BASE, Gate.DRIFT, Judgement.REJECT, time_ms=10_000))
    assert moves(handler.handle(BASE)) == [(None, Phase.OFFERED)]


def test_a_candidate_goes_from_offline_over_every_share_to_live() -> None:
    lineage = Lineage()
    candidate = lineage.staged()
    staged = state_of(lineage).staged
    assert staged is not None
    assert (staged.release.digest, staged.stage, staged.share) == (candidate.digest, 1, 0.05)
    lineage.judge(candidate, Gate.CANARY, Judgement.APPROVE, 1)
    staged = state_of(lineage).staged
    assert staged is not None
    assert (staged.stage, staged.share) == (2, 0.25)
    lineage.judge(candidate, Gate.CANARY, Judgement.APPROVE, 2)
    state = state_of(lineage)
    assert (state.live.digest, state.staged, state.decided_step) == (candidate.digest, None, 1)
    assert [(one.gate, one.stage) for one in state.live.approvals] == [(Gate.CANARY, 2), (Gate.DRIFT, 0)]
    assert state.cooldown_until_ms == lineage.time_ms + 1_000


@pytest.mark.parametrize("gate", Gate)
def test_one_gate_alone_stages_nothing(gate: Gate) -> None:
    lineage = Lineage()
    candidate = lineage.next_candidate()
    lineage.judge(candidate, gate, Judgement.APPROVE, 0)
    lineage.judge(candidate, gate, Judgement.APPROVE, 0)
    assert state_of(lineage).staged is None


def test_drift_never_moves_a_stage_on() -> None:
    lineage = Lineage()
    candidate = lineage.staged()
    before = state_of(lineage)
    lineage.judge(candidate, Gate.DRIFT, Judgement.APPROVE, 1)
    assert state_of(lineage) == before


def test_verdicts_that_overtake_their_candidate_are_not_lost() -> None:
    lineage = Lineage()
    candidate = a_candidate(1, BASE.digest, 5)
    lineage.approve(candidate)
    lineage.offer(candidate)
    staged = state_of(lineage).staged
    assert staged is not None
    assert staged.release.digest == candidate.digest


def test_early_verdicts_for_another_base_do_not_count() -> None:
    lineage = Lineage()
    candidate = a_candidate(1, BASE.digest, 5)
    lineage.handler.handle(replace(a_verdict(candidate, Gate.CANARY), base=Digest("f" * 64)))
    lineage.handler.handle(a_verdict(candidate, Gate.DRIFT))
    lineage.offer(candidate)
    assert state_of(lineage).staged is None


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"base": Digest("f" * 64)}, "its base is ffff"),
        ({"parent": Digest("f" * 64)}, "its parent is ffff"),
        ({"step": 0}, "step 0 is settled"),
        ({"heads": b"garbage"}, "its bytes were changed"),
        ({"step": 2}, "manifest names another"),
        ({"digest": Digest("f" * 64)}, "its bytes were changed"),
    ],
)
def test_a_wrong_candidate_is_turned_away_with_the_cause(change: dict[str, object], cause: str) -> None:
    lineage = Lineage()
    wrong = replace(a_candidate(1, BASE.digest, 5), **change)  # type: ignore[arg-type]
    transition = lineage.handler.handle(wrong)[-1]
    assert isinstance(transition, Transition)
    assert (transition.from_phase, transition.to_phase) == (None, Phase.REJECTED)
    assert cause in transition.cause
    assert lineage.handler.state.trial is None


def test_base_heads_that_moved_are_not_those_of_the_base(monkeypatch: pytest.MonkeyPatch) -> None:
    lineage = Lineage()
    other = replace(BASE_HEAD, bias=BASE_HEAD.bias + 1)
    monkeypatch.setattr("unit.release.lineage.BASE_HEAD", other)
    moved = a_candidate(1, BASE.digest, 5)
    transition = lineage.handler.handle(moved)[-1]
    assert isinstance(transition, Transition)
    assert "base heads or hidden layers are not those of the base" in transition.cause


def test_another_hysteresis_than_the_bases_is_turned_away() -> None:
    lineage = Lineage()
    plain = read_checkpoint(a_candidate(1, BASE.digest, 5).heads)
    manifest = replace(plain.manifest, hysteresis=Hysteresis((1.0,), 0.05))
    heads = write_checkpoint(manifest, plain.base, plain.learnt, plain.mixer)
    other = replace(a_candidate(1, BASE.digest, 5), heads=heads, digest=digest_of(heads))
    transition = lineage.handler.handle(other)[-1]
    assert isinstance(transition, Transition)
    assert "hysteresis: " in transition.cause


def test_only_the_next_step_of_the_lineage_is_settled_by_being_turned_away() -> None:
    lineage = Lineage()
    lineage.offer(replace(a_candidate(1, BASE.digest, 5), heads=b"garbage", step=1_000_000))
    assert state_of(lineage).decided_step == 0
    lineage.offer(replace(a_candidate(1, BASE.digest, 5), heads=b"garbage"))
    assert state_of(lineage).decided_step == 1


def test_during_the_cooldown_a_candidate_is_turned_away_and_its_step_settled() -> None:
    lineage = Lineage()
    live = lineage.released()
    soon = state_of(lineage).cooldown_until_ms - 1
    lineage.offer(a_candidate(2, live.digest, soon))
    assert lineage.handler.state.trial is None
    assert state_of(lineage).decided_step == 2
    lineage.offer(a_candidate(3, live.digest, soon + 1))
    assert lineage.handler.state.trial is not None


def test_one_candidate_at_a_time_and_the_other_ones_step_is_settled_with_the_first_ones_fate() -> None:
    lineage = Lineage()
    first = lineage.next_candidate()
    records = lineage.handler.handle(a_candidate(2, BASE.digest, lineage.time_ms))
    assert moves(records) == [(None, Phase.REJECTED)]
    assert state_of(lineage).decided_step == 0, "a gate takes a settled step for decided and would drop the first"
    lineage.judge(first, Gate.CANARY, Judgement.REJECT, 0)
    assert state_of(lineage).decided_step == 2


def test_the_same_candidate_sent_twice_has_one_fate() -> None:
    lineage = Lineage()
    candidate = lineage.next_candidate()
    assert lineage.handler.handle(candidate) == ()
    assert lineage.handler.handle(BASE) == ()


@pytest.mark.parametrize("gate", Gate)
def test_an_offline_reject_is_no_failure_but_starts_the_cooldown(gate: Gate) -> None:
    lineage = Lineage()
    lineage.judge(lineage.next_candidate(), gate, Judgement.REJECT, 0)
    state = state_of(lineage)
    assert (state.failures, state.decided_step) == (0, 1)
    assert state.cooldown_until_ms == lineage.time_ms + 1_000


@pytest.mark.parametrize(("check", "failures"), [("harm", 1), ("undecided", 0)])
def test_a_staged_reject_counts_where_harm_was_shown(check: str, failures: int) -> None:
    lineage = Lineage()
    lineage.judge(lineage.staged(), Gate.CANARY, Judgement.REJECT, 1, check)
    assert state_of(lineage).failures == failures
    assert state_of(lineage).staged is None


@pytest.mark.parametrize("gate", Gate)
def test_a_rollback_quarantines_what_is_staged(gate: Gate) -> None:
    lineage = Lineage()
    candidate = lineage.staged()
    lineage.judge(candidate, gate, Judgement.ROLLBACK, 1)
    assert lineage.handler.state.quarantined == (candidate.digest,)
    assert (state_of(lineage).failures, state_of(lineage).staged) == (1, None)


def test_a_rollback_that_crosses_the_approval_of_its_stage_still_counts() -> None:
    lineage = Lineage()
    candidate = lineage.staged()
    lineage.judge(candidate, Gate.CANARY, Judgement.APPROVE, 1)
    lineage.judge(candidate, Gate.DRIFT, Judgement.ROLLBACK, 1)
    assert lineage.handler.state.quarantined == (candidate.digest,)


def test_a_rollback_of_what_is_live_brings_its_predecessor_back_at_once() -> None:
    lineage = Lineage()
    first, second = lineage.released(), lineage.released()
    waiting = lineage.next_candidate()
    records = lineage.handler.handle(
        a_verdict(second, Gate.DRIFT, Judgement.ROLLBACK, stage=LIVE_STAGE, time_ms=lineage.time_ms)
    )
    state = records[0]
    assert isinstance(state, ServingState)
    assert (state.live.digest, state.failures) == (first.digest, 1)
    assert lineage.handler.state.history == (), "what is live is not what was"
    assert {(one.digest, one.to_phase) for one in records if isinstance(one, Transition)} == {
        (second.digest, Phase.QUARANTINED),
        (first.digest, Phase.LIVE),
        (waiting.digest, Phase.REJECTED),
    }
    lineage.judge(first, Gate.CANARY, Judgement.ROLLBACK, LIVE_STAGE)
    assert state_of(lineage).live == state_of(lineage).base
    before = lineage.handler.state
    lineage.judge(BASE, Gate.CANARY, Judgement.ROLLBACK, LIVE_STAGE)
    assert lineage.handler.state == before, "below the base there is nothing"


@pytest.mark.parametrize("change", [{"stage": 0}, {"base": Digest("f" * 64)}])
def test_a_rollback_from_offline_or_of_another_base_leaves_what_is_live(change: dict[str, Digest | int]) -> None:
    lineage = Lineage()
    live = lineage.released()
    verdict = a_verdict(live, Gate.DRIFT, Judgement.ROLLBACK, stage=LIVE_STAGE)
    assert lineage.handler.handle(replace(verdict, **change)) == ()  # type: ignore[arg-type]


def test_a_rollback_counts_though_drift_has_more_stages_in_its_settings() -> None:
    lineage = Lineage()
    live = lineage.released()
    lineage.handler.handle(a_verdict(live, Gate.DRIFT, Judgement.ROLLBACK, stage=LIVE_STAGE + 2))
    assert state_of(lineage).live == state_of(lineage).base


def test_a_quarantined_digest_is_not_taken_again() -> None:
    lineage = Lineage()
    candidate = lineage.staged()
    lineage.judge(candidate, Gate.DRIFT, Judgement.ROLLBACK, 1)
    (transition,) = lineage.handler.handle(replace(candidate, step=2, time_ms=10**9))[-1:]
    assert isinstance(transition, Transition)
    assert "quarantined" in transition.cause


@pytest.mark.parametrize("stage", [0, 2, 3])
@pytest.mark.parametrize("judgement", [Judgement.APPROVE, Judgement.REJECT])
def test_a_verdict_for_another_stage_changes_nothing(judgement: Judgement, stage: int) -> None:
    lineage = Lineage()
    candidate = lineage.staged()
    before = lineage.handler.state
    for gate in Gate:
        lineage.judge(candidate, gate, judgement, stage)
        lineage.judge(candidate, gate, Judgement.HOLD, 1)
        lineage.judge(a_candidate(1, candidate.digest, 1), gate, judgement, 1)
    assert lineage.handler.state == before


def test_three_failures_in_a_row_freeze_and_a_success_between_them_forgives() -> None:
    lineage = Lineage()
    for _ in range(2):
        lineage.judge(lineage.staged(), Gate.CANARY, Judgement.REJECT, 1)
    assert not state_of(lineage).frozen
    lineage.released()
    assert state_of(lineage).failures == 0
    for _ in range(3):
        lineage.judge(lineage.staged(), Gate.CANARY, Judgement.REJECT, 1)
    assert state_of(lineage).frozen
    assert state_of(lineage).failures == 3


def test_every_cause_names_gate_check_and_figures() -> None:
    lineage = Lineage()
    candidate = lineage.staged()
    records = lineage.handler.handle(a_verdict(candidate, Gate.CANARY, Judgement.REJECT, stage=1))
    transition = records[-1]
    assert isinstance(transition, Transition)
    expected = "canary says reject at stage 1 on 812: harm -0.031 (bound -0.004, threshold 0): loses"
    assert transition.cause == expected


def test_a_tick_changes_nothing() -> None:
    lineage = Lineage()
    before = lineage.handler.snapshot()
    assert lineage.handler.handle(Tick(10**9)) == ()
    assert lineage.handler.snapshot() is before


def test_the_history_keeps_the_newest_releases_that_fit() -> None:
    lineage = Lineage(max_checkpoints=3)
    released = [lineage.released() for _ in range(4)]
    assert [one.digest for one in lineage.handler.state.history] == [one.digest for one in released[1:3]]


def test_the_history_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ol0.release.machine.HISTORY_BYTES", 2 * len(a_candidate(1, BASE.digest, 1).heads))
    lineage = Lineage()
    for _ in range(6):
        lineage.released()
    assert len(lineage.handler.state.history) in (1, 2)
