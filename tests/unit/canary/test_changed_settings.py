"""Trials whose shares, stages or suite change on the way, and trials that end by the clock."""

from dataclasses import replace

import pytest

from ol0.canary.handler import CanaryGate
from ol0.records import Judgement, Record, Tick
from support.canary_gate import BASE, DAY_MS, ONE_STAGE, SERVED, SUITE, gate, smaller_suite, trial, verdicts
from testbed.worlds import (
    NEW,
    START_MS,
    WINDOW_MS,
    Traffic,
    experts,
    make_candidate,
    serving_state,
)


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
