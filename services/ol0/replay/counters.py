"""Counters of the store, which account for every record at any moment."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Final, Self


class DecisionDrop(StrEnum):
    """Why a decision on the log got no window."""

    LATE = "late"  # its window had closed in its partition
    DUPLICATE = "duplicate"  # its window is open already
    FUTURE = "future"  # it claims a time well after the broker had it
    FORGOTTEN = "forgotten"  # its user is: at arrival, or while its window was open
    OVERSIZED = "oversized"  # no topic would take its outcome; such a decision is older than the bounds of its fields


class FeedbackDrop(StrEnum):
    """Why feedback on the log counts for nothing.

    A copy that arrives after its window closed is an orphan, one that arrives before is a duplicate. So how the drops
    divide into reasons may depend on how partitions interleave; their sum, and what is used, does not.
    """

    LATE = "late"  # effective after the end of the window
    EARLY = "early"  # said before the decision, by more than the skew
    DUPLICATE = "duplicate"  # another record with this id says the same, and counts
    CONFLICTING = "conflicting"  # another record with this id says something else, and counts: its sender reuses ids
    SUPERSEDED = "superseded"  # a later one of the same source contradicts it
    ORPHAN = "orphan"  # no window of its decision was open: it never came, or had closed
    FUTURE = "future"  # it claims a time well after the broker had it
    EXCESS = "excess"  # its decision has 256 entries: a flood
    WEAK = "weak"  # an implicit sign below streaming.min_confidence
    FORGOTTEN = "forgotten"  # it waited in the window of a user who was forgotten; what comes later is an orphan
    OVERSIZED = "oversized"  # it waited in the window of a decision that was


DECISIONS_DROPPED: Final = {reason: f"decisions_{reason}" for reason in DecisionDrop}
FEEDBACK_DROPPED: Final = {reason: f"feedback_{reason}" for reason in FeedbackDrop}


@dataclass(frozen=True, slots=True)
class Counters:
    """Records since the store was made.

    Attributes:
        decisions: decisions on the log, copies included.
        decisions_dropped: those that got no window, by reason.
        open: windows that have not closed yet.
        outcomes: windows that closed.
        examples: outcomes with a reward that went into the ring.
        null_rewards: outcomes without a reward.
        capped: outcomes with a reward that made no example: their user had ``streaming.user_rate_limit`` in that hour.
        evicted: examples whose slots newer ones took over in the ring.
        excluded: examples that were taken out of the ring, by user or by time.
        feedback: feedback on the log, copies included.
        feedback_used: feedback that a reward was made of.
        feedback_dropped: feedback that counts for nothing, by reason.
        waiting: feedback whose window has not closed, or whose decision has not come.
        expired: offsets of the sources that were gone before they were read.
        cut: offsets of the sources that were read, and of which the brokers have lost the records since.
    """

    decisions: int
    decisions_dropped: Mapping[DecisionDrop, int]
    open: int
    outcomes: int
    examples: int
    null_rewards: int
    capped: int
    evicted: int
    excluded: int
    feedback: int
    feedback_used: int
    feedback_dropped: Mapping[FeedbackDrop, int]
    waiting: int
    expired: int = 0
    cut: int = 0

    @classmethod
    def parse(cls, meta: Mapping[bytes, bytes], open_windows: int) -> Self:
        """From the store's ``count:*`` fields."""

        def count(name: str) -> int:
            return int(meta.get(f"count:{name}".encode(), 0))

        return cls(
            open=open_windows,
            decisions_dropped={reason: count(name) for reason, name in DECISIONS_DROPPED.items()},
            feedback_dropped={reason: count(name) for reason, name in FEEDBACK_DROPPED.items()},
            **{it.name: count(it.name) for it in fields(cls) if it.type is int and it.name != "open"},
        )

    def imbalances(self) -> list[str]:
        """The sums that do not hold, each with its figures; empty when every record is accounted for."""
        decisions_dropped, feedback_dropped = sum(self.decisions_dropped.values()), sum(self.feedback_dropped.values())
        sums = {
            "decisions = outcomes + dropped + open": (
                self.decisions,
                (self.outcomes, decisions_dropped, self.open),
            ),
            "outcomes = examples + null rewards + capped": (
                self.outcomes,
                (self.examples, self.null_rewards, self.capped),
            ),
            "feedback = used + dropped + waiting": (
                self.feedback,
                (self.feedback_used, feedback_dropped, self.waiting),
            ),
        }
        return [
            f"{name}: {whole} is not {' + '.join(map(str, parts))}"
            for name, (whole, parts) in sums.items()
            if whole != sum(parts)
        ]
