"""Feedback records as the store keeps them until their windows close.

``value`` and ``code`` of an entry: bits 0-4 of the code say which parts the record speaks of, bits 5-7 hold the rating,
bits 8-31 the code of the corrected action plus 1; the value is the thumb, the tool's success or the implicit sign,
scaled to 0..1. The correction can be judged only when the decision is there, which may come after the feedback.
"""

from enum import IntEnum, StrEnum
from typing import Final

from ol0.records import Feedback, ImplicitFeedback, ImplicitKind, ToolFeedback, UserFeedback
from ol0.replay.layout import FEEDBACK, FeedbackEntry, feedback_key, source_key
from ol0.wire.payloads import CODE_BITS, action_code, bits_of_parts


class Part(StrEnum):
    """The fields of ``RewardParts``, which are the keys of ``streaming.reward_weights``."""

    THUMB = "thumb"
    RATING = "rating"
    CORRECTION = "correction"
    TOOL = "tool"
    IMPLICIT = "implicit"


class SignalBits(IntEnum):
    """Which parts a record speaks of. IntEnum, because ``&`` of IntFlag takes ten times as long."""

    THUMB = 1
    RATING = 2
    CORRECTION = 4
    TOOL = 8
    IMPLICIT = 16


RATING_SHIFT: Final = 5
RATING_MASK: Final = 0b111
CORRECTION_SHIFT: Final = 8
CORRECTION_MASK: Final = (1 << CODE_BITS) - 1

VALUE_PARTS: Final = (
    (SignalBits.THUMB, Part.THUMB),
    (SignalBits.TOOL, Part.TOOL),
    (SignalBits.IMPLICIT, Part.IMPLICIT),
)
CODED: Final = SignalBits.RATING | SignalBits.CORRECTION
"""Parts whose values are in the code."""


def packed_entry(record: Feedback, effective_ms: int) -> bytes:
    """The bytes of a record's ``FeedbackEntry``; making the entry first would take twice the time.

    Args:
        record: within its ranges, which ``FeedbackHandler.check`` verified.
        effective_ms: the event time from which it counts.
    """
    source, value, code = _signal(record)
    return FEEDBACK.pack(feedback_key(record.feedback_id), source, record.time_ms, effective_ms, value, code)


def statements(entry: FeedbackEntry, taken: int) -> list[tuple[Part, float]]:
    """What the entry says about a decision whose action has the code ``taken``, from 0 (bad) to 1 (good)."""
    code, value = entry.code, entry.value
    said = [(part, value) for bit, part in VALUE_PARTS if code & bit]
    if code & CODED:
        if code & SignalBits.RATING:
            said.append((Part.RATING, ((code >> RATING_SHIFT & RATING_MASK) - 1) / 4))
        if code & SignalBits.CORRECTION:
            said.append((Part.CORRECTION, share_right((code >> CORRECTION_SHIFT) - 1 & CORRECTION_MASK, taken)))
    return said


def share_right(corrected: int, taken: int) -> float:
    """The share of an action's parts that a correction keeps; 0 if it changes the first one.

    The first part chooses who answers, the others how: they mean nothing for another expert.

    Args:
        corrected: 24 bits of the code of the action that would have been right.
        taken: code of the action that was taken.
    """
    differ, parts = corrected ^ taken & CORRECTION_MASK, taken >> CODE_BITS or 1
    first_bits, bits = bits_of_parts(parts)
    if not differ:
        return 1.0
    if differ & (1 << first_bits) - 1:
        return 0.0
    others = [differ >> at & (1 << bits) - 1 for at in range(first_bits, first_bits + bits * (parts - 1), bits or 1)]
    return (1 + others.count(0)) / parts


def _signal(record: Feedback) -> tuple[bytes, float, int]:
    """Source, value, code."""
    match record:
        case UserFeedback():
            return source_key(record.source), float(record.thumb == 1), _user_code(record)
        case ToolFeedback():
            # A tool does not contradict another one, though the same host may report both.
            return source_key(record.source, record.tool), float(record.success), SignalBits.TOOL
        case ImplicitFeedback():
            lean = record.strength / 2
            value = 0.5 + lean if record.kind is ImplicitKind.COPY else 0.5 - lean
            return source_key(record.source), value, SignalBits.IMPLICIT


def _user_code(record: UserFeedback) -> int:
    code = 0
    if record.thumb is not None:
        code |= SignalBits.THUMB
    if record.rating is not None:
        code |= SignalBits.RATING | record.rating << RATING_SHIFT
    if record.correction is not None:
        corrected = action_code(record.correction) + 1 & CORRECTION_MASK
        code |= SignalBits.CORRECTION | corrected << CORRECTION_SHIFT
    return code
