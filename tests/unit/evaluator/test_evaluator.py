import json
from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest

from ol0.ar1.baseline import BaselineMetrics
from ol0.config import EvaluationConfig, SafetyConfig, ServingConfig
from ol0.errors import ContractError
from ol0.evaluator.handler import OnlineEvaluator
from ol0.evaluator.metrics import evaluation_figures
from ol0.observability.metrics import TRANSITIONS
from ol0.records import Arm, Mode, Outcome, Phase, Record, RewardParts, Tick
from ol0.statistics.expected_reward import Cell
from ol0.statistics.outcome_clock import PATIENCE_GAPS
from ol0.statistics.paired_lift import Choice, PairedLift, PairedReward
from support.examples import OUTCOME, SERVING_STATE, TRANSITION
from testbed.worlds import numbered

MINUTE_MS = 60_000
START_MS = OUTCOME.window_end_ms
SILENT = RewardParts()


def an_outcome(
    number: int, arm: Arm = Arm.LIVE, reward: float | None = None, parts: RewardParts = SILENT, session: str = ""
) -> Outcome:
    time_ms = START_MS + 1_000 * number
    return replace(
        OUTCOME,
        sequence=number,
        session_id=session or f"s{number}",
        arm=arm,
        reward=reward,
        parts=parts,
        group=None,
        user=None,
        time_ms=time_ms,
        window_end_ms=time_ms,
    )


def traffic(count: int, success: dict[Arm, float], seed: int = 1, first: int = 0) -> Iterator[Outcome]:
    """Sessions of one decision: a tenth holdback, a fifth staged; a fifth of all are silent."""
    rng = Random(seed)
    for number in range(first, first + count):
        arm = rng.choices(list(Arm), [0.7, 0.2, 0.1])[0]
        reward = None if rng.random() < 0.2 else float(rng.random() < success[arm])
        yield an_outcome(number, arm, reward)


def after(records: Iterator[Outcome]) -> OnlineEvaluator:
    evaluator = OnlineEvaluator()
    for record in records:
        assert evaluator.handle(record) == ()
    evaluator.handle(Tick(START_MS + 10**9))
    return evaluator


def test_an_arm_shows_each_figure_that_has_data() -> None:
    parts = [
        RewardParts(thumb=1.0, rating=0.75, correction=1.0, tool=1.0, implicit=0.2),
        RewardParts(thumb=0.0, tool=0.0),
        RewardParts(rating=0.25, tool=1.0, correction=0.0),
        RewardParts(thumb=1.0),
        SILENT,
    ]
    rewards = [1.0, 0.0, 0.5, 1.0, None]
    evaluator = after(an_outcome(n, Arm.STAGED, *said) for n, said in enumerate(zip(rewards, parts, strict=True)))
    arm = evaluator.figures().arms[Arm.STAGED]
    assert (arm.decisions, arm.outcomes, arm.feedback_rate) == (5, 4, 0.8)
    assert arm.success == 0.625
    assert arm.task_success == pytest.approx(1 / 3), "half right is not right"
    assert arm.quality == 0.5
    assert arm.satisfaction == pytest.approx(2 / 3)
    weighted = 0.3 * 0.625 + 0.25 * 0.5 + 0.2 * 2 / 3 + 0.15 / 3
    assert arm.aggregate == pytest.approx(weighted / 0.9)


def test_without_data_there_is_no_figure_and_no_weight() -> None:
    figures = after(iter([an_outcome(0, Arm.LIVE, 0.5), an_outcome(1, Arm.HOLDBACK)])).figures()
    assert (figures.arms[Arm.LIVE].aggregate, figures.arms[Arm.LIVE].quality) == (0.5, None)
    assert (figures.arms[Arm.HOLDBACK].aggregate, figures.arms[Arm.HOLDBACK].success) == (None, None)
    assert figures.arms[Arm.STAGED].feedback_rate is None
    assert figures.aggregate_improvement_percent is None
    assert not figures.proven


def test_the_improvement_rests_on_the_parts_that_both_arms_have() -> None:
    rated = RewardParts(rating=1.0)
    outcomes = [an_outcome(0, Arm.LIVE, 0.6, rated), an_outcome(1, Arm.HOLDBACK, 0.5)]
    figures = after(iter(outcomes)).figures()
    assert figures.aggregate_improvement_percent == pytest.approx(20)


