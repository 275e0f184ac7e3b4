"""Fault 11 where keys are configured: what is forged or wrong never serves, and never stands in the way of the next."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ol0.clock import wall_clock_ms
from ol0.config import SecurityConfig, Signer, load_settings
from ol0.controller.checkpoint import digest_of, write_checkpoint
from ol0.controller.controller import Manifest
from ol0.controller.heads import Head, Mixer
from ol0.controller.signing import Keyring
from ol0.kafka.dead_letters.reader import read_letters
from ol0.kafka.sending.record_sender import RecordSender
from ol0.records import Candidate, Digest, Gate, Judgement, Mode, Phase, Reason, Release, ServingState, Verdict
from ol0.sdk.router import Router
from ol0.stacks.native import NativeStack
from ol0.wire.validation import MAX_HEADS_BYTES
from support.hostile import hostile_files
from support.keyrings import keyring, new_keys
from support.trials import Trials, mixer_for, new_security, sending
from testbed.lineages import KINDS, RARE_KIND, USELESS, Journal, Place, bring_in, services
from testbed.processes import ol0
from testbed.waiting import wait_until

SETTINGS: Mapping[str, Mapping[str, object]] = {
    "streaming": {"batch_wait_s": 0.05},
    "safety": {"stages": [], "cooldown_s": 0.0},  # both approvals release: people are not what this is about
}
READERS = ("canary", "drift", "release")
WITHIN_S = 30.0


def signed_place(stack: NativeStack, folder: Path) -> Place:
    """A lineage with keys whose base was offered, signed."""
    return bring_in(stack, folder, {**SETTINGS, "security": new_security(folder / "keys")})


@contextmanager
def judged(place: Place) -> Iterator[Trials]:
    """While all services run that read candidates, and the base serves."""
    with (
        services(place, READERS),
        Journal(place.settings, "candidates", "verdicts", "transitions", "releases") as journal,
    ):
        journal.first(ServingState)
        yield Trials.of(place, journal)


@pytest.fixture(scope="module")
def trials(stack: NativeStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trials]:
    with judged(signed_place(stack, tmp_path_factory.mktemp("signed"))) as trials:
        yield trials


def letters(trials: Trials, record: Candidate | Verdict) -> set[tuple[str, str]]:
    """Services that wrote a dead letter of this very record, and the class of the error."""
    lineage, topic = trials.place.lineage(), "candidates" if isinstance(record, Candidate) else "verdicts"
    value = lineage.codec.encode(record)
    return {(one.service, one.error_class) for one in read_letters(lineage, [topic]) if one.value == value}


def released(trials: Trials, candidate: Candidate) -> ServingState:
    """The serving state in which it is live, after both gates have approved it."""
    state = trials.journal.first(ServingState, lambda it: it.live.digest == candidate.digest, within_s=WITHIN_S)
    assert all(trials.verdict(gate, candidate.digest).judgement is Judgement.APPROVE for gate in Gate)
    return state


def with_heads(candidate: Candidate, heads: bytes) -> Candidate:
    """The same place in the lineage, another file, nobody's signature."""
    return replace(candidate, digest=digest_of(heads), heads=heads, signature=None)


def of_another_base(trials: Trials, good: Candidate) -> Candidate:
    other, ours = Digest("e" * 64), trials.place.base
    manifest = Manifest(other, good.parent, good.step, ours.manifest.parts, ours.manifest.epsilon)
    return replace(with_heads(good, write_checkpoint(manifest, ours.base, ours.base, mixer_for([], 0.0))), base=other)


def of_another_shape(trials: Trials, good: Candidate) -> Candidate:
    """It takes one feature more."""
    ours = trials.place.base
    manifest = Manifest(good.base, good.parent, good.step, ours.manifest.parts, ours.manifest.epsilon)
    (head,) = ours.base
    wider = Head(np.hstack([head.weight, head.weight[:, :1]]), head.bias)
    return with_heads(good, write_checkpoint(manifest, (wider,), (wider,), Mixer.closed(KINDS + 1)))


