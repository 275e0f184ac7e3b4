"""Trials of which part is not heard: lost decisions, hidden failures, numbers without outcomes."""

import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from random import Random

import pytest

from ol0.canary.judge import is_final, judge
from ol0.canary.plan import TrialPlan
from ol0.canary.trial import Trial, TrialState
from ol0.canary.votes import Vote
from ol0.config import SafetyConfig, StageConfig
from ol0.controller.numbering import new_prefix, numbered_id
from ol0.records import Arm, Judgement, Outcome
from support.canary_gate import BASE, DAY_MS, ONE_STAGE, SERVED, gate, verdicts
from testbed.worlds import (
    NEW,
    START_MS,
    Traffic,
    experts,
    make_candidate,
    numbered,
    outcome,
    serving_state,
)

PREFIX = new_prefix("00c0ffee11")
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
        yield Vote(arm, reward, group=None, base=None, live=None, staged=None)


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
        arm = Arm.STAGED if treated else Arm.LIVE
        vote = Vote(arm, reward, group=None, base=None, live=None, staged=None)
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
        found.live.add([Vote(arm, reward, group=None, base=None, live=None, staged=None)])
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
        votes = [Vote(arm, one, group=None, base=None, live=None, staged=None) for one in heard]
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
    # When its time is up, that is the reason that stands beside the end.
    judgement, reasons = judge(found, ONE_STAGE.model_copy(update={"max_stage": 150}), START_MS)
    assert judgement is Judgement.REJECT
    assert [reason.check for reason in reasons[:2]] == ["undecided", "suspicion"]


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
