"""Who said it: ed25519 signatures of candidates and verdicts.

A signature covers every field of its record but itself, and the lineage, in one canonical form that starts with a
domain of its own: a verdict's signature never passes for a candidate's, nor staging's for production's. What nobody
who is trusted has signed counts for nothing (docs/adr/0011).
"""

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Self, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ol0.config import SecurityConfig, Signer
from ol0.controller.checkpoint import digest_of
from ol0.controller.chunks import is_reference
from ol0.controller.keys import key_id, private_key, public_key, public_text
from ol0.errors import ConfigError, SignatureError
from ol0.records import Candidate, Verdict, brief

Signed = TypeVar("Signed", bound=Candidate | Verdict)
Value = str | int | float | bytes | None

CANDIDATE_DOMAIN: Final = "ol0/candidate/v1"
VERDICT_DOMAIN: Final = "ol0/verdict/v1"


@dataclass(frozen=True)
class Keyring:
    """What one process signs with, and whom it believes.

    Attributes:
        lineage: the topic prefix; part of what is signed.
        signing: the key of this process, by whom it signs for; empty: it signs nothing.
        trusted: public keys, by whom they speak for. Empty: nothing is asked. Several of one signer are all believed,
            so that a new key can come before the old one goes.
    """

    lineage: str = ""
    signing: Mapping[Signer, Ed25519PrivateKey] = field(default_factory=dict)
    trusted: Mapping[Signer, Sequence[Ed25519PublicKey]] = field(default_factory=dict)

    @classmethod
    def of(cls, config: SecurityConfig, lineage: str, *signers: Signer) -> Self:
        """The keys of the settings, with the private keys of ``signers`` alone.

        Raises:
            ConfigError: a key cannot be read, is missing where signatures are asked for, or is not trusted itself.
        """
        trusted = {
            signer: tuple(public_key(text, f"security.trusted.{signer}") for text in texts)
            for signer, texts in config.trusted.items()
        }
        signing = {}
        for signer in signers:
            if signer in config.signing:
                key = signing[signer] = private_key(config.signing[signer], f"security.signing.{signer}")
                own = public_text(key.public_key())
                if trusted and own not in {public_text(one) for one in trusted[signer]}:
                    raise ConfigError(
                        f"security.signing.{signer}: this key is not trusted: add its public half {own} to "
                        f"security.trusted.{signer}, here and wherever it is read"
                    )
            elif trusted:
                raise ConfigError(
                    f"security.signing.{signer} names no key, but security.trusted asks for signatures: what the "
                    f"{signer} says would be refused; `ol0 keys new` makes keys"
                )
        return cls(lineage, signing, trusted)

    def sign(self, record: Signed) -> Signed:
        """The record with its signature, or as it is where this process has no key for it."""
        key = self.signing.get(_signer(record))
        return record if key is None else replace(record, signature=key.sign(signed_bytes(record, self.lineage)))

    def signs_with(self, signer: Signer) -> str | None:
        """The id of the key with which this process signs for somebody; None where it has none."""
        key = self.signing.get(signer)
        return None if key is None else key_id(key.public_key())

    def check(self, record: Candidate | Verdict) -> None:
        """Lets a record pass that is to be believed.

        Raises:
            SignatureError: it is not, and why.
        """
        if (flaw := self.flaw(record)) is not None:
            raise SignatureError(flaw)

    def flaw(self, record: Candidate | Verdict) -> str | None:
        """Why the record is not to be believed, in words that say what helps; None where it is."""
        if not self.trusted:
            return None
        signer = _signer(record)
        name = f"{type(record).__name__.lower()} {brief(record.digest)}"
        if record.signature is None:
            return (
                f"{name} is not signed, but keys are configured: give the {signer} its key (security.signing.{signer})"
            )
        message = signed_bytes(record, self.lineage)
        if not any(_verifies(key, record.signature, message) for key in self.trusted[signer]):
            known = ", ".join(map(key_id, self.trusted[signer]))
            return (
                f"{name} is not signed by a trusted key of the {signer} ({known}), or was changed since: if its key is "
                f"new, add its public half to security.trusted.{signer}; else find out who wrote it"
            )
        if isinstance(record, Candidate) and not _says_its_bytes(record):
            return f"{name} is signed, but its bytes were changed since: find out who wrote this copy"
        return None


OPEN: Final = Keyring()
"""Signs nothing and asks for nothing: no keys are configured."""


def signed_bytes(record: Candidate | Verdict, lineage: str) -> bytes:
    """What is signed: every field but the signature, each with its type and length, so that none can flow into another.

    The heads stand in it by their digest, which ``Keyring.flaw`` holds against their bytes: else a copy of a good
    candidate with other bytes would pass for what the learner said. Of a reference to chunks, whose bytes have another
    digest than the checkpoint, that digest is signed as well.
    """
    match record:
        case Candidate():
            values = _candidate_values(record)
            domain = CANDIDATE_DOMAIN
        case Verdict():
            values = _verdict_values(record)
            domain = VERDICT_DOMAIN
    return b"".join(map(_encode, (domain, lineage, *values)))


def _candidate_values(candidate: Candidate) -> Iterator[Value]:
    yield from (candidate.digest, candidate.parent, candidate.base, candidate.step, candidate.time_ms)
    if is_reference(candidate.heads):
        yield digest_of(candidate.heads)
    yield len(candidate.summary)
    for name, figure in sorted(candidate.summary.items()):
        yield from (name, float(figure))


def _verdict_values(verdict: Verdict) -> Iterator[Value]:
    yield from (verdict.digest, verdict.base, verdict.parent, verdict.stage, verdict.suite_digest)
    yield from (verdict.gate.value, verdict.judgement.value, verdict.evidence, verdict.time_ms, len(verdict.reasons))
    for reason in verdict.reasons:
        yield reason.check
        for number in (reason.figure, reason.bound, reason.threshold):
            yield None if number is None else float(number)
        yield reason.text


def _encode(value: Value) -> bytes:
    """Type, length, content. There are many NaN, and JSON knows one: all are signed as that."""
    match value:
        case None:
            tag, content = b"n", b""
        case str():
            tag, content = b"s", value.encode()
        case bytes():
            tag, content = b"b", value
        case int():
            tag, content = b"i", struct.pack(">q", value)
        case float():
            tag, content = b"f", struct.pack(">d", math.nan if math.isnan(value) else value)
    return tag + struct.pack(">Q", len(content)) + content


def _says_its_bytes(candidate: Candidate) -> bool:
    """Whether the digest that was signed is that of the bytes; those of a reference were signed themselves."""
    return is_reference(candidate.heads) or digest_of(candidate.heads) == candidate.digest


def _signer(record: Candidate | Verdict) -> Signer:
    return Signer.LEARNER if isinstance(record, Candidate) else Signer(record.gate.value)


def _verifies(key: Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True