def test_a_real_lift_is_found_and_proven() -> None:
    success = {Arm.LIVE: 0.6, Arm.STAGED: 0.6, Arm.HOLDBACK: 0.4}
    figures = after(traffic(4_000, success)).figures()
    assert figures.lift is not None
    assert figures.lift.low is not None
    assert figures.lift.high is not None
    assert 0 < figures.lift.low < 0.5 < figures.lift.high
    assert figures.points == pytest.approx(0.2, abs=0.05)
    assert figures.proven


def test_no_lift_is_not_proven_whatever_the_estimate_says() -> None:
    for seed in range(5):
        figures = after(traffic(600, dict.fromkeys(Arm, 0.5), seed)).figures()
        assert figures.lift is not None
        assert (figures.lift.low or -1) <= 0
        assert not figures.proven


def test_a_target_that_is_not_reached_is_not_proven() -> None:
    success = {Arm.LIVE: 0.6, Arm.STAGED: 0.6, Arm.HOLDBACK: 0.4}
    evaluator = OnlineEvaluator(EvaluationConfig(target_improvement_percent=90))
    for record in traffic(4_000, success):
        evaluator.handle(record)
    figures = evaluator.figures()
    assert figures.lift is not None
    assert figures.lift.low is not None
    assert figures.lift.low > 0
    assert not figures.proven


def test_the_session_is_the_unit_and_the_silent_ones_say_nothing() -> None:
    outcomes = [
        an_outcome(0, Arm.LIVE, 1.0, session="a"),
        an_outcome(1, Arm.LIVE, 0.0, session="a"),
        an_outcome(2, Arm.LIVE, None, session="a"),
        an_outcome(3, Arm.STAGED, 1.0, session="b"),
        an_outcome(4, Arm.LIVE, None, session="c"),
        an_outcome(5, Arm.HOLDBACK, 0.5, session="d"),
    ]
    figures = after(iter(outcomes)).figures()
    assert figures.lift is not None
    assert (figures.lift.treated_sessions, figures.lift.control_sessions) == (2, 1)
    sessions = PairedLift(holdback=0.1)
    for treated, rewards in ((True, (1.0, 0.0)), (True, (1.0,)), (False, (0.5,))):
        by_arm = [PairedReward(it, not treated, treated, 0, (Choice(Cell("any"), 1, 1),)) for it in rewards]
        sessions.add(by_arm, treated=treated, bucket=0)
    assert figures.points == sessions.points


def test_a_session_counts_once_it_has_been_silent_for_the_gap() -> None:
    evaluator = OnlineEvaluator(safety=SafetyConfig(session_gap_s=60))
    evaluator.handle(an_outcome(0, Arm.LIVE, 1.0))
    # A tick of the wall says only that windows are complete that ended PATIENCE_GAPS gaps before it.
    complete_ms = START_MS + (1 + PATIENCE_GAPS) * MINUTE_MS
    for time_ms, sessions in ((complete_ms - 1, 0), (complete_ms, 1)):
        evaluator.handle(Tick(time_ms))
        lift = evaluator.figures().lift
        assert lift is not None
        assert lift.treated_sessions == sessions


def test_a_repeated_outcome_counts_once() -> None:
    evaluator = after(iter([an_outcome(0, reward=1.0), an_outcome(0, reward=1.0)]))
    assert evaluator.figures().arms[Arm.LIVE].decisions == 1


def test_what_the_base_did_in_observe_is_no_holdback() -> None:
    evaluator = OnlineEvaluator()
    for sequence, mode in ((1, Mode.APPLY), (2, Mode.OBSERVE), (3, Mode.OFF), (4, Mode.APPLY)):
        evaluator.handle(replace(SERVING_STATE, sequence=sequence, mode=mode))
    for number, sequence in enumerate((1, 2, 3, 4, 5)):
        outcome = an_outcome(number, Arm.HOLDBACK, 1.0)
        evaluator.handle(replace(outcome, serving_sequence=sequence))
    figures = evaluator.figures()
    assert figures.arms[Arm.HOLDBACK].decisions == 3
    assert figures.aside == 2


def test_groups_and_hours_stand_side_by_side_and_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ol0.evaluator.ledger.GROUPS", 2)
    monkeypatch.setattr("ol0.evaluator.ledger.HOURS", 3)
    evaluator = OnlineEvaluator()
    for number, group in enumerate(["old", "new", "odd", "even", "new"]):
        arm = Arm.HOLDBACK if group == "old" else Arm.LIVE
        hour = replace(an_outcome(number, arm, 1.0), group=group, time_ms=3_600_000 * (100 + number) + 5)
        evaluator.handle(hour)
    figures = evaluator.figures()
    counts = {label: (one.treated.decisions, one.holdback.decisions) for label, one in figures.groups.items()}
    assert counts == {"old": (0, 1), "new": (2, 0), "(other)": (2, 0)}
    assert list(figures.hours) == [3_600_000 * hour for hour in (102, 103, 104)]


