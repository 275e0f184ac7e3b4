import json
from collections.abc import Iterable
from dataclasses import replace
from random import Random

import pytest

from ol0.config import SafetyConfig, StageConfig
from ol0.controller.checkpoint import read_checkpoint
from ol0.controller.controller import Controller
from ol0.drift.handler import DriftMonitor
from ol0.errors import ContractError
from ol0.records import Arm, Digest, Gate, Judgement, Outcome, Record, Tick, Verdict
from testbed.worlds import (
    NEW,
    WINDOW_MS,
    Traffic,
    experts,
    make_base,
    make_candidate,
    make_suite,
    numbered,
    serving_state,
)

SAFETY = SafetyConfig(stages=(StageConfig(share=0.5),))
BASE = make_base()
GOOD = make_candidate(BASE)
PROBES = make_suite(prompts=60)
# More holdback than usual lets a fall show within a test's time.
HOLDBACK = 0.3


def monitor(safety: SafetyConfig = SAFETY) -> DriftMonitor:
    return DriftMonitor(PROBES, safety, HOLDBACK)


def verdicts(drift: DriftMonitor, records: Iterable[Record]) -> list[Verdict]:
    return [verdict for record in records for verdict in drift.handle(record) if isinstance(verdict, Verdict)]


def stories(fall: float = 0.0, after: int = 600, *, grouped: bool = False) -> list[Record]:
    """A trial, a release, 600 good decisions, and ``after`` ones in which live succeeds less by ``fall``."""
    traffic = Traffic(holdback=HOLDBACK, grouped=grouped)
    trial = serving_state(BASE, staged=GOOD, sequence=1)
    release = serving_state(BASE, live=GOOD, sequence=2)
    good: list[Record] = [trial, *traffic.outcomes(trial, 900), release, *traffic.outcomes(release, 600)]
    traffic.fall = {Arm.LIVE: fall}
    return [*good, *traffic.outcomes(release, after)]


def test_a_good_release_is_left_alone() -> None:
    assert verdicts(monitor(), stories()) == []


def test_a_release_that_turns_worse_than_the_base_is_rolled_back() -> None:
    found = verdicts(monitor(), stories(fall=0.9, after=1_200))
    last = found[-1]
    assert (last.judgement, last.digest, last.stage) == (Judgement.ROLLBACK, GOOD.digest, 2)
    assert last.evidence > 100


def test_a_release_that_only_loses_its_lift_is_rolled_back() -> None:
    # It goes on serving better than the base, by a tenth of what it was released for.
    found = verdicts(monitor(), stories(fall=0.72, after=4_500))
    assert found[-1].judgement is Judgement.ROLLBACK
    assert found[-1].reasons[0].check == "lost_lift"
    assert {one.judgement for one in found[:-1]} <= {Judgement.HOLD}


@pytest.mark.parametrize("cut", [0, 800])
def test_harm_to_one_group_is_not_hidden_by_a_gain_in_the_others(cut: int) -> None:
    # Given a release that serves new kinds well, and one of the old kinds by far worse than the base, and a restart,
    # after which too little is left to find it by that alone
    sabotage = make_candidate(BASE, takes=experts(wrong=[0]), opens=range(8))
    state, traffic = serving_state(BASE, live=sabotage, sequence=2), Traffic(holdback=HOLDBACK, grouped=True)
    records: list[Record] = [state, *traffic.outcomes(state, 1_000)]
    first, second = monitor(), monitor()
    early = verdicts(first, records[:cut])
    second.restore(first.snapshot())
    # When it is watched, then it is rolled back for that, though its lift is proven
    found = [*early, *verdicts(second, records[cut:])]
    assert [(one.judgement, one.reasons[0].check) for one in found] == [(Judgement.ROLLBACK, "group_harm")]
    assert "group 'kind-0' loses more than 10 points against the holdback" in found[0].reasons[0].text
    assert second._live is not None
    assert (second._live.windows.low() or 0) > 0


def test_a_release_that_serves_every_group_as_well_is_left_alone() -> None:
    state, traffic = serving_state(BASE, live=GOOD, sequence=2), Traffic(holdback=HOLDBACK, grouped=True)
    assert verdicts(monitor(), [state, *traffic.outcomes(state, 3_000)]) == []


def test_after_its_rollback_a_release_is_not_rolled_back_again() -> None:
    found = verdicts(monitor(), stories(fall=0.9, after=1_800))
    assert sum(one.judgement is Judgement.ROLLBACK for one in found) == 1


