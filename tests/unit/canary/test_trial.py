import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from random import Random
from types import SimpleNamespace

import pytest

from ol0.canary.handler import HOLD_EVERY, CanaryGate
from ol0.canary.judge import _missing, is_final, judge
from ol0.canary.plan import TrialPlan
from ol0.canary.trial import Trial, TrialState
from ol0.canary.votes import Vote
from ol0.config import SafetyConfig, StageConfig
from ol0.controller.numbering import new_prefix, numbered_id
from ol0.controller.suite import Suite
from ol0.errors import ConfigError, ContractError
from ol0.records import Arm, Digest, Judgement, Outcome, Record, ServingState, Tick, Verdict
from testbed.worlds import (
    NEW,
    START_MS,
    WINDOW_MS,
    Checkpoint,
    Traffic,
    experts,
    make_base,
    make_candidate,
    make_suite,
    numbered,
    outcome,
    serving_state,
)

ONE_STAGE = SafetyConfig(stages=(StageConfig(share=0.5, min_decisions=60),), max_stage=4_000)
BASE = make_base()
SUITE = make_suite()
SERVED = serving_state(BASE, staged=make_candidate(BASE))
DAY_MS = 86_400_000
PREFIX = new_prefix("00c0ffee11")


def gate(safety: SafetyConfig = ONE_STAGE) -> CanaryGate:
    return CanaryGate(SUITE, safety, 0.9, holdback=0.1)


def verdicts(canary: CanaryGate, records: Iterable[Record]) -> list[Verdict]:
    return [verdict for record in records for verdict in canary.handle(record) if isinstance(verdict, Verdict)]


def trial(state: ServingState, decisions: int, safety: SafetyConfig = ONE_STAGE, **traffic: object) -> list[Verdict]:
    """All verdicts of a fresh gate on one trial."""
    outcomes = Traffic(**traffic).outcomes(state, decisions)  # type: ignore[arg-type]
    return verdicts(gate(safety), [state, *outcomes])


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


def test_gain_over_live_is_not_enough_without_the_comparison_with_the_base() -> None:
    live = make_candidate(BASE)
    plan = TrialPlan(make_candidate(BASE, step=2).digest, live.digest, BASE.digest, 1, 0.5, 0.1, 1, 1)
    found = Trial(TrialState(plan), ONE_STAGE)
    assert found.holdback is not None
    for opponent, expected in ((found.live, Judgement.HOLD), (found.holdback, Judgement.APPROVE)):
        for arm in (Arm.STAGED, opponent.arm) * 60:
            reward = float(arm is Arm.STAGED)
            opponent.add([Vote(arm, reward, from_live=True, from_base=True, group=None, live=None, sent_to=None)])
        assert judge(found, ONE_STAGE, 0)[0] is expected


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
    with pytest.raises(ContractError, match="tombstone its key"):
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


# -- what is not heard --------------------------------------------------------------------------------------------

TWO_STAGES = SafetyConfig(stages=(StageConfig(share=0.2, harm_only=True, min_decisions=60), StageConfig(share=0.25)))


def without_staged(outcomes: Iterable[Outcome], lost: Callable[[Outcome], bool]) -> list[Outcome]:
    """What the gate reads when a host loses some of the candidate's decisions: the join numbers what it closes."""
    heard = [one for one in outcomes if one.arm is not Arm.STAGED or not lost(one)]
    return [replace(one, sequence=number) for number, one in enumerate(heard)]


@pytest.mark.parametrize("stage", [1, 2])
@pytest.mark.parametrize("takes", [experts(), experts(wrong=range(8))], ids=["good", "bad"])
def test_a_candidate_that_nobody_hears_of_is_not_approved(stage: int, takes: dict[int, int]) -> None:
    candidate = make_candidate(BASE, takes=takes, opens=range(8))
    state = serving_state(BASE, staged=candidate, stage=stage, share=TWO_STAGES.stages[stage - 1].share)
    heard = without_staged(Traffic().outcomes(state, 2_000), lambda _: True)
    judged = verdicts(gate(TWO_STAGES), [state, *heard])
    assert [one.judgement for one in judged] == [Judgement.REJECT]
    assert judged[0].reasons[0].check == "sample_ratio"
    assert "0 of " in judged[0].reasons[0].text


