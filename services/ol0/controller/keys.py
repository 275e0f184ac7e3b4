"""Ed25519 keys: files that hold the private halves, short texts that are the public ones."""

import base64
import binascii
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from ol0.config import Signer
from ol0.errors import ConfigError

PUBLIC_BYTES: Final = 32
MAX_FILE_BYTES: Final = 10_000
ID_LENGTH: Final = 8
PRIVATE_MODE: Final = 0o600
PUBLIC_MODE: Final = 0o644


def make_keys(folder: Path, signers: Iterable[Signer]) -> dict[Signer, str]:
    """Writes ``<signer>.key`` (PKCS 8, for its owner alone) and ``<signer>.pub`` (one line) for each; all or none.

    Returns:
        The public halves.

    Raises:
        ConfigError: one of the files is there already, or the folder cannot be written.
    """
    keys = {signer: Ed25519PrivateKey.generate() for signer in signers}
    paths = [folder / f"{signer}.{ending}" for signer in keys for ending in ("key", "pub")]
    if there := [str(path) for path in paths if path.exists() or path.is_symlink()]:
        raise ConfigError(
            f"{', '.join(there)}: there already, and never overwritten: whatever they signed would be refused. Name "
            "another folder with --out; old and new keys may be trusted side by side"
        )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for signer, key in keys.items():
            pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            _write(folder / f"{signer}.key", pem, PRIVATE_MODE)
            _write(folder / f"{signer}.pub", f"{public_text(key.public_key())}\n".encode(), PUBLIC_MODE)
    except OSError as error:
        raise ConfigError(f"{error.filename or folder}: {error.strerror}") from None
    return {signer: public_text(key.public_key()) for signer, key in keys.items()}


def private_key(path: Path, setting: str) -> Ed25519PrivateKey:
    """Opens a private key.

    Raises:
        ConfigError: the file is missing, no ed25519 key in PEM, or others may read it.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            data = file.read(MAX_FILE_BYTES)
    except OSError as error:
        raise ConfigError(f"{setting}: {path}: {error.strerror}; `ol0 keys new` makes one") from None
    if mode & stat.S_IRWXO:
        raise ConfigError(f"{setting}: {path} may be read by everybody (mode {mode:o}): chmod 600 {path}")
    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{setting}: {path} holds no ed25519 key in PEM without a password; `ol0 keys new` makes one")
    return key


def public_key(text: str, setting: str) -> Ed25519PublicKey:
    """The key of the text that ``ol0 keys new`` prints.

    Raises:
        ConfigError: it is none.
    """
    try:
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
    except (ValueError, binascii.Error):
        raise ConfigError(
            f"{setting}: {text[:20]!r}... is not a public key: {PUBLIC_BYTES} bytes in base64, as in the .pub file"
        ) from None


def public_text(key: Ed25519PublicKey) -> str:
    """The 32 bytes in base64: 44 characters for the settings."""
    return base64.b64encode(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def key_id(key: Ed25519PublicKey) -> str:
    """The first characters of its text: enough to find it in the settings."""
    return public_text(key)[:ID_LENGTH]


def _write(path: Path, data: bytes, mode: int) -> None:
    """Never over another file, and at no moment with more rights than it is to have."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(data)
