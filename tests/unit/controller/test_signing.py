import math
import re
from dataclasses import fields, replace

import pytest

from ol0.config import Signer
from ol0.controller.checkpoint import digest_of
from ol0.controller.chunks import Reference, split
from ol0.controller.header import LENGTH
from ol0.controller.signing import OPEN, Keyring, signed_bytes
from ol0.errors import SignatureError
from ol0.records import Candidate, Digest, Gate, Judgement, Reason, Verdict
from ol0.wire.codec import Codec
from support.examples import CANDIDATE as EXAMPLE
from support.examples import VERDICT
from support.keyrings import keyring, new_keys

KEYS = new_keys()
RING = keyring(KEYS)
CANDIDATE = replace(EXAMPLE, digest=digest_of(EXAMPLE.heads))
OTHER = Digest("9" * 64)
CHANGED_CANDIDATES = {
    "digest": OTHER,
    "parent": OTHER,
    "base": OTHER,
    "step": 13,
    "time_ms": 1,
    "summary": {"kl": 0.01, "steps": 9.0},
}
CHANGED_VERDICTS = {
    "digest": OTHER,
    "base": OTHER,
    "parent": OTHER,
    "stage": 0,
    "suite_digest": None,
    "gate": Gate.CANARY,
    "judgement": Judgement.ROLLBACK,
    "reasons": VERDICT.reasons[:1],
    "evidence": 319,
    "time_ms": 1,
}


@pytest.mark.parametrize("record", [CANDIDATE, VERDICT])
def test_what_was_signed_is_believed_also_after_a_way_through_the_log(record: Candidate | Verdict) -> None:
    signed = RING.sign(record)
    assert RING.flaw(signed) is None
    arrived = Codec().decode(Codec().encode(signed))
    assert isinstance(arrived, Candidate | Verdict)
    assert RING.flaw(arrived) is None


@pytest.mark.parametrize("record", [CANDIDATE, VERDICT])
def test_without_keys_nothing_is_signed_and_nothing_is_asked(record: Candidate | Verdict) -> None:
    assert OPEN.sign(record) == record
    assert OPEN.flaw(replace(record, signature=None)) is None


def test_the_changes_below_are_of_every_field_but_the_heads_which_their_digest_stands_for() -> None:
    assert CHANGED_CANDIDATES.keys() == {field.name for field in fields(Candidate)} - {"heads", "signature"}
    assert CHANGED_VERDICTS.keys() == {field.name for field in fields(Verdict)} - {"signature"}


@pytest.mark.parametrize(
    ("record", "field", "value"),
    [(CANDIDATE, *change) for change in CHANGED_CANDIDATES.items()]
    + [(VERDICT, *change) for change in CHANGED_VERDICTS.items()],
)
def test_one_field_changed_breaks_the_signature(record: Candidate | Verdict, field: str, value: object) -> None:
    signed = RING.sign(record)
    flaw = RING.flaw(replace(signed, **{field: value}))  # type: ignore[arg-type]
    assert flaw is not None
    assert "was changed since" in flaw


def test_no_text_can_flow_from_one_field_into_the_next() -> None:
    first = replace(VERDICT, reasons=(Reason("ab", None, None, None, "c"),))
    second = replace(VERDICT, reasons=(Reason("a", None, None, None, "bc"),))
    assert signed_bytes(first, "x") != signed_bytes(second, "x")
    assert signed_bytes(first, "xs") != signed_bytes(first, "x")


def test_missing_and_foreign_signatures_are_told_apart_and_say_what_helps() -> None:
    unsigned = RING.flaw(replace(CANDIDATE, signature=None))
    assert unsigned is not None
    assert "is not signed, but keys are configured" in unsigned
    assert "security.signing.learner" in unsigned
    foreign = RING.flaw(keyring(new_keys()).sign(VERDICT))
    assert foreign is not None
    assert "not signed by a trusted key of the drift" in foreign
    assert "security.trusted.drift" in foreign
    assert RING.flaw(replace(CANDIDATE, signature=b"short")) is not None


def test_a_good_signature_over_other_bytes_than_those_that_were_signed_is_worth_nothing() -> None:
    flaw = RING.flaw(replace(RING.sign(CANDIDATE), heads=b"other heads"))
    assert flaw is not None
    assert "its bytes were changed since" in flaw


def test_a_key_has_the_same_id_where_it_signs_and_where_it_is_missing() -> None:
    own, stranger = RING.signs_with(Signer.LEARNER), keyring(new_keys())
    assert own is not None
    with pytest.raises(SignatureError, match=rf"a trusted key of the learner \({re.escape(own)}\)"):
        RING.check(stranger.sign(CANDIDATE))
    assert stranger.signs_with(Signer.LEARNER) != own
    assert OPEN.signs_with(Signer.LEARNER) is None


def test_nobody_signs_for_another() -> None:
    # Given keys with which the learner signs in the place of the gate, and canary in the place of drift
    for thief in (Signer.LEARNER, Signer.CANARY):
        forged = Keyring(RING.lineage, {Signer.DRIFT: KEYS[thief]}).sign(VERDICT)
        assert RING.flaw(forged) is not None


def test_a_signature_of_another_lineage_with_the_same_keys_is_refused() -> None:
    assert RING.flaw(keyring(KEYS, lineage="staging").sign(CANDIDATE)) is not None


def test_while_keys_change_old_and_new_are_believed_and_then_only_the_new() -> None:
    old, new = KEYS, new_keys()
    by_old, by_new = keyring(old).sign(VERDICT), keyring(new).sign(VERDICT)
    both = keyring(old, new)
    assert both.flaw(by_old) is None
    assert both.flaw(by_new) is None
    assert keyring(new).flaw(by_new) is None
    assert keyring(new).flaw(by_old) is not None


def test_any_nan_is_signed_as_the_one_that_json_knows() -> None:
    negative = -math.nan
    one, other = (replace(VERDICT, reasons=(Reason("x", nan, None, None, ""),)) for nan in (math.nan, negative))
    assert signed_bytes(one, "x") == signed_bytes(other, "x")


def test_of_a_reference_to_chunks_its_own_bytes_are_signed_too() -> None:
    # Given a signed candidate that is in chunks: its digest says nothing of the bytes in its record.
    data = LENGTH.pack(8) + bytes(8) + bytes(range(256)) * 8_000
    heads, _ = split(data)
    signed = RING.sign(replace(CANDIDATE, heads=heads, digest=digest_of(data)))
    assert RING.flaw(signed) is None
    # When a copy names other chunks, or holds the whole in their place; then it is not believed.
    reference = Reference.unpack(heads)
    turned = replace(reference, chunks=reference.chunks[::-1]).pack()
    for copy in (turned, data, heads + b"x"):
        assert "was changed since" in str(RING.flaw(replace(signed, heads=copy)))
    # Nor is one that names chunks in the place of what was signed whole.
    whole = RING.sign(replace(CANDIDATE, heads=data, digest=digest_of(data)))
    assert RING.flaw(whole) is None
    assert "was changed since" in str(RING.flaw(replace(whole, heads=heads)))