def test_a_candidate_worse_than_the_base_is_rolled_back_at_its_stage() -> None:
    bad = make_candidate(BASE, takes=experts(wrong=range(8)), opens=range(8))
    state = serving_state(BASE, staged=bad, stage=1)
    (found,) = verdicts(monitor(), [state, *Traffic(holdback=HOLDBACK).outcomes(state, 900)])
    assert (found.judgement, found.stage, found.parent) == (Judgement.ROLLBACK, 1, BASE.digest)
    assert found.reasons[0].check == "harm_to_base"


@pytest.mark.parametrize("seed", range(4))
def test_a_candidate_like_the_base_is_left_alone(seed: int) -> None:
    same = make_candidate(BASE, takes=experts(wrong=NEW))
    state = serving_state(BASE, staged=same)
    assert verdicts(monitor(), [state, *Traffic(seed, holdback=HOLDBACK).outcomes(state, 600)]) == []


def test_a_release_of_unknown_lift_must_still_not_be_worse_than_the_base() -> None:
    bad = make_candidate(BASE, takes=experts(wrong=range(8)), opens=range(8))
    state = serving_state(BASE, live=bad)
    (found,) = verdicts(monitor(), [state, *Traffic(holdback=HOLDBACK).outcomes(state, 900)])
    assert (found.judgement, found.reasons[0].check, found.stage) == (Judgement.ROLLBACK, "harm_to_base", 2)


def test_an_old_serving_state_does_not_bring_a_watch_back() -> None:
    drift, old = monitor(), serving_state(BASE, live=GOOD, sequence=1)
    verdicts(drift, [old, serving_state(BASE, sequence=2), old])
    assert drift._live is None


def test_the_base_itself_is_not_watched() -> None:
    state = serving_state(BASE)
    assert verdicts(monitor(), [state, *Traffic(holdback=HOLDBACK, fall={Arm.LIVE: 0.9}).outcomes(state, 600)]) == []


def test_without_a_holdback_there_is_no_yardstick() -> None:
    drift = DriftMonitor(PROBES, SAFETY, holdback=0.0)
    state = serving_state(BASE, live=GOOD)
    assert verdicts(drift, [state, *Traffic(holdback=0.0, fall={Arm.LIVE: 0.9}).outcomes(state, 300)]) == []


def test_the_lift_of_the_trial_is_what_a_release_is_held_to() -> None:
    drift = monitor()
    verdicts(drift, stories(after=30))
    assert drift._live is not None
    reference = drift._live.reference
    # Half the prompts are new, and there the base succeeds with .1 and the candidate with .9, exploration apart.
    assert reference is not None
    assert 0.25 < reference < 0.4
    assert drift._live.watched.stage == 2


def test_a_release_that_comes_back_brings_its_lift_along() -> None:
    drift, traffic = monitor(), Traffic(holdback=HOLDBACK)
    verdicts(drift, stories(after=30))
    assert drift._live is not None
    reference = drift._live.reference
    other = make_candidate(BASE, parent=GOOD, step=2, scale=1.2)
    verdicts(drift, [serving_state(BASE, live=other, sequence=3), serving_state(BASE, live=GOOD, sequence=4)])
    assert drift._live.watched.digest == GOOD.digest
    assert drift._live.reference == reference
    assert traffic.sequence == 0


def test_sessions_count_by_the_odds_of_their_own_time() -> None:
    drift = monitor()
    verdicts(
        drift,
        [
            serving_state(BASE, live=GOOD, sequence=1),
            serving_state(BASE, live=GOOD, staged=make_candidate(BASE, parent=GOOD, step=2), share=0.5, sequence=5),
        ],
    )
    assert drift._assignment.live(1) == drift._assignment.live(4) == pytest.approx(0.7)
    assert drift._assignment.live(5) == pytest.approx(0.2 / 0.5)
    assert drift._assignment.staged(5) == pytest.approx(0.5 / 0.8)


@pytest.mark.parametrize("cut", [500, 1_200, 2_500])
def test_a_restart_in_the_middle_gives_the_same_verdicts(cut: int) -> None:
    records = stories(fall=0.9, after=1_500)
    whole, first, second = monitor(), monitor(), monitor()
    expected = verdicts(whole, records)
    found = verdicts(first, records[:cut])
    second.restore(first.snapshot())
    found += verdicts(second, records[cut:])
    assert found == expected
    assert second.snapshot() == whole.snapshot()
    assert len(whole.snapshot()) < 50_000


