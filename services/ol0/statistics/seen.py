"""Which users or sessions have been counted already, in bounded memory."""

import base64
import zlib
from hashlib import blake2b
from typing import Annotated, Final, Self, TypeAlias

import numpy as np
from pydantic import PlainSerializer, PlainValidator

BITS: Final = 1 << 15  # 4 kB; half full after 22,700 units


def unit_hash(unit: str) -> int:
    """Of a user or session, within 32 bits; the same in every process."""
    return int.from_bytes(blake2b(unit.encode(), digest_size=4).digest(), "big")


class SeenUnits:
    """Says of each unit (the user where one is known, else the session) whether it comes for the first time.

    One bit for each of 32,768 values of a hash. A unit whose bit another one has set is left out by mistake; that is a
    matter of its name alone and never of its arm (arms are drawn by a keyed hash), so it costs evidence and no
    validity. When half of the bits are set, its user starts over.

    >>> seen = SeenUnits()
    >>> seen.first("ann"), seen.first("bob"), seen.first("ann")
    (True, True, False)
    """

    def __init__(self) -> None:
        self._bits = bytearray(BITS // 8)
        self._set = 0

    @property
    def full(self) -> bool:
        """Whether half of the bits are set: from here on more is left out than counted."""
        return self._set >= BITS // 2

    def first(self, unit: str) -> bool:
        """Whether it was never here; it has been from now on."""
        place = unit_hash(unit) % BITS
        byte, bit = divmod(place, 8)
        if self._bits[byte] >> bit & 1:
            return False
        self._bits[byte] |= 1 << bit
        self._set += 1
        return True

    def snapshot(self) -> str:
        """The bits, compressed, in base64: a few bytes while there are few, 5.5 kB at the most."""
        return base64.b64encode(zlib.compress(bytes(self._bits))).decode("ascii")

    @classmethod
    def from_snapshot(cls, snapshot: str) -> Self:
        """The units that ``snapshot`` was taken of.

        Raises:
            ValueError: it cannot be read.
        """
        seen = cls()
        try:
            bits = zlib.decompress(base64.b64decode(snapshot))
        except zlib.error as error:
            raise ValueError(f"the units that were counted cannot be read: {error}") from None
        if len(bits) != BITS // 8:
            raise ValueError(f"{len(bits)} bytes of units that were counted, expected {BITS // 8}")
        seen._bits = bytearray(bits)
        seen._set = int(np.unpackbits(np.frombuffer(bits, np.uint8)).sum())
        return seen


PackedUnits: TypeAlias = Annotated[
    SeenUnits, PlainValidator(SeenUnits.from_snapshot), PlainSerializer(SeenUnits.snapshot)
]
