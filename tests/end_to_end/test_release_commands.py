"""``ol0 releases``: what a person sees of a lineage with keys, and orders that take effect or say why not."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from ol0.records import Candidate, Gate, Judgement, Phase, ServingState, Verdict, short
from ol0.stacks.native import NativeStack
from support.trials import Trials, new_security
from testbed.lineages import Journal, bring_in, services
from testbed.processes import ol0

WRONG_SETTING = 2


@pytest.fixture(scope="module")
def trials(stack: NativeStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trials]:
    """Both gates' approvals release at once; nobody learns, so that what happens is what is ordered."""
    folder = tmp_path_factory.mktemp("releases")
    tree: dict[str, Mapping[str, object]] = {
        "streaming": {"batch_wait_s": 0.05},
        "safety": {"stages": [], "cooldown_s": 0.0},
        "security": new_security(folder / "keys"),
    }
    place = bring_in(stack, folder, tree)
    with (
        services(place, ("canary", "drift", "release")),
        Journal(place.settings, "verdicts", "transitions", "releases") as journal,
    ):
        journal.first(ServingState)
        yield Trials.of(place, journal)


def release_next(trials: Trials) -> Candidate:
    """A good candidate that went live."""
    candidate = trials.keys.sign(replace(trials.good_candidate(), summary={"kl_old": 0.0125}))
    trials.offer(candidate)
    trials.journal.first(ServingState, lambda it: it.live.digest == candidate.digest)
    return candidate


def releases(trials: Trials, *arguments: str, status: int = 0, answer: str = "") -> str:
    """What ``ol0 releases ...`` says."""
    done = ol0("releases", *arguments, "--config", trials.place.config, answer=answer)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stderr if status else done.stdout


def test_the_list_has_every_step_with_its_cause_and_what_serves(trials: Trials) -> None:
    candidate = release_next(trials)
    lines = releases(trials, "list").splitlines()
    assert lines[0].split() == ["time", "digest", "step", "became", "cause"]
    moves = [line for line in lines if short(candidate.digest) in line and "->" in line]
    assert ["new -> offered" in moves[0], "offered -> live" in moves[1]] == [True, True]
    assert "canary says approve" in " ".join(lines)
    assert f"live    {candidate.digest} (step {candidate.step})" in lines
    assert f"base    {trials.place.base.digest}" in lines
    assert "mode apply, not frozen, 0 failures in a row" in lines
    assert "earlier: --limit " in releases(trials, "list", "--limit", "1").splitlines()[0]


def test_the_list_is_there_for_machines(trials: Trials) -> None:
    candidate = release_next(trials)
    told = json.loads(releases(trials, "list", "--json"))
    assert (told["serving"]["live"], told["serving"]["base"]) == (candidate.digest, trials.place.base.digest)
    assert told["transitions"][-1]["to_phase"] in {"live", "superseded"}
    assert {it["to_phase"] for it in told["transitions"] if it["digest"] == candidate.digest} == {"offered", "live"}


def test_the_status_is_there_for_machines(trials: Trials) -> None:
    live = trials.state().live
    done = ol0("status", "--json", "--config", trials.place.config)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["lineage"], told["serving"]["live"]) == (trials.place.prefix, live.digest)
    (last,) = [it for it in told["candidates"] if it["digest"] == live.digest]
    assert last["phase"] == "live"
    assert last["verdicts"]["canary"]["judgement"] == "approve"
    assert told["store"]["decisions"] == 0


def test_a_freeze_is_rehearsed(trials: Trials) -> None:
    assert "nothing was changed" in releases(trials, "freeze", "--dry-run")
    assert not trials.state().frozen


def test_a_checkpoint_is_shown_with_its_training_its_verdicts_and_whose_word_they_are(trials: Trials) -> None:
    candidate = release_next(trials)
    page = releases(trials, "show", candidate.digest[:10])
    assert page.startswith(f"checkpoint {candidate.digest}\n  serves as live\n")
    assert f"{len(candidate.heads):,} bytes; signed by a trusted key" in page
    assert f"  parent {candidate.parent}" in page
    assert f"  {'kl_old':24} 0.0125" in page
    for gate in Gate:
        assert f"{gate} says approve at stage 0" in page
    assert "offered -> live" in page
    assert page.count("signed by a trusted key") == 1 + len(Gate)
    unknown = releases(trials, "show", "0000", status=WRONG_SETTING)
    assert unknown == "ol0: no checkpoint in this lineage matches 0000; `ol0 releases list` shows their names\n"