FORGERIES: Mapping[str, Callable[[Trials, Candidate], Candidate]] = {
    "an unsigned copy of the genuine one": lambda _, good: replace(good, signature=None),
    "a copy that a stranger signed": lambda trials, good: keyring(new_keys(), lineage=trials.place.prefix).sign(good),
    "a copy signed for another lineage": lambda trials, good: replace(trials.keys, lineage="staging").sign(good),
    "a signed copy with another time": lambda _, good: replace(good, time_ms=good.time_ms + 1),
    "a signed copy with one bit changed": lambda _, good: replace(
        good, heads=good.heads[:-1] + bytes([good.heads[-1] ^ 1])
    ),
    "junk with the next step": lambda _, good: with_heads(good, b"junk"),
    "another base": of_another_base,
    "another shape": of_another_shape,
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_neither_serves_nor_keeps_the_genuine_candidate_from_serving(trials: Trials, name: str) -> None:
    # Given the learner's next candidate, and somebody who may write to the topic and is faster.
    genuine = trials.good_candidate()
    forged = FORGERIES[name](trials, genuine)
    # When both come.
    trials.offer(forged, genuine)
    # Then the genuine one serves with its own step, and all that is left of the other is a dead letter of each reader.
    assert released(trials, genuine).decided_step == genuine.step
    assert letters(trials, forged) == {(service, "SignatureError") for service in READERS}
    assert letters(trials, genuine) == set()
    if forged.digest != genuine.digest:
        assert trials.spoken_of(forged.digest) == []
        trials.check_never_served(forged.digest)


@pytest.mark.parametrize(
    ("make", "complaints"),
    [
        (of_another_base, {"canary": "its base is eeee", "drift": "its base is eeee", "release": "its base is eeee"}),
        (of_another_shape, {"canary": "features", "drift": "takes 7 features", "release": "base"}),
    ],
)
def test_what_the_learner_signs_itself_is_refused_where_it_does_not_fit_and_its_next_candidate_serves(
    trials: Trials, make: Callable[[Trials, Candidate], Candidate], complaints: Mapping[str, str]
) -> None:
    # Given a learner that belongs elsewhere.
    wrong = trials.keys.sign(make(trials, trials.good_candidate()))
    # When it offers what it has learnt there.
    trials.offer(wrong)
    # Then each says why not.
    for gate in Gate:
        verdict = trials.verdict(gate, wrong.digest)
        assert verdict.judgement is Judgement.REJECT
        assert complaints[gate] in " ".join(reason.text for reason in verdict.reasons)
    assert complaints["release"] in trials.transition(wrong.digest, Phase.REJECTED).cause
    trials.check_never_served(wrong.digest)
    genuine = trials.good_candidate()
    trials.offer(genuine)
    released(trials, genuine)


def test_every_hostile_file_that_the_learner_could_sign_is_refused_by_its_flaw_and_the_next_one_serves(
    trials: Trials,
) -> None:
    # Given a learner that somebody has taken over, and every hostile file that there is.
    good = trials.good_candidate()
    # What is larger than a checkpoint may be is no candidate: no record takes it.
    files = {flaw: it for flaw, it in hostile_files(good.heads).items() if len(it[0]) <= MAX_HEADS_BYTES}
    offers = {
        flaw: trials.keys.sign(replace(with_heads(good, data), step=good.step + number))
        for number, (flaw, (data, _)) in enumerate(files.items())
    }
    # When it offers one after the other.
    trials.offer(*offers.values())
    # Then each is refused for what is wrong with it, by everybody.
    trials.settled(good.step + len(offers) - 1)
    for flaw, offer in offers.items():
        said = [*trials.verdict(Gate.CANARY, offer.digest).reasons, *trials.verdict(Gate.DRIFT, offer.digest).reasons]
        causes = [reason.text for reason in said] + [trials.transition(offer.digest, Phase.REJECTED).cause]
        assert [cause for cause in causes if not re.search(files[flaw][1], cause)] == [], flaw
        trials.check_never_served(offer.digest)
    # And nothing is the matter with the next one.
    genuine = trials.good_candidate()
    trials.offer(genuine)
    released(trials, genuine)


def test_approvals_that_the_gates_did_not_sign_let_nothing_serve(trials: Trials) -> None:
    # Given a candidate that forgets a kind of prompt, and somebody who approves it before the gates have seen it.
    (base,) = trials.place.base.base
    bad = trials.candidate(sending(base, [RARE_KIND], USELESS), mixer_for([RARE_KIND], 1.5))
    stranger = keyring(new_keys(), lineage=trials.place.prefix)
    forged = [stranger.sign(approval(bad.digest, bad.base, bad.parent, gate)) for gate in Gate]
    RecordSender(trials.place.lineage()).send_all(forged)
    # When it is offered.
    trials.offer(bad)
    # Then the word of the gates counts, and the other is a dead letter.
    assert "canary says reject at stage 0" in trials.transition(bad.digest, Phase.REJECTED).cause
    trials.check_never_served(bad.digest)
    wait_until(lambda: all(letters(trials, one) == {("release", "SignatureError")} for one in forged), WITHIN_S)
    genuine = trials.good_candidate()
    trials.offer(genuine)
    released(trials, genuine)


def approval(digest: Digest, base: Digest, parent: Digest, gate: Gate) -> Verdict:
    reason = Reason("suite_base", 0.99, 0.98, 0.95, "passes")
    return Verdict(digest, base, parent, 0, None, gate, Judgement.APPROVE, (reason,), 1_200, wall_clock_ms())


def test_a_learner_whose_new_key_was_not_known_serves_once_it_is_and_its_dead_letter_is_replayed(
    stack: NativeStack, tmp_path: Path
) -> None:
    # Given a learner with a new key, and services that were not told of it.
    place = signed_place(stack, tmp_path)
    new = SecurityConfig.model_validate(new_security(tmp_path / "new"))
    key = Keyring.of(new, place.prefix, Signer.LEARNER)
    with judged(place) as trials:
        refused = key.sign(trials.good_candidate())
        trials.offer(refused)
        wait_until(lambda: len(letters(trials, refused)) == len(READERS), WITHIN_S)
        assert trials.state().decided_step == 0
    # When they are told, and the dead letter is replayed as operating.md says.
    tree = json.loads(place.config.read_text())
    tree["security"]["trusted"]["learner"] += new.trusted[Signer.LEARNER]
    place.config.write_text(json.dumps(tree))
    with judged(replace(place, settings=load_settings(place.config))) as trials:
        replay = ("dlq", "replay", "--topic", "candidates", "--where", refused.digest, "--apply")
        answer = ol0(*replay, "--config", place.config)
        # Then one copy of it comes again, and serves.
        assert answer.stdout.endswith("1 sent and acknowledged, 0 left\n"), answer.stdout + answer.stderr
        assert released(trials, refused).decided_step == 1


def test_a_router_refuses_a_state_that_the_gates_did_not_sign_and_goes_on_with_the_last_good_one(
    stack: NativeStack, tmp_path: Path
) -> None:
    # Given a lineage whose base serves, signed by both gates.
    place = signed_place(stack, tmp_path)
    gates = Keyring.of(place.settings.security, place.prefix, Signer.CANARY, Signer.DRIFT)
    digest = place.base.digest
    approvals = tuple(approval(digest, digest, digest, gate) for gate in Gate)
    unsigned = Release(digest, 0, place.base_bytes, approvals)
    base = replace(unsigned, approvals=tuple(map(gates.sign, approvals)))
    good = ServingState(
        1,
        wall_clock_ms(),
        Mode.APPLY,
        frozen=False,
        base=base,
        live=base,
        staged=None,
        decided_step=0,
        cooldown_until_ms=0,
        failures=0,
    )
    sender = RecordSender(place.lineage())
    sender.send_all([good])
    with Router.open(place.settings) as router:
        assert router.serving == (1, digest)
        # When somebody writes a newer state whose approvals nobody signed.
        sender.send_all([replace(good, sequence=2, base=unsigned, live=unsigned)])
        # Then the host serves on as before, and a host that starts now has its base file.
        wait_until(lambda: router.refused, WITHIN_S)
        assert "is not signed, but keys are configured" in str(router.refused)
        assert router.serving == (1, digest)
        with Router.open(place.settings) as later:
            assert later.refused == router.refused
            with later.prompt("session") as prompt:
                assert prompt.decide(place.split.stream.features[0]).digest == digest