def test_sessions_that_are_lost_by_half_end_a_trial() -> None:
    live = make_candidate(BASE)
    same = make_candidate(BASE, parent=live, step=2, scale=1.1)
    state = serving_state(BASE, live=live, staged=same, stage=2, share=0.25)
    heard = without_staged(Traffic().outcomes(state, 3_000), lambda one: int(one.session_id[-1]) % 2 == 0)
    judged = verdicts(gate(TWO_STAGES), [state, *heard])[-1]
    assert (judged.judgement, judged.reasons[0].check) == (Judgement.REJECT, "sample_ratio")


def test_one_arm_alone_approves_nothing() -> None:
    state = serving_state(BASE, staged=make_candidate(BASE))
    alone = [replace(one, reward=1.0) for one in Traffic().outcomes(state, 600) if one.arm is Arm.STAGED]
    judged = verdicts(gate(), [state, *(replace(one, sequence=number) for number, one in enumerate(alone))])
    assert judged[-1].judgement is Judgement.REJECT
    assert judged[-1].reasons[0].check == "sample_ratio"


def votes(count: int, success: Mapping[Arm, float], hidden: float, seed: int) -> Iterator[Vote]:
    """Sessions of one vote; the candidate's failures go unreported by the share ``hidden``."""
    draw = Random(seed)
    for _ in range(count):
        arm = Arm.STAGED if draw.random() < 0.5 / 0.9 else Arm.LIVE
        reward: float | None = float(draw.random() < success[arm])
        if arm is Arm.STAGED and not reward and draw.random() < hidden:
            reward = None
        yield Vote(arm, reward, from_live=True, from_base=True, group=None, live=None, sent_to=None)


def a_trial() -> Trial:
    assert SERVED.staged is not None
    return Trial(TrialState(TrialPlan.of(SERVED, SERVED.staged, holdback=0.1, place=1)), ONE_STAGE)


@pytest.mark.parametrize(("success", "hidden"), [(0.6, 1.0), (0.7, 0.9)])
def test_failures_that_nobody_reports_do_not_make_a_candidate_good(success: float, hidden: float) -> None:
    deceived = 0
    for seed in range(2):
        found = a_trial()
        for number, vote in enumerate(votes(900, {Arm.LIVE: 0.8, Arm.STAGED: success}, hidden, seed)):
            found.live.see(f"s{number}", vote.arm)
            found.live.add([vote])
            if is_final(found, ONE_STAGE, START_MS):
                judgement, _ = judge(found, ONE_STAGE, START_MS)
                assert judgement is not Judgement.APPROVE
                break
        deceived += found.live.voted.approval.rejects(found.approval_alpha)
    assert deceived, "votes alone would have approved"


def test_a_hold_names_the_silence_that_keeps_a_candidate_from_approval() -> None:
    found = a_trial()
    for number in range(400):
        treated = number % 9 < 5
        reward = (1.0 if number % 6 else None) if treated else float(number % 20 > 2)
        vote = Vote(
            Arm.STAGED if treated else Arm.LIVE,
            reward,
            from_live=True,
            from_base=True,
            group=None,
            live=None,
            sent_to=None,
        )
        found.live.see(f"s{number}", vote.arm)
        found.live.add([vote])
    judgement, reasons = judge(found, ONE_STAGE, START_MS)
    assert judgement is Judgement.HOLD
    assert reasons[0].check == "sample_ratio"
    assert "if what is missing had failed" in reasons[0].text
    assert "votes per decision 0.80 in the arm, 1.00 beside it" in reasons[0].text


def failing(one: Outcome) -> bool:
    """Whether a host loses it that loses all failing decisions of the candidate's arm."""
    return one.arm is Arm.STAGED and not one.reward


def test_failing_decisions_that_are_lost_end_a_trial_where_they_are_numbered() -> None:
    candidate = make_candidate(BASE, takes=experts(wrong=[*NEW, 1]), opens=range(8))
    state = serving_state(BASE, staged=candidate, stage=2, share=0.25)
    judged = verdicts(gate(TWO_STAGES), [state, *numbered(Traffic().outcomes(state, 3_000), failing)])[-1]
    assert (judged.judgement, judged.reasons[0].check) == (Judgement.REJECT, "sample_ratio")
    assert "numbered decisions are missing in the arm, 0 of" in judged.reasons[0].text


