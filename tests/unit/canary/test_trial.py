from dataclasses import replace
from random import Random
from types import SimpleNamespace

import pytest

from ol0.canary.handler import HOLD_EVERY, CanaryGate
from ol0.canary.judge import _missing, judge
from ol0.canary.opponent import FEWEST_SESSIONS
from ol0.canary.plan import TrialPlan
from ol0.canary.trial import Trial, TrialState
from ol0.canary.votes import Vote
from ol0.config import SafetyConfig, StageConfig
from ol0.errors import ConfigError, ContractError
from ol0.records import Arm, Judgement, Outcome, Record, Tick
from support.canary_gate import BASE, ONE_STAGE, SUITE, gate, smaller_suite, trial, verdicts
from testbed.worlds import (
    NEW,
    Checkpoint,
    Traffic,
    experts,
    make_candidate,
    numbered,
    outcome,
    serving_state,
)


def test_a_good_candidate_is_approved() -> None:
    judged = trial(serving_state(BASE, staged=make_candidate(BASE)), 1_500)[-1]
    assert (judged.judgement, judged.stage) == (Judgement.APPROVE, 1)
    assert judged.evidence > 10
    assert "is ruled out" in judged.reasons[0].text


def test_a_candidate_that_is_bad_only_live_is_rolled_back() -> None:
    # The suite holds old prompts alone, so it sees nothing; live masters the new ones, the candidate does not.
    canary, live = gate(), make_candidate(BASE)
    unlearnt = make_candidate(BASE, parent=live, step=2, takes=experts(wrong=NEW))
    (offline,) = verdicts(canary, [serving_state(BASE, live=live), unlearnt.candidate()])
    assert offline.judgement is Judgement.APPROVE
    state = serving_state(BASE, live=live, staged=unlearnt, sequence=2)
    judged = verdicts(canary, [state, *Traffic().outcomes(state, 900)])[-1]
    assert (judged.judgement, judged.reasons[0].check) == (Judgement.ROLLBACK, "harm")
    assert judged.reasons[0].bound is not None
    assert judged.reasons[0].bound < 0


@pytest.mark.parametrize("seed", range(6))
def test_an_identical_candidate_is_never_called_harmful(seed: int) -> None:
    same = make_candidate(BASE, takes=experts(wrong=NEW))
    found = trial(serving_state(BASE, staged=same), 600, seed=seed)
    assert {judged.judgement for judged in found} <= {Judgement.APPROVE, Judgement.HOLD}


def test_an_equally_good_candidate_that_differs_is_not_called_harmful() -> None:
    # Live is wrong on kinds 4 and 5, the candidate on 6 and 7; 5 % of such trials may end in harm, these do not.
    live = make_candidate(BASE, takes=experts(wrong=[4, 5]))
    other = make_candidate(BASE, parent=live, step=2, takes=experts(wrong=[6, 7]))
    state = serving_state(BASE, live=live, staged=other)
    last = [trial(state, 600, seed=seed) for seed in range(4)]
    assert all(judged.judgement is not Judgement.ROLLBACK for found in last for judged in found)


def test_harm_to_one_group_is_found_though_the_total_gains() -> None:
    live = make_candidate(BASE, takes=experts(wrong=[4, 5, 6]))
    robber = make_candidate(BASE, parent=live, step=2, takes=experts(wrong=[7]))
    # A stage that approves late, so that the group has time to speak.
    patient = SafetyConfig(stages=(StageConfig(share=0.4, harm_only=True, min_decisions=5_000),))
    state = serving_state(BASE, live=live, staged=robber, share=0.4)
    judged = trial(state, 3_000, patient, grouped=True)[-1]
    assert (judged.judgement, judged.reasons[0].check) == (Judgement.ROLLBACK, "group_harm")
    assert "'kind-7'" in judged.reasons[0].text


