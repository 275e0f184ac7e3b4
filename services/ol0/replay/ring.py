"""The learner's own copy of the ring, without payloads: 37 bytes a slot."""

import numpy as np
from numpy.typing import NDArray

from ol0.replay.entries import PRIORITY, RING_ENTRY
from ol0.replay.sampling import Slots

Fields = NDArray[np.void]  # which example lies in a slot: 13-digit deadline and decision id, 29 bytes


class RingMirror:
    """Priorities, payload fields and rewards of every slot, as far as they were pulled.

    Attributes:
        head: examples ever added; the next goes to slot ``head % capacity``.
        priorities: shape (capacity,), float32; 0 where there is no example, or one whose payload vanished.
        entries: shape (capacity,), ``RING_ENTRY``.
    """

    def __init__(self) -> None:
        self.head = 0
        self.priorities: NDArray[np.float32] = np.zeros(0, PRIORITY)
        self.entries: NDArray[np.void] = np.zeros(0, RING_ENTRY)

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
        new = np.frombuffer(priorities, PRIORITY)
        slots = np.arange(head - len(new), head) % capacity
        self.priorities[slots] = new
        self.entries[slots] = np.frombuffer(entries, RING_ENTRY)
        self.head = head

    def fields(self, slots: Slots) -> Fields:
        """The payload field of each slot."""
        return np.asarray(self.entries["field"][slots])

    def rewards(self, slots: Slots) -> NDArray[np.float32]:
        """The reward of each slot, float32."""
        return self.entries["reward"][slots].astype(np.float32)

    def holds(self, slots: Slots, fields: Fields) -> NDArray[np.bool_]:
        """Whether each slot still holds that example."""
        return np.asarray(self.entries["field"][slots] == fields, dtype=np.bool_)