def test_numbers_are_heard_of_though_their_decisions_do_not_count() -> None:
    # A host is pinned: the arm says staged, the digest says base. Nothing is lost.
    state, canary = serving_state(BASE, staged=make_candidate(BASE)), gate()
    outcomes = numbered(Traffic().outcomes(state, 600))
    pinned = [replace(one, digest=BASE.digest) if int(one.session_id[-1]) % 3 else one for one in outcomes]
    verdicts(canary, [state, *pinned])
    assert canary._trial is not None
    own = canary._trial.live.balance.losses.arms[True]
    assert own.heard > 2 * canary._trial.own_decisions > 0
    assert own.missing == 0


def test_numbers_that_all_come_keep_no_good_candidate_waiting() -> None:
    state = serving_state(BASE, staged=make_candidate(BASE))
    outcomes = list(Traffic().outcomes(state, 1_500))
    plain, counted = verdicts(gate(), [state, *outcomes])[-1], verdicts(gate(), [state, *numbered(outcomes)])[-1]
    assert plain.judgement is counted.judgement is Judgement.APPROVE
    assert counted.evidence <= plain.evidence


@pytest.mark.parametrize(
    ("missing", "approved"),
    [
        ({}, True),
        ({Arm.STAGED: 1}, False),  # all of them may have failed
        ({Arm.LIVE: 3}, False),  # all of them may have succeeded
        ({Arm.STAGED: 1, Arm.LIVE: 1}, True),  # what both lose alike says nothing
    ],
)
def test_what_is_missing_of_one_arm_counts_against_the_candidate(
    missing: Mapping[Arm, int],
    approved: bool,  # noqa: FBT001 - a table
) -> None:
    """``missing``: of four numbers of an arm, how many never come. The candidate seems to gain 10 points."""
    found, made, draw = a_trial(), Counter[Arm](), Random(1)
    for place in range(1_500):
        arm = Arm.STAGED if draw.random() < 0.5 / 0.9 else Arm.LIVE
        made[arm] += 1
        if made[arm] % 4 < missing.get(arm, 0):
            made[arm] += missing[arm]
        reward = float(draw.random() < (0.9 if arm is Arm.STAGED else 0.8))
        one = replace(outcome(arm=arm), decision_id=numbered_id(PREFIX, made[arm]))
        found.live.hear(one, one.window_end_ms + DAY_MS, counted=True)
        found.live.see(f"s{place}", arm)
        found.live.add([Vote(arm, reward, from_live=True, from_base=True, group=None, live=None, sent_to=None)])
    assert found.live.voted.approval.rejects(found.approval_alpha)
    assert found.live.balance.losses.is_complete
    assert found.live.approves(found.approval_alpha) is approved


@pytest.mark.parametrize("prefix", ["", "00c0ffee"], ids=["no numbers", "routers that decide once"])
def test_without_enough_numbers_sessions_that_are_due_decide(prefix: str) -> None:
    """Nobody hears of the candidate's failures, and no number tells that there were any."""
    found, draw = a_trial(), Random(1)
    for place in range(900):
        arm = Arm.STAGED if draw.random() < 0.5 / 0.9 else Arm.LIVE
        rewards = [float(draw.random() < (0.5 if arm is Arm.STAGED else 0.8)) for _ in range(3)]
        heard = [reward for reward in rewards if reward or arm is Arm.LIVE]
        for turn, _ in enumerate(heard):
            router = f"{prefix}{place * 3 + turn:04x}"[-10:]
            decision_id = numbered_id(new_prefix(f"{router:0>10}" if prefix else None), 1)
            found.live.hear(replace(outcome(arm=arm), decision_id=decision_id), START_MS + DAY_MS, counted=True)
        votes = [Vote(arm, one, from_live=True, from_base=True, group=None, live=None, sent_to=None) for one in heard]
        if votes:
            found.live.add(votes)
    assert found.live.voted.approval.rejects(found.approval_alpha)
    assert not found.live.balance.losses.is_complete
    assert not found.live.approves(found.approval_alpha)


def test_an_earlier_versions_trial_goes_on_and_counts_numbers_from_there() -> None:
    state = serving_state(BASE, staged=make_candidate(BASE))
    outcomes = numbered(Traffic().outcomes(state, 1_500))
    first, second = gate(), gate()
    verdicts(first, [state, *outcomes[:60]])
    body = json.loads(zlib.decompress(first.snapshot()))
    for one in ("live", "holdback"):
        if (opponent := body["trial"][one]) is not None:
            del opponent["rates"], opponent["balance"]["losses"]
    second.restore(zlib.compress(json.dumps(body).encode()))
    assert verdicts(second, outcomes[60:])[-1].judgement is Judgement.APPROVE