def test_new_odds_begin_the_evidence_anew_and_keep_the_reference() -> None:
    first = monitor()
    verdicts(first, stories(after=30, grouped=True))
    second = DriftMonitor(PROBES, SAFETY, holdback=0.1)
    second.restore(first.snapshot())
    assert second._live is not None
    assert first._live is not None
    assert (second._live.sessions, second._live.groups.snapshot()) == (0, [])
    assert first._live.groups.snapshot()
    assert second._live.reference == first._live.reference


def test_a_snapshot_of_something_else_is_refused() -> None:
    with pytest.raises(ContractError, match="`ol0 snapshots delete drift`"):
        monitor().restore(json.dumps({"clock": 1}).encode())


def test_a_host_that_serves_somebody_else_does_not_count() -> None:
    state = serving_state(BASE, live=GOOD)
    traffic = Traffic(holdback=HOLDBACK, fall={Arm.LIVE: 0.9})
    switched_off = [replace(one, digest=BASE.digest) for one in traffic.outcomes(state, 900)]
    drift = monitor()
    live_only = [one for one in switched_off if one.arm is Arm.LIVE]
    verdicts(drift, [state, *live_only, *(replace(one, sequence=one.sequence + 900) for one in live_only)])
    assert drift._live is not None
    assert drift._live.sessions == 0


# -- what is not heard, and other shares --------------------------------------------------------------------------


def heard(outcomes: Iterable[Outcome], lost: Arm) -> list[Outcome]:
    """Without one arm: the join numbers what it closes."""
    return [replace(one, sequence=n) for n, one in enumerate(one for one in outcomes if one.arm is not lost)]


@pytest.mark.parametrize("lost", [Arm.STAGED, Arm.HOLDBACK])
def test_a_candidate_is_rolled_back_where_one_of_the_two_arms_is_not_heard_of(lost: Arm) -> None:
    state = serving_state(BASE, staged=GOOD)
    (found,) = verdicts(monitor(), [state, *heard(Traffic(holdback=HOLDBACK).outcomes(state, 900), lost)])
    assert (found.judgement, found.digest, found.reasons[0].check) == (Judgement.ROLLBACK, GOOD.digest, "sample_ratio")
    assert "users or sessions are in the arm" in found.reasons[0].text


@pytest.mark.parametrize("lost", [Arm.LIVE, Arm.HOLDBACK])
def test_a_release_is_rolled_back_where_one_of_the_two_arms_is_not_heard_of(lost: Arm) -> None:
    state = serving_state(BASE, live=GOOD)
    (found,) = verdicts(monitor(), [state, *heard(Traffic(holdback=HOLDBACK).outcomes(state, 900), lost)])
    assert (found.judgement, found.stage, found.reasons[0].check) == (Judgement.ROLLBACK, 2, "sample_ratio")


@pytest.mark.parametrize("live", [False, True])
def test_who_serves_is_rolled_back_where_numbered_decisions_of_one_arm_are_lost(live: bool) -> None:  # noqa: FBT001 - a table
    state = serving_state(BASE, live=GOOD) if live else serving_state(BASE, staged=GOOD)
    draw = Random(0)
    outcomes = numbered(
        Traffic(holdback=HOLDBACK).outcomes(state, 4_500),
        lambda one: one.arm is not Arm.HOLDBACK and draw.random() < 0.22,
    )
    found = verdicts(monitor(), [state, *outcomes])[0]
    assert (found.judgement, found.reasons[0].check) == (Judgement.ROLLBACK, "sample_ratio")
    assert "numbered decisions are missing in the arm" in found.reasons[0].text


def test_a_release_of_which_votes_stop_to_come_is_rolled_back() -> None:
    state, traffic = serving_state(BASE, live=GOOD), Traffic(holdback=HOLDBACK)
    silent = (
        replace(one, reward=None) if one.arm is Arm.LIVE and one.sequence % 2 else one
        for one in traffic.outcomes(state, 2_400)
    )
    found = verdicts(monitor(), [state, *silent])
    assert found[-1].reasons[0].check == "sample_ratio"
    assert "votes per decision" in found[-1].reasons[0].text


