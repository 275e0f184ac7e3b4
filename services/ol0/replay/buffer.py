"""The learner's view of the replay store."""

from dataclasses import dataclass
from typing import Final, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from redis import Redis

from ol0.errors import NothingToDraw
from ol0.replay.anchors import Anchor, AnchorStore
from ol0.replay.counters import Counters
from ol0.replay.layout import Key, store_key
from ol0.replay.ring import Fields, RingMirror
from ol0.replay.sampling import Mass, Slots, draw, importance_weights
from ol0.replay.script_runner import Scripts, store_errors, taken

LARGEST_UPDATE: Final = 1_000  # priorities that wait: what a learner that is killed has learnt in vain of them
FETCHED: Final = 500  # payloads in one answer of the store: some MB of the largest vectors
REDRAWS: Final = 8  # vanished entries are rare between two refreshes: each round leaves a small part of the last


@dataclass(frozen=True, slots=True)
class Batch:
    """n examples that were drawn; the same one may occur more than once.

    Attributes:
        slots: shape (n,), int64, where they lie in the ring.
        fields: shape (n,), 29 bytes each, which example lies there: 13-digit deadline and decision id.
        payloads: as the feedback service stored them.
        rewards: shape (n,), float32, 0..1.
        weights: shape (n,), float32, importance weights, the largest 1.
    """

    slots: Slots
    fields: Fields
    payloads: tuple[bytes, ...]
    rewards: NDArray[np.float32]
    weights: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.slots)


