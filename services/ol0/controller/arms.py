"""Which arm serves a session: a keyed hash, so that nobody can choose an arm and everybody stays in theirs."""

from dataclasses import dataclass
from hashlib import blake2b

from ol0.records import Arm, Digest


@dataclass(frozen=True, slots=True)
class ArmPicker:
    """Holdback does not depend on the candidate, so that the yardstick is the same people throughout.

    Attributes:
        key: secret of the hash.
        holdback: share of all units that the base serves.
    """

    key: bytes
    holdback: float

    def pick(self, unit: str, staged: Digest | None, share: float) -> Arm:
        """The arm of a unit (a user where known, else a session).

        Args:
            unit: user pseudonym or session id.
            staged: the candidate on trial; it salts the hash, so that no unit is always the first to try.
            share: share of all units that the candidate serves; at most 1 - holdback.
        """
        if self._uniform(unit, b"holdback") < self.holdback:
            return Arm.HOLDBACK
        if staged is None:
            return Arm.LIVE
        return Arm.STAGED if self._uniform(unit, staged.encode()) < share / (1 - self.holdback) else Arm.LIVE

    def _uniform(self, unit: str, salt: bytes) -> float:
        digest = blake2b(salt + b"\0" + unit.encode(), key=self.key, digest_size=8).digest()
        return int.from_bytes(digest, "big") / 2**64


def pseudonym(user: str, key: bytes) -> str:
    """What is stored instead of a user's name: a keyed hash of 128 bits, in hexadecimal."""
    return blake2b(user.encode(), key=key, digest_size=16).hexdigest()
