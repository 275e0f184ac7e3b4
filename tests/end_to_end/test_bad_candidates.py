"""Candidates that are bad on purpose, each in a way that only one of the checks can see."""

from collections.abc import Iterator
from dataclasses import replace
from threading import Event, Thread

import pytest

from ol0.controller.checkpoint import digest_of, write_checkpoint
from ol0.controller.controller import Manifest
from ol0.controller.heads import Head
from ol0.records import Digest, Gate, Judgement, Outcome, Phase, ServingState, Verdict
from ol0.sdk.router import Router
from ol0.simulation.demo import demo_settings
from ol0.simulation.users import UserHabits, Users
from ol0.stacks.native import NativeStack
from support.trials import Trials, mixer_for, sending
from testbed.lineages import KINDS, NEW_KINDS, RARE_KIND, USELESS, Journal, bring_in, services

RATE_PER_S = 300.0
HABITS = UserHabits(rate_per_s=RATE_PER_S)
MANY = 100_000  # decisions that the users will ask for, unless they are stopped


@pytest.fixture(scope="module")
def trials(stack: NativeStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trials]:
    """Everything of the demo but the learner."""
    place = bring_in(stack, tmp_path_factory.mktemp("candidates"), demo_settings(0, HABITS))
    topics = ("candidates", "verdicts", "transitions", "releases", "outcomes")
    with (
        services(place, ("feedback", "canary", "drift", "release")),
        Journal(place.settings, *topics) as journal,
    ):
        journal.first(ServingState)
        yield Trials.of(place, journal)


def against(verdict: Verdict) -> set[str]:
    """The checks of drift whose figure is above what is allowed."""
    measured = [reason for reason in verdict.reasons if reason.figure is not None and reason.threshold is not None]
    return {reason.check for reason in measured if (reason.figure or 0.0) > (reason.threshold or 0.0)}


def words(verdict: Verdict) -> dict[str, str]:
    return {reason.check: reason.text for reason in verdict.reasons}


def test_heads_that_grew_tenfold_are_stopped_by_drift_alone(trials: Trials) -> None:
    # Given heads that decide as the base does with ten times the weights, behind a mixer that hides how sure they are.
    (base,) = trials.place.base.base
    loud = trials.candidate(Head(10 * base.weight, 10 * base.bias), mixer_for(range(KINDS), 1.0))
    # When they are offered.
    trials.offer(loud)
    # Then canary has nothing against them, drift has, and that is enough.
    assert trials.verdict(Gate.CANARY, loud.digest).judgement is Judgement.APPROVE
    drift = trials.verdict(Gate.DRIFT, loud.digest)
    assert drift.judgement is Judgement.REJECT
    assert against(drift) == {"loudness"}
    assert "drift says reject at stage 0" in trials.transition(loud.digest, Phase.REJECTED).cause
    assert trials.settled(loud.step).live.digest == trials.place.base.digest
    trials.check_never_served(loud.digest)


def test_heads_that_forget_a_rare_old_kind_are_stopped_by_canary_alone(trials: Trials) -> None:
    # Given heads that send the rarest of the old kinds to an expert that cannot answer it.
    (base,) = trials.place.base.base
    forgetful = trials.candidate(sending(base, [RARE_KIND], USELESS), mixer_for([RARE_KIND], 1.5))
    # When they are offered.
    trials.offer(forgetful)
    # Then drift finds that they moved little, canary what they lost, and that is enough.
    assert trials.verdict(Gate.DRIFT, forgetful.digest).judgement is Judgement.APPROVE
    canary = trials.verdict(Gate.CANARY, forgetful.digest)
    assert canary.judgement is Judgement.REJECT
    assert canary.reasons[0].check == "suite_base"  # what is against comes first
    assert "canary says reject at stage 0" in trials.transition(forgetful.digest, Phase.REJECTED).cause
    assert trials.settled(forgetful.step).live.digest == trials.place.base.digest
    trials.check_never_served(forgetful.digest)


