"""The replay buffer's interface for the learner, and one in memory."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from ol0.controller.heads import Floats
from ol0.controller.packing import pack_tensors
from ol0.errors import CheckpointError, NothingToDraw, RangeError
from ol0.learning.batch import Batch
from ol0.replay.ring import Fields
from ol0.replay.sampling import Mass, Slots, draw, importance_weights, priority_mass


@dataclass(frozen=True, slots=True)
class Draw:
    """Examples drawn by priority; the batch's weights are their importance weights.

    Attributes:
        slots: their places in the ring, shape (n,).
        fields: the store's names of these examples: a slot may be overwritten before its new priority
            arrives. Empty if that cannot happen.
        batch: the examples.
    """

    slots: Slots
    fields: Fields
    batch: Batch


class Replay(Protocol):
    """Live examples in a ring, and anchors beside it. Calls may block on the store and raise StoreError."""

    @property
    def examples(self) -> int:
        """Number of live examples ever stored, including evicted ones."""

    @property
    def size(self) -> int:
        """Number of live examples that can be drawn now."""

    @property
    def excluded(self) -> int:
        """Number of live examples ever excluded."""

    @property
    def watermark_ms(self) -> int:
        """Event time up to which the buffer is complete."""

    def refresh(self) -> None:
        """Reads new examples from the store. The properties change only here."""

    def sample(self, n: int, alpha: float, beta: float, rng: np.random.Generator) -> Draw:
        """Draws n examples, each with probability p^alpha / sum p^alpha. Raises NothingToDraw if ``size`` is 0."""

    def update_priorities(self, drawn: Draw, errors: Floats) -> None:
        """Sets priorities to |error| + epsilon, errors of shape (n,). Skips evicted examples."""

    def flush(self) -> None:
        """Sends pending priorities, before the learner stops."""

    def uniform(self, n: int, rng: np.random.Generator) -> Floats:
        """Features of n examples drawn uniformly, shape (n, D). Raises as ``sample``."""

    def newest(self, n: int) -> Batch:
        """Returns the last n examples, or all if there are fewer, of weight 1, newest first."""

    def drawable(self) -> Batch:
        """Returns all examples that can be drawn, once each, of weight 1."""

    def anchors(self) -> Batch:
        """Returns all anchors, in the order of the warm-up."""


class LocalReplay:
    """A ring in this process: ``ol0.ReplayBuffer``. Its owner calls ``add``, as the feedback service does on Redis.

    Not shared; persistent only if its owner keeps ``snapshot``.
    """

    def __init__(self, capacity: int, anchors: Batch, epsilon: float, max_age_s: float | None = None) -> None:
        """Empty except for its anchors.

        Args:
            capacity: of live examples; anchors do not count.
            anchors: returned by ``anchors``.
            epsilon: added to every priority, so that no example is lost for good.
            max_age_s: examples that were added longer ago, in event time, are not drawn; None: all are.
        """
        self._capacity = capacity
        self._epsilon = epsilon
        self._max_age_ms = None if max_age_s is None else round(1000 * max_age_s)
        self._anchors = anchors
        dimension, parts = anchors.features.shape[1], anchors.actions.shape[1]
        self._ring = Batch(
            np.zeros((capacity, dimension), np.float32),
            np.zeros((capacity, parts), np.intp),
            np.ones((capacity, parts), np.float32),
            np.zeros(capacity, np.float32),
            np.ones(capacity, np.float32),
            np.zeros(capacity, np.uint64),
        )
        self._priorities = np.zeros(capacity, np.float32)
        self._largest = np.float32(1)
        self._added_ms = np.zeros(capacity, np.int64)
        self._examples = 0
        self._excluded = 0
        self._watermark_ms = 0

    @property
    def examples(self) -> int:
        """See ``Replay``."""
        return self._examples

    @property
    def size(self) -> int:
        """See ``Replay``."""
        return int(np.count_nonzero(self._mass(0.0)))

    @property
    def excluded(self) -> int:
        """See ``Replay``."""
        return self._excluded

    @property
    def _held(self) -> int:
        """Slots with an example, including those that are too old."""
        return min(self._examples, self._capacity)

    @property
    def watermark_ms(self) -> int:
        """See ``Replay``."""
        return self._watermark_ms

    def refresh(self) -> None:
        """Does nothing: ``add`` takes effect at once."""

    def add(self, batch: Batch, watermark_ms: int) -> None:
        """Stores examples with the largest priority so far, so that each is soon drawn. Evicts the oldest.

        Raises:
            RangeError: the watermark is below the last one.
        """
        if watermark_ms < self._watermark_ms:
            raise RangeError(
                f"event time {watermark_ms} ms lies before {self._watermark_ms} ms, when the last ones came"
            )
        slots = (self._examples + np.arange(len(batch))) % self._capacity
        for name in _STORED:
            getattr(self._ring, name)[slots] = getattr(batch, name)
        self._priorities[slots] = self._largest
        self._added_ms[slots] = watermark_ms
        self._examples += len(batch)
        self._watermark_ms = watermark_ms

    def exclude(self, slots: Slots) -> None:
        """Excludes examples from learning, by their distinct places in the ring, shape (n,)."""
        self._excluded += int(np.count_nonzero(self._priorities[slots]))
        self._priorities[slots] = 0

    def sample(self, n: int, alpha: float, beta: float, rng: np.random.Generator) -> Draw:
        """See ``Replay``."""
        mass = self._mass(alpha)
        slots = draw(mass, n, rng)
        return Draw(slots, _UNNAMED, self._ring.take(slots).weighted(importance_weights(mass, slots, beta)))

    def update_priorities(self, drawn: Draw, errors: Floats) -> None:
        """See ``Replay``."""
        self._priorities[drawn.slots] = np.abs(errors) + np.float32(self._epsilon)
        self._largest = max(self._largest, self._priorities[drawn.slots].max())

    def flush(self) -> None:
        """Does nothing: priorities are set at once."""

    def uniform(self, n: int, rng: np.random.Generator) -> Floats:
        """See ``Replay``."""
        drawable = np.flatnonzero(self._mass(0.0))
        if not len(drawable):
            raise NothingToDraw("nothing to draw from: the ring is empty, or all of it is too old")
        return np.asarray(self._ring.features[drawable[rng.integers(0, len(drawable), n)]])

    def newest(self, n: int) -> Batch:
        """See ``Replay``."""
        return self._ring.take((self._examples - 1 - np.arange(min(n, self._held))) % self._capacity)

    def drawable(self) -> Batch:
        """See ``Replay``."""
        return self._ring.take(np.flatnonzero(self._mass(0.0)))

    def anchors(self) -> Batch:
        """See ``Replay``."""
        return self._anchors

    def snapshot(self) -> bytes:
        """Packs the examples with their priorities, without the anchors, which belong to the base."""
        rows = {name: array[: self._held] for name, array in self._slots().items()}
        counters = np.array([self._capacity, self._examples, self._excluded, self._watermark_ms], np.int64)
        return pack_tensors({**rows, "counters": counters, "largest": np.array([self._largest])})

    def restore(self, data: bytes) -> None:
        """Replaces the examples by those of a ``snapshot``.

        Raises:
            CheckpointError: not a snapshot, or one with another capacity or other shapes.
        """
        slots = self._slots()
        try:
            rows = load(data)
            capacity, examples, excluded, watermark_ms = (int(number) for number in rows["counters"])
            largest = np.float32(rows["largest"].item())
            shapes = {name: rows[name].shape[1:] for name in slots}
        except (SafetensorError, KeyError, ValueError) as error:
            raise CheckpointError(f"no snapshot of a replay buffer: {type(error).__name__} {error}") from None
        here = {name: array.shape[1:] for name, array in slots.items()}
        if (capacity, shapes) != (self._capacity, here):
            raise CheckpointError(
                f"a snapshot of {capacity} slots for features {shapes['features']} and actions {shapes['actions']}; "
                f"here are {self._capacity} for {here['features']} and {here['actions']}: same base, same replay_size"
            )
        for name, array in slots.items():
            array[: len(rows[name])] = rows[name]
        self._examples, self._excluded, self._watermark_ms, self._largest = examples, excluded, watermark_ms, largest

    def _slots(self) -> dict[str, NDArray[np.generic]]:
        """Everything that a slot holds, by name, each array of shape (capacity, ...)."""
        ring = {name: getattr(self._ring, name) for name in _STORED}
        return {**ring, "priorities": self._priorities, "added_ms": self._added_ms}

    def _mass(self, alpha: float) -> Mass:
        """Each example's probability of being drawn, up to a factor, shape (size,)."""
        mass = priority_mass(self._priorities[: self._held], alpha)
        if self._max_age_ms is not None:
            mass[self._added_ms[: self._held] < self._watermark_ms - self._max_age_ms] = 0
        return mass


_STORED = ("features", "actions", "propensities", "rewards", "users")
_UNNAMED = np.zeros(0, "V1")
