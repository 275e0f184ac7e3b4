import json
from collections.abc import Iterator
from dataclasses import replace
from random import Random
from statistics import fmean

import pytest

from ol0.evaluator.figures import EvaluationFigures
from ol0.evaluator.handler import OnlineEvaluator
from ol0.evaluator.served import REMEMBERED, Served
from ol0.evaluator.votes import Vote, vote_of
from ol0.records import Action, Arm, Outcome, Tick
from ol0.statistics.expected_reward import Cell
from ol0.statistics.paired_lift import Choice, PairedReward
from support.examples import OUTCOME
from testbed.serving_states import EPSILON, PARTS, STAGED, a_state
from unit.statistics.stored import restored

HOLDBACK = 0.1
SHARE = 0.3
KNOWN = (Arm.LIVE, Arm.STAGED, Arm.HOLDBACK)
LEAST, MOST = EPSILON / PARTS[0][1], 1 - EPSILON + EPSILON / PARTS[0][1]
SECOND = 1 - EPSILON + EPSILON / PARTS[1][1]
"""The second part of an action, on which all agree and which was taken."""


def served() -> Served:
    it = Served()
    it.take(a_state(sequence=5))
    it.take(a_state(sequence=7, staged=STAGED, share=SHARE))
    return it


def an_outcome(arm: Arm = Arm.LIVE, action: Action = (1, 0), *, trial: bool = False, sequence: int = 5) -> Outcome:
    """The base would take 0, live 1 and the candidate 2."""
    return replace(
        OUTCOME,
        arm=arm,
        action=action,
        reward=1.0,
        group="new",
        staged=STAGED.digest if trial else None,
        serving_sequence=7 if trial else sequence,
        greedy_base=(0, 0),
        greedy_live=(1, 0),
        greedy_staged=(2, 0) if trial else None,
    )


def said(outcome: Outcome, state: Served | None = None) -> PairedReward:
    one = vote_of(outcome, state or served(), HOLDBACK).said
    assert one is not None
    return one


@pytest.mark.parametrize("arm", KNOWN)
def test_what_an_action_says_does_not_depend_on_the_arm_that_took_it(arm: Arm) -> None:
    one = said(an_outcome(arm, (1, 0)))
    assert (one.control, one.treated) == pytest.approx((LEAST * SECOND, MOST * SECOND))
    assert one.taken == 1
    assert [choice.cell for choice in one.choices] == [Cell("base", "new", "0, 0"), Cell("learnt", "new", "1, 0")]


def test_beside_a_candidate_the_learnt_policy_is_both_in_their_shares() -> None:
    odds = SHARE / (1 - HOLDBACK)
    one = said(an_outcome(Arm.HOLDBACK, (2, 0), trial=True))
    assert one.taken == 2
    assert one.control == pytest.approx(LEAST * SECOND)
    assert one.treated == pytest.approx(SECOND * ((1 - odds) * LEAST + odds * MOST))


def test_an_action_that_nobody_favours_is_none_of_the_choices() -> None:
    one = said(an_outcome(action=(3, 0)))
    assert one.taken is None
    assert one.control == pytest.approx(one.treated)


@pytest.mark.parametrize("arm", KNOWN)
@pytest.mark.parametrize("trial", [False, True])
def test_where_all_agree_the_difference_is_nothing(arm: Arm, trial: bool) -> None:  # noqa: FBT001
    same = replace(an_outcome(arm, trial=trial), greedy_base=(1, 0), greedy_staged=(1, 0) if trial else None)
    vote = vote_of(same, served(), HOLDBACK)
    assert vote.agrees
    assert vote.said == PairedReward(1.0)
    beside = replace(same, staged=STAGED.digest, serving_sequence=7, greedy_staged=(2, 0))
    assert not vote_of(beside, served(), HOLDBACK).agrees, "the candidate serves treated sessions, too"


@pytest.mark.parametrize(
    "outcome",
    [
        replace(an_outcome(), greedy_base=None),
        replace(an_outcome(), greedy_base=None, greedy_live=None),
        replace(an_outcome(), greedy_live=None),
        replace(an_outcome(trial=True), greedy_staged=None),
        replace(an_outcome(trial=True), serving_sequence=6),
        replace(an_outcome(trial=True), serving_sequence=4),
    ],
)
def test_what_is_not_known_is_weighed_by_the_arm_whichever_it_is(outcome: Outcome) -> None:
    choices = (Choice(Cell("any", "new"), 1.0, 1.0),)
    assert said(outcome) == PairedReward(1.0, 0.0, 1.0, 0, choices)
    assert said(replace(outcome, arm=Arm.HOLDBACK)) == PairedReward(1.0, 1.0, 0.0, 0, choices)
    assert not vote_of(outcome, served(), HOLDBACK).agrees


def test_before_any_base_is_known_the_arm_counts() -> None:
    assert said(an_outcome(), Served()).choices[0].cell.role == "any"


def test_only_so_many_candidates_are_remembered() -> None:
    it = served()
    for number in range(REMEMBERED):
        it.take(a_state(sequence=8 + number, staged=STAGED, share=0.1 + 0.01 * (number % 2)))
    assert it.staged_share(an_outcome(trial=True)) is None
    assert it.staged_share(replace(an_outcome(trial=True), serving_sequence=9)) == 0.11


