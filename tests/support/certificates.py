"""An authority of the test's own, and what it signs."""

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from ol0.stacks.ports import LOOPBACK

DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Identity:
    """A certificate and its private key, as PEM files; also both in one file, as Kafka takes them."""

    certificate: Path
    key: Path
    both: Path


class Authority:
    """Signs certificates for the loopback address, valid since yesterday and until tomorrow."""

    def __init__(self, folder: Path, key: EllipticCurvePrivateKey) -> None:
        self._folder, self._key, self._name = folder, key, _name("authority of this test")
        self.certificate = folder / "authority.pem"

    @classmethod
    def new(cls, folder: Path) -> Self:
        folder.mkdir(parents=True, exist_ok=True)
        made = cls(folder, generate_private_key(SECP256R1()))
        made.certificate.write_bytes(made._signed(made._name, made._key, is_authority=True))
        return made

    def issue(self, name: str, password: str | None = None) -> Identity:
        """A certificate with this common name; with a password, its key file is encrypted."""
        key = generate_private_key(SECP256R1())
        certificate = self._signed(_name(name), key, is_authority=False)
        lock = NoEncryption() if password is None else BestAvailableEncryption(password.encode())
        pem = _pem(key, lock)
        made = Identity(*(self._folder / f"{name}.{ending}" for ending in ("pem", "key", "both.pem")))
        made.certificate.write_bytes(certificate)
        made.key.write_bytes(pem)
        made.both.write_bytes(pem + certificate)
        return made

    def _signed(self, subject: x509.Name, key: EllipticCurvePrivateKey, *, is_authority: bool) -> bytes:
        now = dt.datetime.now(dt.UTC)
        here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(LOOPBACK))])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + DAY)
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(here, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(Encoding.PEM)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _pem(key: EllipticCurvePrivateKey, lock: KeySerializationEncryption) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock)