def test_a_trial_that_shows_nothing_ends_undecided() -> None:
    same = make_candidate(BASE, takes=experts(wrong=NEW))
    short = ONE_STAGE.model_copy(update={"max_stage": 100})
    judged = trial(serving_state(BASE, staged=same), 200, short)
    assert [one.judgement for one in judged] == [Judgement.REJECT]
    assert judged[0].reasons[0].check == "undecided"
    assert "neither approved nor stopped in 100 decisions" in judged[0].reasons[0].text


def test_a_harm_only_stage_approves_after_its_decisions() -> None:
    careful = SafetyConfig(stages=(StageConfig(share=0.2, harm_only=True, min_decisions=60), StageConfig(share=0.25)))
    state = serving_state(BASE, staged=make_candidate(BASE), share=0.2)
    *holds, judged = trial(state, 600, careful)
    assert {one.judgement for one in holds} <= {Judgement.HOLD}
    assert (judged.judgement, judged.stage, judged.reasons[0].check) == (Judgement.APPROVE, 1, "no_harm")
    # Its own, in complete sessions of three: what others were served says nothing of it.
    assert judged.reasons[0].figure == 60


def test_no_gain_is_enough_before_a_stage_has_its_decisions() -> None:
    state = serving_state(BASE, staged=make_candidate(BASE))
    soon = trial(state, 1_500)[-1]
    patient = ONE_STAGE.model_copy(update={"stages": (StageConfig(share=0.5, min_decisions=600),)})
    *holds, judged = trial(state, 1_500, patient)
    assert (soon.judgement, judged.judgement) == (Judgement.APPROVE, Judgement.APPROVE)
    # Some 200 sessions of its own, and what is missing is said meanwhile.
    assert soon.evidence < 200 < judged.evidence
    assert {one.judgement for one in holds} == {Judgement.HOLD}
    assert "no_harm" in {reason.check for reason in holds[0].reasons}


@pytest.mark.parametrize(("low", "word"), [(-0.019, "is"), (-0.021, "was")])
def test_what_later_votes_do_not_bear_out_was_ruled_out_and_is_not_any_more(low: float, word: str) -> None:
    # Given a level that holds however often one looks: what was shown once stays shown
    figures = SimpleNamespace(low=low, approval=SimpleNamespace(missing=0))
    text = _missing(SimpleNamespace(), figures, SafetyConfig())  # type: ignore[arg-type]
    assert text == f"a loss beyond 2.0 points {word} ruled out"


def test_a_harm_only_stage_stops_harm() -> None:
    careful = SafetyConfig(stages=(StageConfig(share=0.4, harm_only=True, min_decisions=3_000),))
    live = make_candidate(BASE)
    unlearnt = make_candidate(BASE, parent=live, step=2, takes=experts(wrong=NEW))
    judged = trial(serving_state(BASE, live=live, staged=unlearnt, share=0.4), 900, careful)
    assert judged[-1].judgement is Judgement.ROLLBACK


def test_the_second_stage_begins_with_no_evidence_of_the_first() -> None:
    candidate, canary, traffic = make_candidate(BASE), gate(), Traffic()
    first = serving_state(BASE, staged=candidate, sequence=1)
    second = serving_state(BASE, staged=candidate, stage=2, sequence=2)
    verdicts(canary, [first, *traffic.outcomes(first, 60), second])
    # Outcomes of the first stage that come late do not count.
    late = verdicts(canary, traffic.outcomes(first, 3_000))
    assert late == []
    judged = verdicts(canary, traffic.outcomes(second, 1_500))[-1]
    assert (judged.stage, judged.judgement) == (2, Judgement.APPROVE)


def test_a_stale_approval_cannot_come() -> None:
    # The candidate is about to be approved when the serving state moves on without it.
    candidate, canary, traffic = make_candidate(BASE), gate(), Traffic()
    state = serving_state(BASE, staged=candidate)
    outcomes = list(traffic.outcomes(state, 1_500))
    records: list[Record] = [state, *outcomes]
    rehearsal = gate()
    approved_at = [len(rehearsal.handle(record)) for record in records].index(1)
    gone = serving_state(BASE, sequence=2)
    found = verdicts(canary, [state, *outcomes[: approved_at - 1], gone, *outcomes[approved_at - 1 :]])
    assert found == []


