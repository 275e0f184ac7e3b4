"""The learner's own copy of the ring: 37 bytes a slot, and the payloads that were drawn so far."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ol0.replay.layout import PRIORITY, PRIORITY_RUN, RING_ENTRY, SCORE_DIGITS
from ol0.replay.sampling import Mass, Slots, priority_mass

Fields = NDArray[np.void]  # which example lies in a slot: 13-digit deadline and decision id, 29 bytes

NEAR: Final = 64  # slots
LARGEST_MASSES: Final = 4  # exponents at a time: a learner has two
POWERS: Final = 10 ** np.arange(SCORE_DIGITS - 1, -1, -1, dtype=np.int64)


class RingMirror:
    """Priorities, payload fields and rewards of every slot, as far as they were pulled.

    Attributes:
        head: examples ever added; the next goes to slot ``head % capacity``.
        priorities: shape (capacity,), float32; 0 where there is no example, or one whose payload vanished.
        entries: shape (capacity,), ``RING_ENTRY``.
        closed_ms: shape (capacity,), int64, event time at which the example's window closed.
        payloads: shape (capacity,), bytes where ``fetched``. An example never changes, so what was fetched once is good
            for as long as its slot holds it.
        fetched: shape (capacity,), bool.
        changed: shape (capacity,), bool, where the store does not know the priority yet.
    """

    def __init__(self) -> None:
        self.head = 0
        self.priorities: NDArray[np.float32] = np.zeros(0, PRIORITY)
        self.entries: NDArray[np.void] = np.zeros(0, RING_ENTRY)
        self.closed_ms: NDArray[np.int64] = np.zeros(0, np.int64)
        self.payloads: NDArray[np.object_] = np.zeros(0, np.object_)
        self.fetched: NDArray[np.bool_] = np.zeros(0, np.bool_)
        self.changed: NDArray[np.bool_] = np.zeros(0, np.bool_)
        self._masses: dict[float, Mass] = {}

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
            self.payloads = np.full(capacity, None)
            self.fetched, self.changed = np.zeros(capacity, np.bool_), np.zeros(capacity, np.bool_)
            self._masses.clear()
        new = np.frombuffer(priorities, PRIORITY)
        slots = np.arange(head - len(new), head) % capacity
        self.prioritise(slots, new)
        newest = np.frombuffer(entries, RING_ENTRY)
        self.entries[slots] = newest
        self.closed_ms[slots] = _deadlines(newest)
        self.payloads[slots], self.fetched[slots], self.changed[slots] = None, False, False
        self.head = head

    def prioritise(self, slots: Slots, priorities: NDArray[np.float32]) -> None:
        """Sets the priorities of slots; 0: not to be drawn."""
        self.priorities[slots] = priorities
        for alpha, mass in self._masses.items():
            mass[slots] = priority_mass(priorities, alpha)

    def mass(self, alpha: float) -> Mass:
        """``priority_mass`` of all slots, kept up to date from one draw to the next: not to be written to."""
        if alpha not in self._masses:
            if len(self._masses) == LARGEST_MASSES:
                self._masses.clear()
            self._masses[alpha] = priority_mass(self.priorities, alpha)
        return self._masses[alpha]

    def fields(self, slots: Slots) -> Fields:
        """The payload field of each slot."""
        return np.asarray(self.entries["field"][slots])

    def rewards(self, slots: Slots) -> NDArray[np.float32]:
        """The reward of each slot, float32."""
        return self.entries["reward"][slots].astype(np.float32)

    def runs(self, slots: Slots) -> tuple[bytes, bytes]:
        """Runs of neighbours with these slots in them, as ``PRIORITY_RUN``, and the priorities of all their slots.

        Small gaps are bridged: to send some priorities that the store knows costs less than another command.
        """
        positions = np.sort(self.head - 1 - (self.head - 1 - slots) % self.capacity)
        breaks = np.flatnonzero(np.diff(positions) > NEAR)
        firsts, lasts = positions[np.append(0, breaks + 1)], positions[np.append(breaks, len(positions) - 1)]
        runs = np.zeros(len(firsts), PRIORITY_RUN)
        runs["position"], runs["length"] = firsts, lasts - firsts + 1
        covered = np.concatenate([np.arange(first, last + 1) for first, last in zip(firsts, lasts, strict=True)])
        return runs.tobytes(), self.priorities[covered % self.capacity].tobytes()

    def holds(self, slots: Slots, fields: Fields) -> NDArray[np.bool_]:
        """Whether each slot still holds that example, and it has not vanished."""
        return np.asarray((self.entries["field"][slots] == fields) & (self.priorities[slots] > 0), dtype=np.bool_)


def _deadlines(entries: NDArray[np.void]) -> NDArray[np.int64]:
    """The 13 digits at the beginning of each field, as a number."""
    digits = np.frombuffer(entries.tobytes(), np.uint8).reshape(-1, RING_ENTRY.itemsize)[:, :SCORE_DIGITS]
    return np.asarray((digits - ord("0")) @ POWERS, dtype=np.int64)
