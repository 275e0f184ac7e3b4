import json

import pytest

from ol0.errors import ContractError, StreamError
from ol0.evaluator.handler import OnlineEvaluator
from ol0.operator.evaluation import Evaluated, evaluated
from ol0.operator.figure_sources import Sources
from ol0.operator.figures import LiftInterval
from ol0.operator.observation import Observer
from ol0.operator.text import lift_text
from ol0.operator.topic_tally import FEWEST_REWARDS, RECENT_REWARDS, Tally
from ol0.records import Arm, Gate, Judgement, Phase, Record, Snapshot
from ol0.statistics.lift import LiftFigures
from support.made_up_run import (
    BASE,
    DECISIONS,
    LENGTH_S,
    RATE,
    candidate,
    digest,
    outcome,
    serving,
    transition,
    verdict,
    watch,
)
from testbed.waiting import wait_until
from unit.simulation.scripted import Scripted, evaluation


def tally_of(*records: Record, kind_of: dict[str, str] | None = None) -> Tally:
    tally = Tally(kind_of or {})
    for record in records:
        tally.add(record, 1.0)
    return tally


def test_an_outcome_that_the_relay_repeats_counts_once() -> None:
    tally = tally_of(outcome(1, 1.0), outcome(2, 0.0), outcome(1, 1.0))
    assert tally.outcomes == 2


def test_an_outcome_without_a_reward_counts_as_outcome_only() -> None:
    tally = tally_of(outcome(1, None), outcome(2, 1.0))
    assert (tally.outcomes, tally.rewarded, tally.arms()[Arm.LIVE].rewards) == (2, 1, 1)
    assert tally.arms()[Arm.LIVE].feedback_rate == 0.5


def test_success_now_is_over_the_last_thousand_rewards_and_overall_over_all() -> None:
    tally = tally_of(*(outcome(n, float(n >= RECENT_REWARDS)) for n in range(2 * RECENT_REWARDS)))
    success = tally.arms()[Arm.LIVE]
    assert (success.recent, success.overall) == (1.0, 0.5)


def test_too_few_rewards_give_no_success() -> None:
    tally = tally_of(*(outcome(n, 1.0) for n in range(FEWEST_REWARDS - 1)))
    assert tally.arms()[Arm.LIVE].recent is None


def test_success_is_split_by_the_kind_of_the_group() -> None:
    groups = [outcome(n, float(n % 2), group="games" if n % 2 else "web") for n in range(2 * FEWEST_REWARDS)]
    kinds = tally_of(*groups, outcome(-1, 1.0, group="unheard of"), kind_of={"games": "new", "web": "old"}).kinds()
    assert {kind: arms[Arm.LIVE].recent for kind, arms in kinds.items()} == {"new": 1.0, "old": 0.0}


def test_the_staged_arm_begins_anew_with_each_candidate() -> None:
    first = [outcome(n, 0.0, Arm.STAGED, digest=digest("one"), serving_sequence=2) for n in range(200)]
    second = [outcome(n, 1.0, Arm.STAGED, digest=digest("two"), serving_sequence=4) for n in range(200, 400)]
    tally = tally_of(serving(4, "base", 0, "two", 2), *first, *second)
    assert tally.arms()[Arm.STAGED].recent == 1.0
    assert tally.arms()[Arm.STAGED].overall == 0.5


def test_the_staged_arm_has_no_success_now_while_nothing_is_on_trial() -> None:
    staged = [outcome(n, 1.0, Arm.STAGED) for n in range(200)]
    assert tally_of(*staged, serving(3, "base", 0)).arms()[Arm.STAGED].recent is None


def test_a_candidate_has_the_newest_word_of_each_gate_and_its_phase() -> None:
    tally = tally_of(
        candidate("one", 1),
        verdict("one", Gate.CANARY, Judgement.HOLD, stage=1),
        verdict("one", Gate.CANARY, Judgement.APPROVE, stage=1),
        transition("one", Phase.LIVE),
    )
    (story,) = tally.candidates()
    word = story.word(Gate.CANARY)
    assert word is not None
    assert (word.judgement, story.word(Gate.DRIFT), story.phase) == (Judgement.APPROVE, None, Phase.LIVE)


def test_what_is_read_before_its_candidate_is_not_lost() -> None:
    tally = tally_of(
        transition("one", Phase.STAGED), verdict("one", Gate.DRIFT, Judgement.APPROVE), candidate("one", 1)
    )
    (story,) = tally.candidates()
    assert story.phase is Phase.STAGED
    assert story.word(Gate.DRIFT) is not None


