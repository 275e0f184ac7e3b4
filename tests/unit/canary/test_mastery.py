from dataclasses import replace
from random import Random

from ol0.canary.judge import judge
from ol0.canary.mastery import Mastery
from ol0.canary.plan import TrialPlan
from ol0.canary.trial import Trial, TrialState
from ol0.canary.votes import Vote
from ol0.config import SafetyConfig
from ol0.records import Arm, Outcome
from testbed.worlds import START_MS, make_base, make_candidate, outcome, serving_state
from unit.statistics.stored import restored

BASE = make_base()
SERVED = serving_state(BASE, staged=make_candidate(BASE))
PLAN = TrialPlan.of(SERVED, SERVED.staged, holdback=0.1, place=1) if SERVED.staged is not None else None
FAULT, GAIN, KEPT = "live does well, the candidate badly", "live does badly, the candidate well", "both do the same"


def a_trial() -> Trial:
    assert PLAN is not None
    return Trial(TrialState(PLAN), SafetyConfig())


def decided(number: int, draw: Random, fault: float) -> Outcome:
    """A session of one decision. Live takes 0 for half of the prompts, and does them well; else it takes 1."""
    assert SERVED.staged is not None
    arm = Arm.STAGED if draw.random() < 0.5 / 0.9 else Arm.LIVE
    old = draw.random() < 0.5
    what = GAIN if not old else FAULT if draw.random() < fault else KEPT
    success = {FAULT: 0.05 if arm is Arm.STAGED else 0.9, GAIN: 0.9 if arm is Arm.STAGED else 0.2, KEPT: 0.9}[what]
    return outcome(
        sequence=number,
        session_id=f"session-{number}",
        arm=arm,
        digest=SERVED.staged.release.digest if arm is Arm.STAGED else SERVED.live.digest,
        staged=SERVED.staged.release.digest,
        serving_sequence=SERVED.sequence,
        greedy_live=(0,) if old else (1,),
        greedy_staged=(0,) if what == KEPT else (2,),
        reward=float(draw.random() < success),
        group="all",
        window_end_ms=START_MS + 1_000 * number,
    )


def tried(sessions: int, fault: float) -> Trial:
    found, draw = a_trial(), Random(0)
    for number in range(sessions):
        found.add(decided(number, draw, fault))
        found.close_sessions(START_MS + 1_000 * number)
    found.close_sessions(START_MS + 10**9)
    return found


def vote(reward: float | None, *, arm: Arm = Arm.LIVE, group: str | None = "all", live: str | None = "0") -> Vote:
    return Vote(arm, reward, group=group, base=None, live=live, staged="2")


def test_a_fault_that_leads_where_the_gain_leads_shows_in_what_live_does_well() -> None:
    # Given a candidate that gains on half of the prompts, all sent to 2, and with them one prompt in six of the others.
    found = tried(500, fault=1 / 6)
    # Then neither the group nor the action looks harmed, for the gain hides it; what live does well does.
    assert found.destinations.suspected() is None
    assert found.groups.suspected() is None
    _, reasons = judge(found, SafetyConfig(), START_MS)
    part = "what live does well and the candidate sends to action 2"
    assert any(one.check == "suspicion" and one.text.startswith(f"{part} looks harmed") for one in reasons)


def test_a_candidate_that_only_gains_raises_no_suspicion() -> None:
    assert tried(500, fault=0.0).mastered.suspected() is None


def test_what_a_session_says_of_live_counts_for_later_ones_alone() -> None:
    mastery = Mastery()
    assert mastery.sent_to(vote(1.0)) is None
    mastery.add([vote(1.0), vote(0.0, group="new", live="1")])
    assert mastery.sent_to(vote(0.0)) == "2"
    assert mastery.sent_to(vote(0.0, group="new", live="1")) is None


def test_what_a_trial_knows_of_live_comes_from_earlier_sessions() -> None:
    # Given a trial whose first session that live serves is a success, on which the candidate would do something else.
    found, draw = a_trial(), Random(0)
    first = replace(decided(0, draw, 1.0), arm=Arm.LIVE, digest=SERVED.live.digest, reward=1.0, greedy_staged=(2,))
    found.add(first)
    found.close_sessions(START_MS + 10**7)
    # Then that very session says nothing of what live does well, and what comes later is held against it.
    assert found.mastered.by_name == {}
    found.add(replace(first, session_id="later", window_end_ms=START_MS + 10**7))
    found.close_sessions(START_MS + 10**8)
    assert list(found.mastered.by_name) == ["2"]


def test_live_alone_says_what_live_does_well() -> None:
    mastery = Mastery()
    mastery.add([vote(1.0, arm=Arm.STAGED), vote(1.0, arm=Arm.HOLDBACK), vote(None), vote(1.0, live=None)])
    mastery.add([vote(0.0, group="new")])
    assert mastery.sent_to(vote(1.0)) is None


def test_a_trial_goes_on_from_its_snapshot() -> None:
    found = tried(200, fault=1 / 6)
    again = Trial(restored(found.snapshot()), SafetyConfig())
    assert again.capital == found.capital
    assert again.mastery.snapshot() == found.mastery.snapshot()
    assert again.mastery.sent_to(vote(0.0)) == "2"