def test_while_frozen_an_approved_candidate_waits_and_the_thaw_lets_it_serve(trials: Trials) -> None:
    live = trials.state().live
    said = releases(trials, "freeze", "--reason", "launch day").splitlines()
    assert said[0] == "all candidates stop until `ol0 releases thaw`"
    assert said[1].startswith(f"done: {live.digest} (step {live.step}) serves, serving state ")
    assert said[1].endswith(", frozen")
    assert releases(trials, "freeze") == "freeze: already so; no order was given\n"
    trials.journal.first(ServingState, lambda it: it.frozen)
    # Given a candidate that both gates approve meanwhile.
    waiting = trials.good_candidate()
    trials.offer(waiting)
    assert all(trials.verdict(gate, waiting.digest).judgement is Judgement.APPROVE for gate in Gate)
    trials.transition(waiting.digest, Phase.OFFERED)
    trials.check_never_served(waiting.digest)
    # When the freeze ends, then it serves.
    said = releases(trials, "thaw", "--reason", "the day is over").splitlines()
    assert f"{short(waiting.digest)} (step {waiting.step}): offered -> live" in said
    assert said[-2] == "the freeze ends"
    assert f"{waiting.digest} (step {waiting.step}) serves" in said[-1]
    assert said[-1].endswith(", not frozen")


def test_a_former_release_is_pinned_once_somebody_says_yes(trials: Trials) -> None:
    # Given two releases.
    former, latest = release_next(trials), release_next(trials)
    # When somebody asks what a pin would do, or says no, then nothing is changed.
    for arguments, answer in ((("--dry-run",), ""), ((), "n\n")):
        said = releases(trials, "pin", former.digest[:8], *arguments, answer=answer)
        assert f"{short(former.digest)} (step {former.step}): superseded -> live" in said
        assert said.endswith("nothing was changed\n")
    assert trials.state().live.digest == latest.digest
    # When he says yes, then the former serves, and the lineage is frozen.
    said = releases(trials, "pin", former.digest[:8], "--reason", "known to be good", "--actor", "ann", answer="y\n")
    assert f"{former.digest} (step {former.step}) serves" in said
    assert said.endswith(", frozen\n")
    state = trials.journal.first(ServingState, lambda it: it.live.digest == former.digest and it.frozen)
    assert state.sequence > trials.journal.first(ServingState, lambda it: it.live.digest == latest.digest).sequence
    cause = trials.transition(latest.digest, Phase.SUPERSEDED).cause
    assert ("ann" in cause, "known to be good" in cause) == (True, True)
    releases(trials, "thaw")
    trials.journal.first(ServingState, lambda it: it.sequence > state.sequence and not it.frozen)


def test_what_is_rolled_back_gives_way_to_its_predecessor_and_never_serves_again(trials: Trials) -> None:
    former, latest = release_next(trials), release_next(trials)
    said = releases(trials, "rollback", "--dry-run")
    assert f"{short(latest.digest)} (step {latest.step}): live -> quarantined" in said
    assert said.endswith("nothing was changed\n")
    said = releases(trials, "rollback", "--reason", "complaints since noon", "--yes")
    assert f"done: {former.digest} (step {former.step}) serves" in said
    assert "complaints since noon" in trials.transition(latest.digest, Phase.QUARANTINED).cause
    refused = releases(trials, "pin", latest.digest[:8], "--yes", status=WRONG_SETTING)
    assert refused.startswith(f"ol0: pin would be refused: {latest.digest} is not among the releases that are kept: ")


def test_below_the_base_there_is_nothing_to_go_back_to(stack: NativeStack, tmp_path: Path) -> None:
    # Given a lineage in which nothing has happened yet.
    place = bring_in(stack, tmp_path, {"safety": {"stages": [], "cooldown_s": 0.0}})
    early = ol0("releases", "freeze", "--config", place.config)
    assert early.returncode == WRONG_SETTING
    assert early.stderr.startswith(f"ol0: nothing was released in lineage {place.prefix} yet: `ol0 warmup` offers")
    # When its base serves, then that can be looked at, but not taken back.
    with services(place, ("canary", "drift", "release")), Journal(place.settings, "releases", "verdicts") as journal:
        journal.first(ServingState)
        assert all(one.signature is None for one in journal.all(Verdict))
        page = ol0("releases", "show", place.base.digest, "--config", place.config)
        assert "serves as live and base" in page.stdout
        assert "bytes; not signed" in page.stdout
        answer = ol0("releases", "rollback", "--yes", "--config", place.config)
    assert answer.returncode == WRONG_SETTING
    assert answer.stderr == "ol0: rollback would be refused: the base is live: there is nothing to go back to\n"
    # And an order that nobody carries out stands where it will be found.
    order = ol0("releases", "freeze", "--actor", "ann", "--within-s", "1", "--config", place.config)
    assert order.returncode == 1
    assert "the release service has not carried it out within 1 s: does it run" in order.stderr
    # So the same once more is none, and its contrary is one.
    again = ol0("releases", "freeze", "--config", place.config)
    waits = "freeze by ann still waits for the release service, which carries it out first\n"
    assert again.stdout == f"{waits}freeze: will be so after that; no order was given\n"
    contrary = ol0("releases", "thaw", "--within-s", "1", "--config", place.config)
    assert (contrary.returncode, contrary.stdout) == (1, f"{waits}the freeze ends\n")
    # And when it is there, it obeys both before it obeys the next one.
    with services(place, ("release",)):
        done = ol0("releases", "freeze", "--config", place.config)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(", frozen\n")
