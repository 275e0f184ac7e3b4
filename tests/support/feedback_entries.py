"""Feedback records as the store hands them back."""

from ol0.feedback.signals import packed_entry
from ol0.records import Feedback
from ol0.replay.layout import FeedbackEntry


def feedback_entry(record: Feedback, effective_ms: int) -> FeedbackEntry:
    """What comes out of the store for this record."""
    (entry,) = FeedbackEntry.unpack_pile(packed_entry(record, effective_ms))
    return entry