def test_a_release_is_what_went_live_first_and_never_the_base() -> None:
    tally = tally_of(serving(1, "base", 0), serving(2, "one", 1), serving(3, "base", 0), serving(4, "one", 1))
    (release,) = tally.releases.values()
    assert (release.digest, {approval.gate for approval in release.approvals}) == (digest("one"), set(Gate))


def test_an_observation_holds_what_the_traffic_sent_and_what_came_back() -> None:
    now = watch(60)
    assert (now.decisions, now.planned, now.outcomes) == (60 * RATE, DECISIONS, 56 * RATE)
    assert now.lag == now.decisions - now.outcomes
    assert now.events_per_s == pytest.approx(RATE * 1.8, rel=0.02)
    assert now.restarts == {"feedback": 1, "learner": 0, "canary": 0}


def test_a_point_is_kept_every_second_and_the_staged_arm_has_one_only_on_trial() -> None:
    now = watch(LENGTH_S)
    assert len(now.series) == LENGTH_S + 1
    on_trial = [point.success[Arm.STAGED] is not None for point in now.series]
    assert any(on_trial)
    assert not all(on_trial[30:])


def test_an_observation_stays_as_it_was_while_the_run_goes_on() -> None:
    early, late = watch(30), watch(60)
    assert len(early.series) < len(late.series)
    assert early.serving is not None
    assert early.serving.live == BASE


def test_the_lift_is_what_the_newest_snapshot_of_the_evaluator_says() -> None:
    # Given a topic whose middle says less than its end, read in two rounds of the same second.
    middle, newest = LiftFigures(90, 10, 0.1, None, None), LiftFigures(900, 100, 0.3, 0.1, None)
    follower = Scripted([evaluation(middle, 7_000)])
    observer = Observer(follower.reader, Sources(lambda: 0, 1), clock=lambda: 0.0)
    observer.look()
    # When the end is read.
    follower.records = [Snapshot("learner", 0, b"not JSON"), evaluation(newest, 9_000)]
    observer.look()
    # Then it is what counts, with its times.
    now = observer.observe()
    assert now.lift == LiftInterval(0.3, 0.1, None, 1_000)
    assert (now.evaluated_ms, now.written_ms) == (9_000, 9_500)


def test_an_observer_has_caught_up_only_when_the_last_records_are_in_its_figures() -> None:
    observer = Observer(Scripted([outcome(1, 1.0)]).reader, Sources(lambda: 1, 1))
    assert not observer.caught_up
    observer.look()
    assert (observer.caught_up, observer.observe().outcomes) == (True, 1)


def test_an_evaluator_that_knows_nothing_yet_has_no_lift() -> None:
    assert evaluated(OnlineEvaluator().snapshot()) == Evaluated(LiftInterval(None, None, None, 0), None)


def test_what_makes_a_lift_doubtful_takes_its_interval_and_says_so() -> None:
    plain = json.loads(OnlineEvaluator().snapshot())["figures"]
    shown = {
        **plain,
        "lift": {"treated_sessions": 90, "control_sessions": 10, "estimate": 0.18, "low": 0.1, "high": 0.3},
    }
    lift = evaluated(json.dumps({"figures": shown}).encode()).lift
    assert (lift.low, lift.high, lift.doubt) == (0.1, 0.3, None)
    for doubt, words in (
        ({"inputs_away_since_ms": 1_700_000_000_000}, "do not look like the anchors since 2023-11-14 22:13:20Z"),
        ({"unbalanced": "the arms are not heard of alike"}, "the arms are not heard of alike"),
    ):
        lift = evaluated(json.dumps({"figures": {**shown, **doubt}}).encode()).lift
        assert (lift.estimate, lift.low, lift.high) == (0.18, None, None)
        assert lift_text(lift).startswith("+18.0 %, which proves nothing: ")
        assert words in lift_text(lift)


def test_a_snapshot_that_is_none_is_refused() -> None:
    with pytest.raises(ContractError, match="no snapshot of the evaluator"):
        evaluated(b"{}")


def test_the_thread_reads_by_itself_and_closes_the_follower() -> None:
    follower = Scripted([outcome(1, 1.0)])
    with Observer(follower.reader, Sources(lambda: 1, 1)) as observer:
        wait_until(lambda: observer.observe().outcomes == 1, 5)
    assert follower.closed


def test_what_stops_the_thread_is_raised_by_the_next_look() -> None:
    with Observer(Scripted(failure=StreamError("no such topic")).reader, Sources(lambda: 1, 1)) as observer:
        wait_until(lambda: observer._failure, 5)
        with pytest.raises(StreamError, match="no such topic"):
            observer.observe()
