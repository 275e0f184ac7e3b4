"""The learner's own copy of the ring: 37 bytes a slot, and the payloads that were drawn so far."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ol0.replay.entries import PRIORITY, RING_ENTRY, SCORE_DIGITS
from ol0.replay.sampling import Slots

Fields = NDArray[np.void]  # which example lies in a slot: 13-digit deadline and decision id, 29 bytes

POWERS: Final = 10 ** np.arange(SCORE_DIGITS - 1, -1, -1, dtype=np.int64)


class RingMirror:
    """Priorities, payload fields and rewards of every slot, as far as they were pulled.

    Attributes:
        head: examples ever added; the next goes to slot ``head % capacity``.
        priorities: shape (capacity,), float32; 0 where there is no example, or one whose payload vanished.
        entries: shape (capacity,), ``RING_ENTRY``.
        closed_ms: shape (capacity,), int64, event time at which the example's window closed.
        payloads: shape (capacity,), bytes; None where the payload was never fetched. An example never changes, so what
            was fetched once is good for as long as its slot holds it.
        changed: shape (capacity,), bool, where the store does not know the priority yet.
    """

    def __init__(self) -> None:
        self.head = 0
        self.priorities: NDArray[np.float32] = np.zeros(0, PRIORITY)
        self.entries: NDArray[np.void] = np.zeros(0, RING_ENTRY)
        self.closed_ms: NDArray[np.int64] = np.zeros(0, np.int64)
        self.payloads: NDArray[np.object_] = np.zeros(0, np.object_)
        self.changed: NDArray[np.bool_] = np.zeros(0, np.bool_)

    @property
    def capacity(self) -> int:
        """Slots."""
        return len(self.priorities)

    @property
    def size(self) -> int:
        """Slots with an example, vanished ones among them."""
        return min(self.head, self.capacity)

    def extend(self, head: int, capacity: int, priorities: bytes, entries: bytes) -> None:
        """Takes in the newest slots, up to ``head``; where the store went back, these are all that it has."""
        if head < self.head or capacity != self.capacity:
            self.priorities, self.entries = np.zeros(capacity, PRIORITY), np.zeros(capacity, RING_ENTRY)
            self.closed_ms = np.zeros(capacity, np.int64)
            self.payloads, self.changed = np.full(capacity, None), np.zeros(capacity, np.bool_)
        new = np.frombuffer(priorities, PRIORITY)
        slots = np.arange(head - len(new), head) % capacity
        self.priorities[slots] = new
        newest = np.frombuffer(entries, RING_ENTRY)
        self.entries[slots] = newest
        self.closed_ms[slots] = _deadlines(newest)
        self.payloads[slots], self.changed[slots] = None, False
        self.head = head

    def fields(self, slots: Slots) -> Fields:
        """The payload field of each slot."""
        return np.asarray(self.entries["field"][slots])

    def rewards(self, slots: Slots) -> NDArray[np.float32]:
        """The reward of each slot, float32."""
        return self.entries["reward"][slots].astype(np.float32)

    def positions(self, slots: Slots) -> NDArray[np.int64]:
        """The number of the example in each slot, counted from the first that was ever added."""
        return np.asarray(self.head - 1 - (self.head - 1 - slots) % self.capacity)

    def holds(self, slots: Slots, fields: Fields) -> NDArray[np.bool_]:
        """Whether each slot still holds that example, and it has not vanished."""
        return np.asarray((self.entries["field"][slots] == fields) & (self.priorities[slots] > 0), dtype=np.bool_)


def _deadlines(entries: NDArray[np.void]) -> NDArray[np.int64]:
    """The 13 digits at the beginning of each field, as a number."""
    digits = np.frombuffer(entries.tobytes(), np.uint8).reshape(-1, RING_ENTRY.itemsize)[:, :SCORE_DIGITS]
    return np.asarray((digits - ord("0")) @ POWERS, dtype=np.int64)