class ReplayBuffer:
    """Draws examples by priority. One learner per lineage: it alone changes priorities.

    Priorities are mirrored here and drawn from in numpy; a payload is fetched when its example is first drawn. So a
    sample is a round trip only while there is something new in it. What is excluded or evicted from the store is gone
    from here with the next ``refresh``, which a learner calls every round.
    """

    def __init__(
        self, client: Redis, prefix: str, incarnation: str, epsilon: float, max_age_s: float | None = None
    ) -> None:
        """Reads nothing yet: call ``refresh``.

        Args:
            client: from ``connection.connect``.
            prefix: key prefix of the lineage.
            incarnation: that of the store, from ``ReplayStore.attach``.
            epsilon: added to every priority, so that no example is lost for good.
            max_age_s: examples whose window closed longer ago, in event time, are not drawn; None: all are. They stay
                in the ring, and count as examples.
        """
        self._client = client
        self._prefix = prefix
        self._incarnation = incarnation
        self._epsilon = epsilon
        self._max_age_ms = None if max_age_s is None else round(1000 * max_age_s)
        self._scripts = Scripts(client, prefix)
        self._anchors = AnchorStore(client, prefix)
        self._ring = RingMirror()
        self._watermark_ms = 0
        self._counters = Counters.parse({}, 0)

    @property
    def examples(self) -> int:
        """Examples ever added, as of the last refresh."""
        return self._ring.head

    @property
    def size(self) -> int:
        """Examples that can be drawn: neither excluded nor too old, as of the last refresh."""
        return int(np.count_nonzero(self._mass(0.0)))

    @property
    def excluded(self) -> int:
        """Examples that were ever taken out of the ring, as of the last refresh."""
        return self._counters.excluded

    @property
    def watermark_ms(self) -> int:
        """Event time that every source partition has passed, as of the last refresh."""
        return self._watermark_ms

    def counters(self) -> Counters:
        """The store's counters, as of the last refresh."""
        return self._counters

    def anchors(self) -> list[Anchor]:
        """All anchors, payload and reward, as they are now."""
        return self._anchors.anchors()

    def refresh(self) -> None:
        """Pulls what was added since the last call.

        Raises:
            StoreError: the store is out of reach, damaged, or another one than before.
        """
        self.flush()
        reply = self._scripts.call("refresh", self._incarnation, self._ring.head, self._counters.excluded)
        *numbers, priorities, entries, found = taken(reply, store_key(self._prefix, "*"))
        head, capacity, watermark, open_windows = (int(cast("int", value)) for value in numbers)
        self._ring.extend(head, capacity, cast("bytes", priorities), cast("bytes", entries))
        self._watermark_ms = watermark
        meta = cast("list[bytes]", found)
        self._counters = Counters.parse(dict(zip(meta[::2], meta[1::2], strict=True)), open_windows)

    def sample(self, count: int, alpha: float, beta: float, rng: np.random.Generator) -> Batch:
        """Draws by priority^alpha, with importance weights to the power of beta.

        Raises:
            NothingToDraw: ``size`` is 0, or examples vanish faster than they can be drawn: continue after ``refresh``.
            StoreError: the store is out of reach.
        """
        mass = self._mass(alpha)
        slots = draw(mass, count, rng)
        for _ in range(REDRAWS):
            payloads, there = self._payloads(slots)
            if there.all():
                return self._batch(slots, payloads, importance_weights(mass, slots, beta))
            vanished = slots[~there]
            self._ring.prioritise(vanished, np.zeros(len(vanished), np.float32))
            mass = self._mass(alpha)
            slots[~there] = draw(mass, len(vanished), rng)
        raise NothingToDraw(f"{REDRAWS} draws in a row met entries without payload: refresh() before the next sample")

    def uniform(self, count: int, rng: np.random.Generator) -> Batch:
        """Draws every example with the same probability; all weights are 1. Raises as ``sample``."""
        return self.sample(count, 0.0, 0.0, rng)

    def newest(self, count: int) -> Batch:
        """The last examples that were added, the newest first, all weights 1; fewer where there are, or some vanished.

        Raises:
            StoreError: the store is out of reach.
        """
        slots = (self._ring.head - 1 - np.arange(min(count, self._ring.size))) % max(self._ring.capacity, 1)
        slots = slots[self._ring.priorities[slots] > 0]
        payloads, there = self._payloads(slots)
        return self._batch(slots[there], payloads[there], np.ones(int(there.sum()), np.float32))

    def drawable(self) -> Batch:
        """Every example that may be drawn, once, all weights 1; those that vanished since the last refresh left out.

        Raises:
            StoreError: the store is out of reach.
        """
        slots = np.flatnonzero(self._mass(0.0))
        parts = [self._payloads(some) for some in np.array_split(slots, max(1, -(-len(slots) // FETCHED)))]
        payloads, there = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return self._batch(slots[there], payloads[there], np.ones(int(there.sum()), np.float32))

    def update_priorities(self, batch: Batch, errors: ArrayLike) -> None:
        """New priorities abs(error) + epsilon: here at once, in the store when there are many, or with ``refresh``.

        Args:
            batch: as drawn; examples that were overwritten since are left out, here and in the store.
            errors: shape (n,), of any sign. Of several for one example the last holds.

        Raises:
            ValueError: one is not finite.
        """
        priorities = np.abs(np.asarray(errors, dtype=np.float32)) + np.float32(self._epsilon)
        if priorities.shape != batch.slots.shape or not np.isfinite(priorities).all():
            raise ValueError(f"errors: shape {priorities.shape}; {batch.slots.shape} finite numbers are right")
        current = self._ring.holds(batch.slots, batch.fields)
        self._ring.prioritise(batch.slots[current], priorities[current])
        self._ring.changed[batch.slots[current]] = True
        if np.count_nonzero(self._ring.changed) >= LARGEST_UPDATE:
            self.flush()

    def flush(self) -> None:
        """Sends the priorities that the store does not know yet.

        Raises:
            StoreError: the store is out of reach, damaged, or another one than before.
        """
        changed = np.flatnonzero(self._ring.changed)
        if not len(changed):
            return
        runs, priorities = self._ring.runs(changed)
        largest = f"{self._ring.priorities[changed].max():.9g}"
        known = self._counters.excluded
        reply = self._scripts.call("prioritise", self._incarnation, known, runs, priorities, largest)
        taken(reply, store_key(self._prefix, "*"))
        self._ring.changed[changed] = False

    def _mass(self, alpha: float) -> Mass:
        """What every slot counts in a draw; nothing where its example is too old."""
        mass = self._ring.mass(alpha)
        if self._max_age_ms is None:
            return mass
        return np.where(self._ring.closed_ms < self._watermark_ms - self._max_age_ms, 0.0, mass)

    def _payloads(self, slots: Slots) -> tuple[NDArray[np.object_], NDArray[np.bool_]]:
        """From the mirror, those that are not there in one round trip; and which of them are there."""
        ring, there = self._ring, self._ring.fetched[slots]
        if not there.all():
            missing = slots[~there]
            with store_errors("fetch of a batch"):
                found = self._client.hmget(store_key(self._prefix, Key.PAYLOADS), ring.fields(missing).tolist())
            ring.payloads[missing] = cast("list[bytes | None]", found)
            ring.fetched[missing] = [payload is not None for payload in cast("list[bytes | None]", found)]
            there = ring.fetched[slots]
        return ring.payloads[slots], there

    def _batch(self, slots: Slots, payloads: NDArray[np.object_], weights: NDArray[np.float32]) -> Batch:
        return Batch(slots, self._ring.fields(slots), tuple(payloads.tolist()), self._ring.rewards(slots), weights)
