"""What both gates and the learner have in common once keys are configured."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from ol0.canary.handler import CanaryGate
from ol0.config import SafetyConfig
from ol0.controller import checkpoint_manager
from ol0.controller.signing import Keyring
from ol0.drift.handler import DriftMonitor
from ol0.errors import SignatureError
from ol0.records import Candidate, Judgement, Verdict
from support.keyrings import keyring, new_keys
from testbed.worlds import make_base, make_candidate, make_suite, serving_state

Gate = CanaryGate | DriftMonitor

RING, STRANGER = keyring(new_keys()), keyring(new_keys())
SUITE, BASE = make_suite(), make_base()
CANDIDATE = make_candidate(BASE).candidate()


def a_canary(keys: Keyring) -> Gate:
    return CanaryGate(SUITE, SafetyConfig(), 0.0, 0.1, keys)


def a_drift(keys: Keyring) -> Gate:
    return DriftMonitor(SUITE, SafetyConfig(), 0.1, keys)


GATES = pytest.mark.parametrize("make", [a_canary, a_drift])


def verdict_of(gate: Gate, candidate: Candidate) -> Verdict:
    gate.handle(serving_state(BASE))
    (verdict,) = gate.handle(candidate)
    assert isinstance(verdict, Verdict)
    return verdict


@GATES
def test_a_signed_candidate_gets_a_signed_verdict(make: Callable[[Keyring], Gate]) -> None:
    verdict = verdict_of(make(RING), RING.sign(CANDIDATE))
    assert verdict.judgement is Judgement.APPROVE
    assert RING.flaw(verdict) is None


@GATES
@pytest.mark.parametrize(
    ("candidate", "complaint"),
    [
        (CANDIDATE, "is not signed, but keys are configured"),
        (STRANGER.sign(CANDIDATE), "not signed by a trusted key of the learner"),
        (replace(RING.sign(CANDIDATE), time_ms=CANDIDATE.time_ms + 1), "was changed since"),
        (replace(RING.sign(CANDIDATE), heads=CANDIDATE.heads[:-1] + b"\0"), "is signed, but its bytes were changed"),
    ],
)
def test_nothing_is_said_of_any_other_for_it_would_be_said_of_the_genuine_one_too(
    make: Callable[[Keyring], Gate], candidate: Candidate, complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a gate, and a candidate that it must not believe, with the digest of one that it would approve.
    gate = make(RING)
    gate.handle(serving_state(BASE))
    before = gate.snapshot()
    # When the candidate comes, then the gate refuses it before a tensor is read, and is as it was.
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_manager, "read_checkpoint", lambda *_, **__: pytest.fail("the bytes were read"))
        with pytest.raises(SignatureError, match=complaint):
            gate.handle(candidate)
    assert gate.snapshot() == before
    # And the genuine one has the verdict that it deserves.
    (verdict,) = gate.handle(RING.sign(CANDIDATE))
    assert isinstance(verdict, Verdict)
    assert verdict.judgement is Judgement.APPROVE


@GATES
def test_without_keys_verdicts_carry_no_signature(make: Callable[[Keyring], Gate]) -> None:
    assert verdict_of(make(Keyring()), CANDIDATE).signature is None