def test_after_its_verdict_a_trial_says_no_more() -> None:
    found = trial(serving_state(BASE, staged=make_candidate(BASE)), 3_000)
    assert sum(one.judgement is not Judgement.HOLD for one in found) == 1
    assert found[-1].judgement is Judgement.APPROVE


def test_an_old_serving_state_does_not_bring_a_trial_back() -> None:
    canary, candidate = gate(), make_candidate(BASE)
    old = serving_state(BASE, staged=candidate, sequence=1)
    verdicts(canary, [old, serving_state(BASE, sequence=2), old])
    assert verdicts(canary, Traffic().outcomes(old, 1_500)) == []


def test_reading_the_serving_state_again_changes_nothing() -> None:
    state = serving_state(BASE, staged=make_candidate(BASE))
    outcomes = list(Traffic().outcomes(state, 900))
    twice: list[Record] = [state, *outcomes[:100], state, *outcomes[100:]]
    assert verdicts(gate(), [state, *outcomes]) == verdicts(gate(), twice)


def test_once_live_is_better_than_the_base_the_candidate_must_be_as_well() -> None:
    live = make_candidate(BASE)
    state = serving_state(BASE, live=live, staged=make_candidate(BASE, parent=live, step=2, scale=1.1))
    judged = trial(state, 3_000)[-1]
    assert judged.judgement is Judgement.APPROVE
    assert [reason.check for reason in judged.reasons] == ["staged_live", "staged_holdback"]


def test_a_hold_says_how_much_is_missing() -> None:
    same = make_candidate(BASE, takes=experts(wrong=NEW))
    (held,) = trial(serving_state(BASE, staged=same), HOLD_EVERY + 30)
    assert held.judgement is Judgement.HOLD
    (missing,) = (reason for reason in held.reasons if reason.check == "staged_live")
    assert "more sessions are missing" in missing.text
    assert missing.threshold == pytest.approx(-0.02)
    (since,) = (reason for reason in held.reasons if reason.check == "since")
    assert "stage 1 runs since 2023-11-14 22:13 UTC" in since.text
    assert "undecided at 2023-11-21 22:13 UTC" in since.text


def test_decisions_without_a_vote_count_as_decisions_and_not_as_evidence() -> None:
    state = serving_state(BASE, staged=make_candidate(BASE))
    found = trial(state, HOLD_EVERY + 30, missing=1.0)
    assert [(one.judgement, one.evidence) for one in found] == [(Judgement.HOLD, 0)]
    assert "no session is complete yet" in found[0].reasons[0].text


def test_a_host_that_serves_somebody_else_does_not_count() -> None:
    # Pinned or switched off: the arm says staged, the digest says base.
    state = serving_state(BASE, staged=make_candidate(BASE))
    outcomes = [one for one in Traffic().outcomes(state, 300) if one.arm is Arm.STAGED]
    on, off = gate(), gate()
    verdicts(on, [state, *outcomes])
    verdicts(off, [state, *(replace(one, digest=BASE.digest) for one in outcomes)])
    assert on._trial is not None
    assert off._trial is not None
    assert (on._trial.decisions, off._trial.decisions) == (len(outcomes), 0)