def test_users_who_moved_between_arms_with_a_trial_are_counted_once() -> None:
    # 300 users come again and again; those on trial serve as nobody's for the release, also when the trial is over.
    other = make_candidate(BASE, parent=GOOD, step=2, scale=1.1)
    states = [
        serving_state(BASE, live=GOOD, staged=other if number % 2 else None, share=0.5, sequence=number)
        for number in range(1, 9)
    ]
    drift, traffic, draw = monitor(), Traffic(holdback=HOLDBACK), Random(1)
    arms = {user: (draw.random() < HOLDBACK, draw.random()) for user in range(300)}
    for state in states:
        verdicts(drift, [state])
        for one in traffic.outcomes(state, 300):
            user = draw.randrange(300)
            held_back, place = arms[user]
            trial = state.staged is not None and place < 0.5 / (1 - HOLDBACK)
            arm = Arm.HOLDBACK if held_back else Arm.STAGED if trial else Arm.LIVE
            digest = {Arm.HOLDBACK: BASE.digest, Arm.STAGED: other.digest, Arm.LIVE: GOOD.digest}[arm]
            drift.handle(replace(one, user=f"u{user}", arm=arm, digest=digest, reward=None))
    assert drift._live is not None
    assert drift._live.balance.found is None
    assert 100 < drift._live.balance.ratio.units <= 300


def test_a_share_that_no_setting_knows_is_judged_as_it_is_served() -> None:
    drift = monitor()
    verdicts(drift, [serving_state(BASE, staged=GOOD, share=0.5, sequence=1)])
    before = drift._assignment.smallest
    verdicts(drift, [serving_state(BASE, staged=GOOD, share=0.05, sequence=2)])
    assert drift._assignment.staged(2) == pytest.approx(0.05 / (0.05 + HOLDBACK))
    assert drift._assignment.smallest < before
    assert drift._staged is not None
    assert drift._staged.sessions == 0
    second = monitor()
    second.restore(drift.snapshot())
    assert second._assignment.smallest == drift._assignment.smallest


def test_decisions_under_another_holdback_do_not_count_after_the_restart() -> None:
    first, traffic, state = monitor(), Traffic(holdback=HOLDBACK), serving_state(BASE, live=GOOD)
    verdicts(first, [state, *traffic.outcomes(state, 300)])
    second = DriftMonitor(PROBES, SAFETY, holdback=0.1, newest=lambda: state)
    second.restore(first.snapshot())
    verdicts(second, traffic.outcomes(state, 300))
    assert second._live is not None
    assert second._live.balance.ratio.units == 0
    traffic.time_ms += WINDOW_MS
    traffic.holdback = 0.1
    verdicts(second, traffic.outcomes(state, 300))
    assert second._live.balance.ratio.units == pytest.approx(100, abs=3)


def test_with_a_holdback_for_the_first_time_what_serves_is_watched_at_once() -> None:
    state, before = serving_state(BASE, live=GOOD), DriftMonitor(PROBES, SAFETY, holdback=0.0)
    verdicts(before, [state])
    after = DriftMonitor(PROBES, SAFETY, holdback=0.1, newest=lambda: state)
    after.restore(before.snapshot())
    verdicts(after, [Tick(1)])
    assert after._live is not None
    assert after._live.watched.digest == GOOD.digest


def test_without_a_holdback_any_more_nothing_is_watched() -> None:
    first = monitor()
    verdicts(first, stories(after=30))
    second = DriftMonitor(PROBES, SAFETY, holdback=0.0)
    second.restore(first.snapshot())
    assert (second._live, second._staged) == (None, None)


def test_what_is_live_need_not_be_opened_to_be_watched() -> None:
    # Given a release whose chunks are deleted since, as its approvals name its parent.
    def opener(heads: bytes, digest: Digest | None) -> Controller:
        assert digest == BASE.digest
        return read_checkpoint(heads, digest)

    parent = Digest("e" * 64)
    approval = Verdict(GOOD.digest, BASE.digest, parent, 0, None, Gate.DRIFT, Judgement.APPROVE, (), 1, 1)
    state = serving_state(BASE, live=GOOD)
    drift = DriftMonitor(PROBES, SAFETY, HOLDBACK, opener=opener)
    # When it serves, then it is watched.
    drift.handle(replace(state, live=replace(state.live, approvals=(approval,))))
    assert drift._live is not None
    assert drift._live.watched.digests == (GOOD.digest, BASE.digest, parent)