@pytest.mark.parametrize("outcome", [an_outcome(trial=True), an_outcome(action=(3, 0)), replace(OUTCOME, reward=None)])
def test_a_vote_and_what_was_served_come_back_from_plain_values(outcome: Outcome) -> None:
    it = served()
    again = restored(it)
    vote = vote_of(outcome, it, HOLDBACK)
    assert Vote.from_row(json.loads(json.dumps(vote.row()))) == vote == vote_of(outcome, again, HOLDBACK)


# -- the evaluator ------------------------------------------------------------------------------------------------


def traffic(count: int, *, learnt: float, retries: float = 0.0, seed: int = 2) -> Iterator[Outcome]:
    """Sessions of a prompt or, after a bad answer, more: the arms differ on three in ten, where .4 is the base's."""
    rng, sequence = Random(seed), -1
    for number in range(count):
        arm = Arm.HOLDBACK if rng.random() < HOLDBACK else Arm.LIVE
        differs, goes_on = rng.random() < 0.3, True
        while goes_on:
            worth = (0.4 if arm is Arm.HOLDBACK else learnt) if differs else 0.5
            good, sequence = rng.random() < worth, sequence + 1
            base = (0, 0) if differs else (1, 0)
            time_ms = OUTCOME.time_ms + 1_000 * sequence
            yield replace(
                an_outcome(arm, base if arm is Arm.HOLDBACK else (1, 0)),
                greedy_base=base,
                session_id=f"s{number}",
                user=None,
                sequence=sequence,
                reward=float(good),
                time_ms=time_ms,
                window_end_ms=time_ms,
            )
            goes_on = not good and differs and rng.random() < retries


def after(records: Iterator[Outcome]) -> OnlineEvaluator:
    evaluator = OnlineEvaluator()
    evaluator.handle(a_state(sequence=5))
    for record in records:
        evaluator.handle(record)
    evaluator.handle(Tick(OUTCOME.time_ms + 10**9))
    return evaluator


def half_width(figures: EvaluationFigures) -> float:
    assert figures.lift is not None
    assert figures.lift.low is not None
    assert figures.lift.high is not None
    return (figures.lift.high - figures.lift.low) / 2


def test_what_both_arms_would_have_done_makes_the_interval_half_as_wide() -> None:
    paired = after(traffic(3_000, learnt=0.7)).figures()
    silent = (
        replace(one, greedy_base=None, greedy_live=None) for one in traffic(3_000, learnt=0.7)
    )  # an older host tells nothing while no candidate is staged
    plain = after(silent).figures()
    assert half_width(paired) < 0.6 * half_width(plain)
    assert (paired.unpaired, paired.proven) == (None, True)
    assert paired.design_effect is not None
    assert paired.design_effect < 1.3


def test_where_prompts_depend_on_the_arm_sessions_are_compared() -> None:
    records = list(traffic(6_000, learnt=0.95, retries=1.0))
    evaluator = after(iter(records))
    figures = evaluator.figures()
    assert figures.unpaired is not None
    assert "depends on who answers" in figures.unpaired
    sessions: dict[tuple[bool, str], list[float]] = {}
    for one in records:
        sessions.setdefault((one.arm is Arm.HOLDBACK, one.session_id), []).append(one.reward or 0.0)
    control, treated = (
        fmean(fmean(rewards) for (held, _), rewards in sessions.items() if held is arm) for arm in (True, False)
    )
    assert figures.points == pytest.approx(treated - control)
    assert figures.lift is not None
    assert figures.lift.estimate == pytest.approx(treated / control - 1)
    again = OnlineEvaluator()
    again.restore(evaluator.snapshot())
    assert again.figures() == figures


def test_sessions_of_an_earlier_version_cannot_be_paired_and_the_lift_begins_anew() -> None:
    first = after(traffic(300, learnt=0.7))
    assert first.figures().time_ms is not None
    body = json.loads(first.snapshot())
    state = body["state"]
    state["outside"] = state.pop("served")["outside"]
    del state["lift"]["layout"]
    second = OnlineEvaluator()
    second.restore(json.dumps(body).encode())
    figures = second.figures()
    assert figures.arms == first.figures().arms
    assert figures.lift_since_ms == first.figures().time_ms
    assert figures.lift is not None
    assert figures.lift.treated_sessions == 0


def test_users_who_come_again_count_where_sessions_are_compared_too() -> None:
    """Twelve users, who like everything or nothing: twelve coins show nothing, however many sessions there are."""
    arms, bases = [Arm.HOLDBACK, Arm.LIVE, Arm.LIVE] * 4, [(0, 0), (1, 0), (1, 0)] * 4
    records = [
        replace(one, user=f"u{who}", reward=float(who < 6), arm=arms[who], greedy_base=bases[who])
        for one, who in zip(traffic(3_000, learnt=0.9), list(range(12)) * 250, strict=True)
    ]
    figures = after(iter(records)).figures()
    assert figures.unpaired is not None
    assert figures.design_effect is not None
    assert figures.design_effect > 50