def test_bytes_that_were_changed_on_the_way_are_refused_by_everybody(trials: Trials) -> None:
    # Given a good candidate, of which one bit is not as it was when it got its name.
    (base,) = trials.place.base.base
    good = trials.candidate(base, mixer_for([], 0.0))
    tampered = replace(good, heads=good.heads[:-1] + bytes([good.heads[-1] ^ 1]))
    # When it is offered.
    trials.offer(tampered)
    # Then gates and release each say why.
    for gate in Gate:
        verdict = trials.verdict(gate, good.digest)
        assert verdict.judgement is Judgement.REJECT
        assert "its bytes were changed" in words(verdict)["checkpoint"]
    end = trials.transition(good.digest, Phase.REJECTED)
    assert end.from_phase is None
    assert end.cause.endswith(f"not {good.digest[:12]}: its bytes were changed")
    trials.settled(good.step)
    trials.check_never_served(good.digest)


def test_a_candidate_of_another_base_is_refused_by_everybody(trials: Trials) -> None:
    # Given a candidate that was trained from a base that never served here.
    (base,) = trials.place.base.base
    mine, other = trials.candidate(base, mixer_for([], 0.0)), Digest("e" * 64)
    manifest = Manifest(
        other, mine.parent, mine.step, trials.place.base.manifest.parts, trials.place.base.manifest.epsilon
    )
    heads = write_checkpoint(manifest, (base,), (base,), mixer_for([], 0.0))
    foreign = replace(mine, digest=digest_of(heads), base=other, heads=heads)
    # When it is offered.
    trials.offer(foreign)
    # Then gates and release each name both bases.
    for gate in Gate:
        verdict = trials.verdict(gate, foreign.digest)
        assert verdict.judgement is Judgement.REJECT
        assert any("its base is eeeeeeeeeeee" in reason.text for reason in verdict.reasons)
    cause = trials.transition(foreign.digest, Phase.REJECTED).cause
    assert cause == f"its base is eeeeeeeeeeee, the base of this lineage is {trials.place.base.digest[:12]}"
    trials.check_never_served(foreign.digest)


@pytest.fixture
def traffic(trials: Trials) -> Iterator[Users]:
    """Users who ask and answer until the test is over."""
    split, stop = trials.place.split, Event()
    with Router.open(trials.place.settings) as router:
        users = Users(router, split.stream, split.base, HABITS, seed=0)
        thread = Thread(target=users.run, args=(MANY, stop), name="users")
        thread.start()
        try:
            yield users
        finally:
            stop.set()
            thread.join()


def test_what_is_bad_only_for_people_is_taken_back_for_ever(trials: Trials, traffic: Users) -> None:
    # Given heads that are as good as the base on everything that is known, and send what is new to a useless expert.
    (base,) = trials.place.base.base
    treacherous = trials.candidate(sending(base, NEW_KINDS, USELESS), mixer_for(NEW_KINDS, 10.0))
    digest, before = treacherous.digest, trials.state().failures
    # When they are offered while people ask.
    trials.offer(treacherous)
    # Then both gates let them be tried on some, people's votes stop them, and they never come back.
    assert all(trials.verdict(gate, digest).judgement is Judgement.APPROVE for gate in Gate)
    trials.transition(digest, Phase.STAGED)
    fallen = trials.transition(digest, Phase.QUARANTINED)
    assert fallen.from_phase is Phase.STAGED
    assert "says rollback at stage 1" in fallen.cause
    after = trials.settled(treacherous.step)
    assert (after.live.digest, after.staged, after.failures) == (trials.place.base.digest, None, before + 1)
    assert all(state.live.digest == trials.place.base.digest for state in trials.journal.all(ServingState))
    assert trials.journal.all(Outcome, lambda it: it.digest == digest)
    later = trials.journal.first(Outcome, lambda it: it.serving_sequence >= after.sequence)
    assert (later.digest, later.staged) == (trials.place.base.digest, None)
    trials.offer(treacherous)
    trials.transition(digest, Phase.REJECTED)