@pytest.mark.parametrize(("base_succeeds", "approved"), [(0.0, True), (1.0, False)])
def test_beside_a_gain_over_live_no_loss_against_the_base_may_be_seen(base_succeeds: float, approved: bool) -> None:  # noqa: FBT001 - a table
    # Given a candidate that is shown to be better than live
    live = make_candidate(BASE)
    plan = TrialPlan(make_candidate(BASE, step=2).digest, live.digest, BASE.digest, 1, 0.5, 0.1, 1, 1)
    found = Trial(TrialState(plan), ONE_STAGE)
    assert found.holdback is not None
    for arm in (Arm.STAGED, Arm.LIVE) * 60:
        found.live.add([vote(arm, float(arm is Arm.STAGED))])
    # Then that is not enough before the base is heard of
    assert judge(found, ONE_STAGE, 0)[0] is Judgement.HOLD
    # When it is, in a few sessions that prove nothing
    for number in range(2 * FEWEST_SESSIONS):
        arm = (Arm.STAGED, Arm.HOLDBACK)[number % 2]
        found.holdback.add([vote(arm, 0.5 if arm is Arm.STAGED else base_succeeds)])
    assert not found.holdback.voted.approval.rejects(found.approval_alpha)
    # Then it depends on what they say on average
    judgement, reasons = judge(found, ONE_STAGE, 0)
    assert judgement is (Judgement.APPROVE if approved else Judgement.HOLD)
    against = next(reason for reason in reasons if reason.check == "staged_holdback")
    assert against.threshold == 0
    assert against.figure is not None
    assert (against.figure >= 0) is approved


def vote(arm: Arm, reward: float, group: str | None = None) -> Vote:
    """On a prompt that each would answer otherwise."""
    return Vote(arm, reward, group, base=None, live=None, staged=None)


def against_the_base() -> Trial:
    """Which serves."""
    state = serving_state(BASE, staged=make_candidate(BASE))
    assert state.staged is not None
    return Trial(TrialState(TrialPlan.of(state, state.staged, holdback=0.1, place=1)), ONE_STAGE)


def test_a_trial_is_shorter_where_groups_tell_hard_prompts_from_easy_ones() -> None:
    """The candidate is 15 points better on both."""

    def needed(*, named: bool) -> int:
        found, draw = against_the_base(), Random(0)
        for count in range(1, 3_000):
            arm, easy = (Arm.STAGED if draw.random() < 0.5 / 0.9 else Arm.LIVE), draw.random() < 0.5
            success = (0.8 if easy else 0.05) + 0.15 * (arm is Arm.STAGED)
            found.live.add([vote(arm, float(draw.random() < success), ("easy" if easy else "hard") if named else None)])
            if found.live.voted.approval.rejects(found.approval_alpha):
                return count
        raise AssertionError("never approved")

    assert needed(named=True) < 0.8 * needed(named=False)


@pytest.mark.parametrize("reward", [0.0, 1.0])
def test_what_is_expected_of_a_session_comes_from_earlier_ones(reward: float) -> None:
    live = against_the_base().live
    # Half a success is expected before anything is known, whichever it becomes.
    live.add([vote(Arm.STAGED, reward)])
    assert live.voted.total == pytest.approx((reward - 0.5) / live.share)


def test_partitions_that_arrive_one_after_the_other_change_no_verdict() -> None:
    state = serving_state(BASE, staged=make_candidate(BASE))
    outcomes = list(Traffic().outcomes(state, 540))
    batches = [outcomes[start : start + 90] for start in range(0, 540, 90)]
    parts = [[one for one in batch if _partition(one) == part] for batch in batches for part in (2, 0, 1)]
    uneven = verdicts(gate(), [state, *(one for part in parts for one in part)])
    assert uneven[-1].judgement is Judgement.APPROVE
    split = gate()
    verdicts(split, [state, *(one for part in parts for one in part)])
    # Cut sessions would give more and smaller ones.
    assert split._trial is not None
    assert uneven[-1].evidence <= 180


def _partition(one: Outcome) -> int:
    return int(one.session_id.rpartition("-")[2]) % 3


def test_repeated_outcomes_count_once() -> None:
    state = serving_state(BASE, staged=make_candidate(BASE))
    outcomes = list(Traffic().outcomes(state, 300))
    canary = gate()
    verdicts(canary, [state, *outcomes[:40], *outcomes[:40]])
    assert canary._trial is not None
    assert canary._trial.decisions == 40


