"""What goes into the store and comes out of it. Payloads and outcomes are opaque bytes here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple


class SourcePartition(NamedTuple):
    """A partition whose records feed the store: full topic name and number."""

    topic: str
    number: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.number}]"


@dataclass(frozen=True, slots=True)
class Claim:
    """Ownership of a partition: until somebody with a larger epoch takes it."""

    epoch: int
    next_offset: int
    watermark_ms: int


@dataclass(frozen=True, slots=True)
class Arrivals:
    """One batch of one partition, ready for APPLY: n decisions, k feedback entries.

    Attributes:
        watermark_ms: of the partition, after the batch.
        patience_ms: how long feedback waits for its decision, from its effective time on.
        decision_keys: n times 16 bytes.
        deadlines: n times 13 digits: ends of the windows, in milliseconds.
        payloads: n payloads.
        targets: k times 16 bytes: the decisions that the feedback is about.
        feedback: k entries.
        counts: counters to add, by name.
    """

    watermark_ms: int
    patience_ms: int
    decision_keys: bytes
    deadlines: str
    payloads: Sequence[bytes]
    targets: bytes
    feedback: bytes
    counts: Mapping[str, int]


class Applied(Enum):
    """What became of a batch that was not refused."""

    DONE = "OK"
    ALREADY = "DUP"  # an earlier call did it, and its reply was lost
    FULL = "FULL"  # nothing was taken in: try again when windows have closed


APPLIED: Final = {applied.value for applied in Applied}


@dataclass(frozen=True, slots=True)
class DueWindow:
    """A window that the watermark has closed; ``feedback`` is a pile of entries."""

    decision_key: bytes
    deadline_ms: int
    payload: bytes
    feedback: bytes


@dataclass(frozen=True, slots=True)
class Due:
    """Windows to close, in (deadline, id) order; the first gets ``sequence``.

    Attributes:
        sequence: position of the first in the order in which windows close.
        watermark_ms: of the whole store.
        windows: may be fewer than there are.
        expired: piles of feedback that a commit would drop as orphans; may be fewer than there are.
    """

    sequence: int
    watermark_ms: int
    windows: Sequence[DueWindow]
    expired: int

    def __bool__(self) -> bool:
        """Whether there is anything to commit."""
        return bool(self.windows or self.expired)


@dataclass(frozen=True, slots=True)
class ClosedWindow:
    """What became of a window. ``reward`` None: no example."""

    decision_key: bytes
    reward: float | None
    outcome: bytes