def test_transitions_are_counted_by_where_they_lead() -> None:
    evaluator = OnlineEvaluator()
    for phase in (Phase.LIVE, Phase.REJECTED, Phase.REJECTED):
        evaluator.handle(replace(TRANSITION, to_phase=phase))
    assert evaluator.figures().transitions == {Phase.LIVE: 1, Phase.REJECTED: 2}


def test_every_phase_is_exported_from_the_start_or_the_first_rollback_would_be_no_increase() -> None:
    figures = [one for one in evaluation_figures(OnlineEvaluator().figures()) if one.metric is TRANSITIONS]
    assert {one.labels: one.value for one in figures} == {(phase,): 0 for phase in Phase}


def test_without_a_holdback_there_is_no_lift_but_all_the_rest() -> None:
    evaluator = OnlineEvaluator(serving=ServingConfig(holdback=0))
    evaluator.handle(an_outcome(0, reward=1.0))
    figures = evaluator.figures()
    assert (figures.lift, figures.points, figures.arms[Arm.LIVE].success) == (None, None, 1.0)
    other = OnlineEvaluator(serving=ServingConfig(holdback=0))
    other.restore(evaluator.snapshot())
    assert other.figures() == figures


def test_a_restored_evaluator_goes_on_as_if_nothing_had_happened() -> None:
    success = {Arm.LIVE: 0.6, Arm.STAGED: 0.5, Arm.HOLDBACK: 0.4}
    through, first = OnlineEvaluator(), OnlineEvaluator()
    records: list[Record] = [
        replace(SERVING_STATE, sequence=1, mode=Mode.OBSERVE),
        replace(SERVING_STATE, sequence=2, mode=Mode.APPLY),
        TRANSITION,
        *(replace(one, group="new", serving_sequence=2) for one in traffic(300, success)),
    ]
    for record in records:
        through.handle(record)
    for record in records[:150]:
        first.handle(record)
    second = OnlineEvaluator()
    second.restore(first.snapshot())
    for record in records[150:]:
        second.handle(record)
    assert second.snapshot() == through.snapshot()
    assert second.figures() == through.figures()


def test_the_snapshot_shows_the_figures_to_whoever_reads_json() -> None:
    evaluator = after(traffic(2_000, dict.fromkeys(Arm, 0.5)))
    body = evaluator.snapshot()
    figures = json.loads(body)["figures"]
    assert figures["arms"]["live"]["decisions"] == evaluator.figures().arms[Arm.LIVE].decisions
    assert figures["lift"]["treated_sessions"] > 1_000
    assert len(body) < 170_000


@pytest.mark.parametrize("body", [b"garbage", b"{}", b'{"state": {"lift": {}}}', b"[]"])
def test_garbage_is_no_snapshot(body: bytes) -> None:
    with pytest.raises(ContractError, match="no snapshot of the evaluator"):
        OnlineEvaluator().restore(body)


# -- the baseline -------------------------------------------------------------------------------------------------


def test_the_holdback_is_held_against_what_the_warm_up_measured() -> None:
    evaluator = after(an_outcome(n, arm, 0.5) for n, arm in enumerate((Arm.HOLDBACK, Arm.LIVE)))
    assert (evaluator.figures().baseline, evaluator.figures().baseline_shift) == (None, None)
    baseline = BaselineMetrics(0.75, 0.95, 0.3, 0.97, 400)
    evaluator.set_baseline_metrics(baseline)
    assert (evaluator.figures().baseline, evaluator.figures().baseline_shift) == (baseline, -0.25)
    assert json.loads(evaluator.snapshot())["figures"]["baseline"]["task_success_rate"] == 0.75


@pytest.mark.parametrize("rate", [0.75, None])
def test_without_a_holdback_or_a_rate_there_is_no_shift(rate: float | None) -> None:
    silent = after(iter([an_outcome(0, Arm.HOLDBACK, None if rate else 0.5)]))
    silent.set_baseline_metrics(BaselineMetrics(rate, 0.95, 0.3, 0.97, 400))
    assert silent.figures().baseline_shift is None