def test_a_tick_closes_the_last_sessions() -> None:
    state = serving_state(BASE, staged=make_candidate(BASE))
    canary, traffic = gate(), Traffic()
    verdicts(canary, [state, *traffic.outcomes(state, 30)])
    assert canary._trial is not None
    before = canary._trial.evidence
    verdicts(canary, [Tick(traffic.time_ms + 10_000_000)])
    assert canary._trial.evidence > before


@pytest.mark.parametrize("cut", [1, 50, 155])
def test_a_restart_in_the_middle_gives_the_same_verdicts(cut: int) -> None:
    live = make_candidate(BASE, takes=experts(wrong=[4]))
    state = serving_state(BASE, live=live, staged=make_candidate(BASE, parent=live, step=2))
    waiting = make_candidate(BASE, step=3).candidate()
    records: list[Record] = [waiting, state, *numbered(Traffic(seed=3, grouped=True).outcomes(state, 600))]
    whole = gate()
    expected = verdicts(whole, records)
    first, second = gate(), gate()
    found = verdicts(first, records[:cut])
    second.restore(first.snapshot())
    found += verdicts(second, records[cut:])
    assert found == expected
    assert second.snapshot() == whole.snapshot()
    assert expected[-1].judgement is Judgement.APPROVE


def test_a_snapshot_stays_small() -> None:
    # 32 groups, as many as are watched, in all of which the candidate acts otherwise.
    live = make_candidate(BASE, takes=experts(wrong=[4]))
    state = serving_state(BASE, live=live, staged=make_candidate(BASE, parent=live, step=2))
    canary = gate(ONE_STAGE.model_copy(update={"alpha": 1e-9}))
    outcomes = [replace(one, group=f"group-{one.sequence % 32}") for one in Traffic().outcomes(state, 600)]
    verdicts(canary, [state, *outcomes])
    assert canary._state.open
    assert 5_000 < len(canary.snapshot()) < 50_000


def test_with_another_suite_the_results_are_made_anew_from_the_next_serving_state() -> None:
    first = gate()
    state = serving_state(BASE, staged=make_candidate(BASE))
    verdicts(first, [state])
    second = CanaryGate(smaller_suite(), ONE_STAGE, 0.9, holdback=0.1)
    second.restore(first.snapshot())
    (held,) = verdicts(second, [make_candidate(BASE).candidate()])
    assert held.judgement is Judgement.HOLD
    (judged,) = verdicts(second, [state])
    assert (judged.judgement, judged.evidence) == (Judgement.APPROVE, 600)


def test_a_snapshot_of_something_else_is_refused() -> None:
    with pytest.raises(ContractError, match="`ol0 snapshots delete canary`"):
        gate().restore(b"{}")


def test_a_stage_that_leaves_live_nothing_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="keep it below"):
        CanaryGate(SUITE, SafetyConfig(stages=(StageConfig(share=0.9),)), 0.9, holdback=0.1)


def test_later_candidates_need_more_evidence_until_one_is_released() -> None:
    canary = gate()
    levels = []
    candidates: list[Checkpoint] = [make_candidate(BASE, step=step, scale=1 + step / 10) for step in (1, 2, 3)]
    for number, candidate in enumerate(candidates, start=1):
        verdicts(canary, [serving_state(BASE, staged=candidate, sequence=number)])
        assert canary._trial is not None
        levels.append(canary._trial.approval_alpha)
    assert levels == pytest.approx([0.05 / 2, 0.05 / 6, 0.05 / 12])
    live = candidates[2]
    after = make_candidate(BASE, parent=live, step=4)
    verdicts(canary, [serving_state(BASE, live=live, sequence=9)])
    verdicts(canary, [serving_state(BASE, live=live, staged=after, sequence=10)])
    assert canary._trial is not None
    assert canary._trial.approval_alpha == pytest.approx(0.05 / 2)


def test_records_that_do_not_concern_the_gate_are_passed_over() -> None:
    assert verdicts(gate(), [outcome(), Tick(None), Tick(5)]) == []