# -- harm that a gain hides ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("named", [True, False])
def test_a_gain_is_not_enough_while_a_part_of_the_traffic_looks_harmed(named: bool) -> None:  # noqa: FBT001
    # Given a candidate that is much better on nine of ten prompts, and answers the tenth, which it sends to 1, badly.
    found, draw = a_trial(), Random(0)
    for number in range(150):
        arm = Arm.STAGED if draw.random() < 0.5 / 0.9 else Arm.LIVE
        rare = not number % 10
        success = {Arm.STAGED: 0.0 if rare else 0.95, Arm.LIVE: 0.8 if rare else 0.5}[arm]
        found.add(decided(number, arm, sent_to=1 if rare else 2, reward=float(draw.random() < success), named=named))
    found.close_sessions(START_MS + 10**9)
    # When it is judged.
    judgement, reasons = judge(found, ONE_STAGE, START_MS)
    # Then its gain would do, and it has to wait until the rest is cleared up.
    assert found.live.approves(found.approval_alpha)
    assert judgement is Judgement.HOLD
    part = "group 'sent to 1'" if named else "what the candidate sends to action 1"
    assert any(reason.check == "suspicion" and reason.text.startswith(f"{part} looks harmed") for reason in reasons)


def decided(number: int, arm: Arm, *, sent_to: int, reward: float, named: bool) -> Outcome:
    """The outcome of a session of one decision, on which the candidate differs from live."""
    staged = SERVED.staged
    assert staged is not None
    digests = {Arm.STAGED: staged.release.digest, Arm.LIVE: SERVED.live.digest}
    return outcome(
        sequence=number,
        session_id=f"session-{number}",
        arm=arm,
        digest=digests[arm],
        staged=staged.release.digest,
        serving_sequence=SERVED.sequence,
        greedy_live=(0,),
        greedy_staged=(sent_to,),
        reward=reward,
        group=f"sent to {sent_to}" if named else None,
        window_end_ms=START_MS + 1_000 * number,
    )


# -- other shares -------------------------------------------------------------------------------------------------


def test_another_share_begins_a_new_trial_without_the_evidence_of_the_old_one() -> None:
    candidate, canary, traffic = make_candidate(BASE), gate(), Traffic()
    first = serving_state(BASE, staged=candidate, share=0.5, sequence=1)
    second = serving_state(BASE, staged=candidate, share=0.2, sequence=2)
    verdicts(canary, [first, *traffic.outcomes(first, 60), second])
    assert canary._trial is not None
    assert (canary._trial.plan.share, canary._trial.decisions, canary._trial.plan.place) == (0.2, 0, 2)
    verdicts(canary, traffic.outcomes(first, 60))
    assert canary._trial.decisions == 0, "they were drawn under the old share"
    verdicts(canary, traffic.outcomes(second, 60))
    assert canary._trial.decisions == 60


@pytest.mark.parametrize(
    ("mistakes", "new_mistakes", "judgement"),
    [((), tuple(NEW), Judgement.ROLLBACK), ((4, 5), (), Judgement.APPROVE)],
    ids=["worse", "better"],
)
def test_after_another_share_verdicts_are_right(
    mistakes: tuple[int, ...], new_mistakes: tuple[int, ...], judgement: Judgement
) -> None:
    live = make_candidate(BASE, takes=experts(wrong=mistakes))
    candidate = make_candidate(BASE, parent=live, step=2, takes=experts(wrong=new_mistakes))
    canary, traffic = gate(), Traffic()
    first = serving_state(BASE, live=live, staged=candidate, share=0.25, sequence=1)
    second = serving_state(BASE, live=live, staged=candidate, share=0.6, sequence=2)
    records: list[Record] = [first, *traffic.outcomes(first, 60), second, *traffic.outcomes(second, 3_000)]
    assert verdicts(canary, records)[-1].judgement is judgement


def test_a_share_that_leaves_live_nothing_is_refused_in_words() -> None:
    (judged,) = verdicts(gate(), [serving_state(BASE, staged=make_candidate(BASE), share=0.95)])
    assert (judged.judgement, judged.stage) == (Judgement.REJECT, 1)
    assert "same safety.stages and serving.holdback" in judged.reasons[0].text