def test_what_was_restored_keeps_the_baseline_of_its_host() -> None:
    baseline = BaselineMetrics(0.75, 0.95, 0.3, 0.97, 400)
    evaluator = OnlineEvaluator()
    evaluator.set_baseline_metrics(baseline)
    evaluator.restore(after(iter([an_outcome(0, Arm.HOLDBACK, 0.5)])).snapshot())
    assert evaluator.figures().baseline_shift == -0.25


# -- the holdback, and what is not heard --------------------------------------------------------------------------


@pytest.mark.parametrize("holdback", [0.0, 0.02, 0.04, 0.05, 0.09, 0.2, 0.6, 0.97])
def test_with_another_holdback_the_lift_begins_anew_and_says_so(holdback: float) -> None:
    success = {Arm.LIVE: 0.6, Arm.STAGED: 0.6, Arm.HOLDBACK: 0.4}
    first = after(traffic(300, success))
    before = first.figures()
    second = OnlineEvaluator(serving=ServingConfig(holdback=holdback))
    second.restore(first.snapshot())
    figures = second.figures()
    assert figures.arms == before.arms, "sums of arms are true under any shares"
    assert figures.lift_since_ms == (before.time_ms if holdback else None)
    assert (figures.lift is None) == (holdback == 0)
    assert figures.lift is None or figures.lift.treated_sessions == figures.lift.control_sessions == 0
    for record in traffic(300, success, first=300):
        moved_ms = record.time_ms + 2 * 10**9
        second.handle(replace(record, time_ms=moved_ms, window_end_ms=moved_ms))
    now = second.figures()
    assert now.lift_since_ms == figures.lift_since_ms
    assert now.lift is None or now.lift.treated_sessions + now.lift.control_sessions > 150


def test_from_none_to_some_holdback_the_lift_begins_at_the_restart() -> None:
    without = OnlineEvaluator(serving=ServingConfig(holdback=0))
    for record in traffic(300, dict.fromkeys(Arm, 0.5)):
        without.handle(record)
    some = OnlineEvaluator()
    some.restore(without.snapshot())
    assert some.figures().lift_since_ms == without.figures().time_ms


def test_decisions_of_before_the_restart_are_not_weighed_with_the_new_holdback() -> None:
    first = after(traffic(600, dict.fromkeys(Arm, 0.5)))
    second = OnlineEvaluator(serving=ServingConfig(holdback=0.4))
    second.restore(first.snapshot())
    since_ms = second.figures().lift_since_ms
    assert since_ms is not None
    for number in range(600, 700):
        late = an_outcome(number, Arm.LIVE, 1.0, session=f"late{number}")
        second.handle(replace(late, time_ms=since_ms - 1, window_end_ms=since_ms + number * MINUTE_MS))
    figures = second.figures()
    assert figures.arms[Arm.LIVE].decisions > 100
    assert figures.lift is not None
    assert figures.lift.treated_sessions == 0


def test_a_lift_of_arms_that_are_not_heard_of_alike_is_not_proven() -> None:
    success = {Arm.LIVE: 0.6, Arm.STAGED: 0.6, Arm.HOLDBACK: 0.4}
    whole = [one for one in traffic(4_000, success) if isinstance(one, Outcome)]
    lossy = [one for one in whole if one.arm is not Arm.HOLDBACK or int(one.session_id[-1]) < 4]
    evaluator = OnlineEvaluator()
    for number, record in enumerate(lossy):
        evaluator.handle(replace(record, sequence=number))
    figures = evaluator.figures()
    assert figures.lift is not None
    assert figures.lift.low is not None
    assert figures.lift.low > 0
    assert figures.unbalanced is not None
    assert "users or sessions are in the arm" in figures.unbalanced
    assert not figures.proven
    again = OnlineEvaluator()
    again.restore(evaluator.snapshot())
    assert again.figures() == figures


def test_a_lift_of_arms_of_which_one_loses_numbered_decisions_is_not_proven() -> None:
    draw = Random(0)
    alone = [one for one in traffic(2_000, dict.fromkeys(Arm, 0.5)) if isinstance(one, Outcome)]
    thrice = [one for one in alone for _ in range(3)]  # sessions of three decisions
    lossy = numbered(thrice, lambda one: one.arm is Arm.HOLDBACK and draw.random() < 0.2)
    evaluator, again = OnlineEvaluator(), OnlineEvaluator()
    for record in lossy[:2_000]:
        evaluator.handle(record)
    again.restore(evaluator.snapshot())
    for record in lossy[2_000:]:
        evaluator.handle(record)
        again.handle(record)
    assert again.snapshot() == evaluator.snapshot()
    assert "numbered decisions are missing in the arm" in (evaluator.figures().unbalanced or "")
