"""Decision ids that are numbered, so that whoever hears of some knows how many there were."""

import os
from collections.abc import Iterator
from itertools import count
from typing import Final, NamedTuple, cast

from ol0.records import Arm, DecisionId

NUMBERS: Final = 1 << 32
"""Then they begin again, which readers take for another router."""
ROUTER_BYTES: Final = 5
"""Two of a thousand routers have the same once in two million lineages."""
NUMBERED: Final = "8"
"""RFC 9562: a UUID of version 8 has the layout that its maker gives it; one of version 4 is random."""

VARIANT: Final = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
"""Of every UUID's fourth part the first two bits are the same; two of this digit's stay random."""


class Number(NamedTuple):
    """Which of its router's decisions in its arm one is.

    Attributes:
        router: ten hexadecimal digits, of one router in one process.
        number: 1, 2, 3 and so on.
    """

    router: str
    number: int


class Numbering:
    """Numbers the decisions of one router in one process, each arm for itself. For any number of threads."""

    def __init__(self) -> None:
        self.router = os.urandom(ROUTER_BYTES).hex()
        self._numbers = {arm: count(1) for arm in Arm}

    def of(self, arm: Arm) -> Iterator[int]:
        """The numbers that this arm's decisions take, one after the other; ``next`` is one step for all threads."""
        return self._numbers[arm]


def new_prefix(router: str | None = None) -> str:
    """What the ids of one prompt begin with; the last eight digits are a number.

    The router's 40 bits, then 50 that are random; without a router 90 that are. One read of the kernel's random source
    per prompt instead of one ``uuid4`` (2.5 us) per decision. Whoever knows an id can guess others of its prompt, and
    none of another.
    """
    version, first = ("4", os.urandom(ROUTER_BYTES).hex()) if router is None else (NUMBERED, router)
    more = os.urandom(7).hex()
    return f"{first[:8]}-{first[8:]}{more[:2]}-{version}{more[2:5]}-{VARIANT[more[5]]}{more[6:9]}-{more[9:13]}"


def numbered_id(prefix: str, number: int) -> DecisionId:
    """The id of a prompt's decision."""
    return cast("DecisionId", f"{prefix}{number % NUMBERS:08x}")


def number_of(decision_id: DecisionId) -> Number | None:
    """What a decision's id says; None where its maker does not number.

    >>> number_of(numbered_id(new_prefix("00c0ffee11"), 17))
    Number(router='00c0ffee11', number=17)
    >>> number_of(DecisionId("7e0f3c52-6c1b-4f0e-9d1a-1f2e3d4c5b6a"))
    """
    if decision_id[14] != NUMBERED:
        return None
    return Number(decision_id[:8] + decision_id[9:11], int(decision_id[28:], 16))
