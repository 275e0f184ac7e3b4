"""What goes into the store and comes out of it. Payloads and outcomes are opaque bytes here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from ol0.replay.layout import NOBODY, payload_field


@dataclass(frozen=True, slots=True)
class Claim:
    """Ownership of a partition: until an owner with a larger epoch takes it."""

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
    """The result of a batch that was not refused."""

    DONE = "OK"
    ALREADY = "DUP"  # an earlier call did it, and its reply was lost
    FULL = "FULL"  # nothing was taken in: try again when windows have closed


APPLIED: Final = {applied.value for applied in Applied}


class DueWindow(NamedTuple):
    """A window that the watermark has closed.

    Attributes:
        decision_key: 16 bytes.
        deadline_ms: when it closed.
        head: the first bytes of its payload, as many as the payload's first four say.
        feedback: a pile of entries.
        published: whether its outcome is on the log already, written before the store was rebuilt.
    """

    decision_key: bytes
    deadline_ms: int
    head: bytes
    feedback: bytes
    published: bool = False

    @property
    def field(self) -> bytes:
        """Where its payload lies."""
        return payload_field(self.deadline_ms, self.decision_key)


@dataclass(frozen=True, slots=True)
class Due:
    """Windows to close, in (deadline, id) order.

    Attributes:
        sequence: position of the first in the order in which windows close.
        next_outcome: number of the first outcome that is not published yet; numbers have no holes. The same as
            ``sequence``, unless the store was rebuilt from logs that lack their beginning.
        watermark_ms: of the whole store.
        windows: may be fewer than there are.
        expired: piles of feedback that a commit would drop as orphans; may be fewer than there are.
    """

    sequence: int
    next_outcome: int
    watermark_ms: int
    windows: Sequence[DueWindow]
    expired: int

    def __bool__(self) -> bool:
        """Whether there is anything to commit."""
        return bool(self.windows or self.expired)


class ClosedWindow(NamedTuple):
    """A window that was closed.

    Attributes:
        decision_key: 16 bytes.
        reward: None: no example.
        outcome: for the outbox, where it is put between others; empty where it is published already.
        user: 8 bytes, whose limit the example counts towards.
    """

    decision_key: bytes
    reward: float | None
    outcome: bytes
    user: bytes = NOBODY


class Commit(NamedTuple):
    """Windows of ``Due``, closed, in the same order; and the orphans that it counted, dropped.

    Attributes:
        sequence: that of ``Due``.
        windows: with their results; outcomes go to the outbox.
        counts: of their feedback, by counter.
        user_limit: examples that one user may make in an hour of event time; 0: any number.
    """

    sequence: int
    windows: Sequence[ClosedWindow]
    counts: Mapping[str, int]
    user_limit: int = 0


@dataclass(frozen=True, slots=True)
class Unsent:
    """Outcomes of one commit or several, not acknowledged yet.

    Attributes:
        last: number of the last of them.
        outcomes: as they were committed, one after the other.
    """

    last: int
    outcomes: bytes


class Exchange(NamedTuple):
    """What there was to do at the end of an exchange with the store.

    Attributes:
        due: windows to close.
        unsent: the oldest outcomes; None where there are none, or they were not asked for.
    """

    due: Due
    unsent: Unsent | None


NOTHING_TO_DO: Final = Exchange(Due(0, 0, 0, (), 0), None)


@dataclass(frozen=True, slots=True)
class Published:
    """The newest outcome on the log: its number, and when its window closed."""

    number: int
    deadline_ms: int
    decision_key: bytes

    @property
    def field(self) -> bytes:
        """Its place in the order in which windows close."""
        return payload_field(self.deadline_ms, self.decision_key)
