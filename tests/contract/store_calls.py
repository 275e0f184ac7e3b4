"""Batches for a store of two partitions, and what its outbox holds."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ol0.records import Partition
from ol0.replay.layout import FeedbackEntry, feedback_key, source_key
from ol0.replay.protocol import Arrivals, ClosedWindow, Commit, Due, Unsent
from ol0.replay.store import ReplayStore

DECISIONS = Partition("t.decisions.v1", 0)
FEEDBACK = Partition("t.feedback.user.v1", 0)


def arrivals(watermark_ms: int, *numbers: int, deadline_ms: int = 1_000) -> Arrivals:
    """One decision for each number."""
    return Arrivals(
        watermark_ms=watermark_ms,
        patience_ms=100,
        decision_keys=b"".join(number.to_bytes(16) for number in numbers),
        deadlines="".join(f"{deadline_ms + number:013d}" for number in numbers),
        payloads=[b"payload-%d" % number for number in numbers],
        targets=b"",
        feedback=b"",
        counts={"decisions": len(numbers)},
    )


def thumbs(watermark_ms: int, target: int, *names: str, time_ms: int = 10) -> Arrivals:
    """One thumb for each name, all about one decision."""
    entries = [FeedbackEntry(feedback_key(name), source_key("user"), time_ms, time_ms, 1.0, 1) for name in names]
    return replace(
        arrivals(watermark_ms),
        targets=target.to_bytes(16) * len(names),
        feedback=b"".join(entry.pack() for entry in entries),
        counts={"feedback": len(names)},
    )


def due_windows(store: ReplayStore, limit: int) -> Due:
    """Windows that have closed, the earliest first, at most ``limit``."""
    return store.turn(limit, ask_unsent=False).result().due


def commit(
    store: ReplayStore, sequence: int, windows: Sequence[ClosedWindow], counts: Mapping[str, int], user_limit: int = 0
) -> bool:
    """Closes windows; whether it was this call, for the sequence counts the windows that were closed."""
    before = due_windows(store, 0).sequence
    return store.turn(0, Commit(sequence, windows, counts, user_limit)).result().due.sequence > before


def unsent(store: ReplayStore) -> Unsent | None:
    """The oldest outcomes of the outbox."""
    return store.turn(0).result().unsent


def trim(store: ReplayStore, sent: Unsent) -> None:
    """Forgets outcomes up to these."""
    store.turn(0, sent=sent).wait()
