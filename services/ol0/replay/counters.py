"""What came in, and what became of it: every record is accounted for, at any moment."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self


class DecisionDrop(StrEnum):
    """Why a decision on the log got no window."""

    LATE = "late"  # its window had closed in its partition
    DUPLICATE = "duplicate"  # its window is open already
    FUTURE = "future"  # it claims a time well after the broker had it


class FeedbackDrop(StrEnum):
    """Why feedback on the log counts for nothing.

    A copy that arrives after its window closed is an orphan, one that arrives before is a duplicate. So how the drops
    divide into reasons may depend on how partitions interleave; their sum, and what is used, does not.
    """

    LATE = "late"  # effective after the end of the window
    EARLY = "early"  # said before the decision, by more than the skew
    DUPLICATE = "duplicate"  # another record with this id counts
    SUPERSEDED = "superseded"  # a later one of the same source contradicts it
    ORPHAN = "orphan"  # no window of its decision was open: it never came, or had closed
    FUTURE = "future"  # it claims a time well after the broker had it
    EXCESS = "excess"  # its decision has 256 entries: somebody floods


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
        examples: outcomes with a reward.
        null_rewards: outcomes without.
        evicted: examples that newer ones overwrote in the ring.
        feedback: feedback on the log, copies included.
        feedback_used: feedback that a reward was made of.
        feedback_dropped: feedback that counts for nothing, by reason.
        waiting: feedback whose window has not closed, or whose decision has not come.
    """

    decisions: int
    decisions_dropped: Mapping[DecisionDrop, int]
    open: int
    outcomes: int
    examples: int
    null_rewards: int
    evicted: int
    feedback: int
    feedback_used: int
    feedback_dropped: Mapping[FeedbackDrop, int]
    waiting: int

    @classmethod
    def parse(cls, meta: Mapping[bytes, bytes], open_windows: int) -> Self:
        """From the store's ``count:*`` fields."""

        def count(name: str) -> int:
            return int(meta.get(f"count:{name}".encode(), 0))

        return cls(
            decisions=count("decisions"),
            decisions_dropped={reason: count(name) for reason, name in DECISIONS_DROPPED.items()},
            open=open_windows,
            outcomes=count("outcomes"),
            examples=count("examples"),
            null_rewards=count("null_rewards"),
            evicted=count("evicted"),
            feedback=count("feedback"),
            feedback_used=count("feedback_used"),
            feedback_dropped={reason: count(name) for reason, name in FEEDBACK_DROPPED.items()},
            waiting=count("waiting"),
        )

    def imbalances(self) -> list[str]:
        """The sums that do not hold, each with its figures; empty when every record is accounted for."""
        decisions_dropped, feedback_dropped = sum(self.decisions_dropped.values()), sum(self.feedback_dropped.values())
        sums = {
            "decisions = outcomes + dropped + open": (
                self.decisions,
                (self.outcomes, decisions_dropped, self.open),
            ),
            "outcomes = examples + null rewards": (self.outcomes, (self.examples, self.null_rewards)),
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