def test_another_holdback_begins_a_new_trial_at_the_restart() -> None:
    live = make_candidate(BASE)
    state = serving_state(BASE, live=live, staged=make_candidate(BASE, parent=live, step=2, scale=1.1))
    first, traffic = gate(), Traffic()
    verdicts(first, [state, *traffic.outcomes(state, 300)])
    second = CanaryGate(SUITE, ONE_STAGE, 0.9, holdback=0.04)
    second.restore(first.snapshot())
    assert second._trial is not None
    assert (second._trial.plan.holdback, second._trial.decisions) == (0.04, 0)
    assert second._trial.plan.share == 0.5
    # Windows that were open at the restart belong to decisions under the old holdback.
    verdicts(second, traffic.outcomes(state, 300))
    assert second._trial.decisions == 0
    traffic.time_ms += WINDOW_MS
    traffic.holdback = 0.04
    verdicts(second, traffic.outcomes(state, 300))
    assert second._trial.decisions == 300


def test_with_fewer_stages_in_its_settings_a_gate_judges_what_is_served() -> None:
    state = serving_state(BASE, staged=make_candidate(BASE), stage=2)
    for stages in ((), ONE_STAGE.stages):
        found = trial(state, 1_500, ONE_STAGE.model_copy(update={"stages": stages}))
        assert (found[-1].judgement, found[-1].stage) == (Judgement.APPROVE, 2)


# -- time ---------------------------------------------------------------------------------------------------------


def test_a_trial_of_ten_outcomes_a_day_ends_undecided_after_a_week() -> None:
    same = make_candidate(BASE, takes=experts(wrong=NEW))
    state = serving_state(BASE, staged=same)
    times = [START_MS + number * DAY_MS // 10 for number in range(102)]
    slow = zip(Traffic().outcomes(state, 100), times, strict=False)
    judged = verdicts(gate(), [state, *(replace(one, time_ms=ms, window_end_ms=ms) for one, ms in slow)])
    assert [one.judgement for one in judged] == [*[Judgement.HOLD] * 6, Judgement.REJECT], "a hold each day"
    assert judged[-1].reasons[0].check == "undecided"
    assert "in 71 decisions and 7.0 days since 2023-11-14 22:13 UTC" in judged[-1].reasons[0].text


def test_a_trial_of_which_nothing_is_heard_at_all_ends_by_the_clock() -> None:
    canary = gate()
    verdicts(canary, [serving_state(BASE, staged=make_candidate(BASE))])
    held = verdicts(canary, [Tick(START_MS + 2 * DAY_MS)])
    ended = verdicts(canary, [Tick(START_MS + 8 * DAY_MS)])
    assert [one.judgement for one in (*held, *ended)] == [Judgement.HOLD, Judgement.REJECT]


# -- another suite ------------------------------------------------------------------------------------------------


def test_with_another_suite_candidates_are_answered_though_the_log_is_not_read_again() -> None:
    first, state = gate(), serving_state(BASE)
    verdicts(first, [state])
    second = CanaryGate(smaller_suite(), ONE_STAGE, 0.9, 0.1, newest=lambda: state)
    second.restore(first.snapshot())
    (judged,) = verdicts(second, [make_candidate(BASE).candidate()])
    assert (judged.judgement, judged.evidence) == (Judgement.APPROVE, 600)


def test_with_another_suite_a_trial_goes_on() -> None:
    state, outcomes = serving_state(BASE, staged=make_candidate(BASE)), list(Traffic().outcomes(SERVED, 1_500))
    first = gate()
    verdicts(first, [state, *outcomes[:60]])
    second = CanaryGate(smaller_suite(), ONE_STAGE, 0.9, 0.1, newest=lambda: state)
    second.restore(first.snapshot())
    assert verdicts(second, outcomes[60:])[-1].judgement is Judgement.APPROVE
    assert second._trial is not None
    assert second._trial.decisions > 60


def test_who_waited_while_the_suite_was_changed_is_sent_back_in_words() -> None:
    first, state = gate(), serving_state(BASE)
    verdicts(first, [make_candidate(BASE).candidate()])
    second = CanaryGate(smaller_suite(), ONE_STAGE, 0.9, 0.1)
    second.restore(first.snapshot())
    (judged,) = verdicts(second, [state])
    assert judged.judgement is Judgement.REJECT
    assert "the canary suite was changed" in judged.reasons[0].text


def smaller_suite() -> Suite:
    values = (SUITE.values[0][:600],)
    return Suite(Digest("6" * 64), SUITE.features[:600], values, SUITE.kinds[:600])
