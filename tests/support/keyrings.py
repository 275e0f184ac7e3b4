"""Keys of a lineage: one pair for each signer, made anew whenever tests ask."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ol0.config import Signer
from ol0.controller.signing import Keyring

LINEAGE = "ol0"


def new_keys() -> dict[Signer, Ed25519PrivateKey]:
    return {signer: Ed25519PrivateKey.generate() for signer in Signer}


def keyring(*trusted: dict[Signer, Ed25519PrivateKey], lineage: str = LINEAGE) -> Keyring:
    """Signs with the first of these sets of keys, and trusts all of them."""
    return Keyring(lineage, trusted[0], {signer: [keys[signer].public_key() for keys in trusted] for signer in Signer})
