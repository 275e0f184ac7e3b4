"""What the store's binary keys hold. The Lua scripts read the same bytes: change both together.

A decision id is a UUID, 16 bytes here. A feedback id is any text, and a source any texts: hashes of them.
"""

import struct
from collections.abc import Iterator
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b
from typing import Final, NamedTuple, Self

import numpy as np

# fid, source, time, effective time, value, code. Doubles for the times: Lua has no other number.
FEEDBACK: Final = struct.Struct("<16s8sddfI")

SCORE_DIGITS: Final = 13  # milliseconds up to the year 2286
LATEST_MS: Final = 10**SCORE_DIGITS - 1
FIELD_BYTES: Final = SCORE_DIGITS + 16

# One slot of the ring: which payload, and its reward. Void, because numpy strips the zeros off the end of bytes.
RING_ENTRY: Final = np.dtype([("field", f"V{FIELD_BYTES}"), ("reward", "<f4")])
PRIORITY: Final = np.dtype("<f4")
PRIORITY_RUN: Final = np.dtype([("position", "<f8"), ("length", "<u4")])
REMOVAL: Final = np.dtype([("slot", "<u4"), ("field", f"V{FIELD_BYTES}")])

NOBODY: Final = b"\0" * 8  # the user key of a decision without a user
KEPT_KEYS: Final = 4_096  # of the latest sources and users, whose keys every record needs


class Key(StrEnum):
    """The keys of a store, after the prefix of the lineage. Scripts get them in this order, but for the anchors."""

    META = "meta"  # next offset and epoch per partition, counters, ring head, capacity, incarnation
    WATERMARKS = "watermarks"  # per partition
    PAYLOADS = "payloads"  # deadline and decision id -> decision
    FEEDBACK = "feedback"  # decision id -> entries of 48 bytes
    OPEN = "open"  # decision ids by deadline
    WAITING = "waiting"  # ids of decisions that feedback waits for, by expiry
    PRIORITIES = "priorities"  # of the ring
    ENTRIES = "entries"  # of the ring
    OUTBOX = "outbox"  # outcomes until the broker has them
    USERS = "users"  # examples of each user in the running hour
    ANCHORS = "anchors"
    ANCHORS_DRAFT = "anchors:draft"


SCRIPT_KEYS: Final = tuple(key for key in Key if key not in (Key.ANCHORS, Key.ANCHORS_DRAFT))


def store_key(prefix: str, name: str) -> str:
    """A key of the store. The braces put all keys of one lineage into one hash slot: a script may touch them all."""
    return f"{{{prefix}}}:{name}"


class FeedbackEntry(NamedTuple):
    """One feedback record as it waits for its window to close, 48 bytes.

    Attributes:
        feedback_id: 16 bytes; the same id counts once per decision.
        source: 8 bytes; who may contradict himself.
        time_ms: when it was said.
        effective_ms: the same, or the watermark of its partition where that was further: it counts from then on.
        value: what was said, as ``code`` tells.
        code: the kind of the signal; the store does not read it.
    """

    feedback_id: bytes
    source: bytes
    time_ms: float
    effective_ms: float
    value: float
    code: int

    def pack(self) -> bytes:
        """The bytes in the store."""
        return FEEDBACK.pack(*self)

    @classmethod
    def unpack_pile(cls, pile: bytes) -> Iterator[Self]:
        """All entries of one decision, in the order in which they arrived."""
        return map(cls._make, FEEDBACK.iter_unpack(pile))


def decision_key(decision_id: str) -> bytes:
    """16 bytes of a UUID in its canonical form.

    Raises:
        ValueError: it is not one.
    """
    key = bytes.fromhex(decision_id.replace("-", ""))  # a fifth of the time that uuid.UUID takes
    if len(key) != 16:  # noqa: PLR2004 - the size of a UUID
        raise ValueError(f"{decision_id!r} is not a UUID")
    return key


def payload_field(deadline_ms: int, key: bytes) -> bytes:
    """Where the payload of a decision lies. Fields sort like (deadline, id), the order in which windows close."""
    return b"%0*d" % (SCORE_DIGITS, deadline_ms) + key


def feedback_key(feedback_id: str) -> bytes:
    """The 16 bytes of a feedback id."""
    return blake2b(feedback_id.encode(), digest_size=16).digest()


@lru_cache(KEPT_KEYS)
def source_key(*names: str) -> bytes:
    """The 8 bytes of a source: enough to tell apart the few that speak of one decision."""
    return blake2b("\0".join(names).encode(), digest_size=8).digest()


@lru_cache(KEPT_KEYS)
def user_key(pseudonym: str | None) -> bytes:
    """The 8 bytes of a user, or ``NOBODY``: enough to count the few thousand of an hour."""
    return NOBODY if pseudonym is None else blake2b(pseudonym.encode(), digest_size=len(NOBODY)).digest()
