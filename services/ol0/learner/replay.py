"""The replay buffer as the learner sees it, and one in memory."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ol0.controller.heads import Floats
from ol0.learner.batch import Batch
from ol0.replay.ring import Fields
from ol0.replay.sampling import Slots, draw, importance_weights, priority_mass


@dataclass(frozen=True, slots=True)
class Draw:
    """Examples drawn by priority; the batch's weights are their importance weights.

    Attributes:
        slots: where they lie in the ring, shape (n,).
        fields: which example lies there, as the store names it; the slot may be overwritten before its new priority
            arrives. Empty where that cannot happen.
        batch: the examples.
    """

    slots: Slots
    fields: Fields
    batch: Batch


class Replay(Protocol):
    """Live examples in a ring, and anchors beside it. Calls may block on the store and raise StoreError."""

    @property
    def examples(self) -> int:
        """Live examples ever stored, evicted ones included."""

    @property
    def size(self) -> int:
        """Live examples that can be drawn now."""

    @property
    def watermark_ms(self) -> int:
        """Event time up to which every example is in."""

    def refresh(self) -> None:
        """Learns what is new in the store; the three properties change only here."""

    def sample(self, n: int, alpha: float, beta: float, rng: np.random.Generator) -> Draw:
        """Draws n examples, each with probability p^alpha / sum p^alpha. The buffer is not empty."""

    def update_priorities(self, drawn: Draw, errors: Floats) -> None:
        """Sets priorities to |error| + epsilon, errors of shape (n,); examples that were evicted are left out."""

    def flush(self) -> None:
        """Sends what ``update_priorities`` still holds, before the learner stops."""

    def uniform(self, n: int, rng: np.random.Generator) -> Floats:
        """Features of n examples drawn uniformly, shape (n, D). The buffer is not empty."""

    def newest(self, n: int) -> Batch:
        """The last n examples, or as many as there are, all of weight 1, the newest first."""

    def anchors(self) -> Batch:
        """All anchors, in the order in which warm-up stored them."""


class LocalReplay:
    """A ring in this process: for tests, evaluation and experiments without Redis.

    Not persistent, not shared. ``add`` is what the feedback service does in the real one.
    """

    def __init__(self, capacity: int, anchors: Batch, epsilon: float) -> None:
        """Empty but for its anchors.

        Args:
            capacity: live examples that it holds; anchors are kept beside them.
            anchors: what ``anchors`` returns.
            epsilon: added to every priority, so that no example is lost for good.
        """
        self._capacity = capacity
        self._epsilon = epsilon
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
        self._examples = 0
        self._watermark_ms = 0

    @property
    def examples(self) -> int:
        """See ``Replay``."""
        return self._examples

    @property
    def size(self) -> int:
        """See ``Replay``."""
        return min(self._examples, self._capacity)

    @property
    def watermark_ms(self) -> int:
        """See ``Replay``."""
        return self._watermark_ms

    def refresh(self) -> None:
        """Nothing to do: what is added is seen at once."""

    def add(self, batch: Batch, watermark_ms: int) -> None:
        """Stores examples with the largest priority there is, so that each is soon drawn once; the oldest go."""
        slots = (self._examples + np.arange(len(batch))) % self._capacity
        for mine, new in (
            (self._ring.features, batch.features),
            (self._ring.actions, batch.actions),
            (self._ring.propensities, batch.propensities),
            (self._ring.rewards, batch.rewards),
            (self._ring.users, batch.users),
        ):
            mine[slots] = new
        self._priorities[slots] = max(1.0, float(self._priorities.max(initial=0)))
        self._examples += len(batch)
        self._watermark_ms = watermark_ms

    def sample(self, n: int, alpha: float, beta: float, rng: np.random.Generator) -> Draw:
        """See ``Replay``."""
        mass = priority_mass(self._priorities[: self.size], alpha)
        slots = draw(mass, n, rng)
        return Draw(slots, _UNNAMED, self._ring.take(slots).weighted(importance_weights(mass, slots, beta)))

    def update_priorities(self, drawn: Draw, errors: Floats) -> None:
        """See ``Replay``."""
        self._priorities[drawn.slots] = np.abs(errors) + np.float32(self._epsilon)

    def flush(self) -> None:
        """Nothing to do: priorities are set at once."""

    def uniform(self, n: int, rng: np.random.Generator) -> Floats:
        """See ``Replay``."""
        return np.asarray(self._ring.features[rng.integers(0, self.size, n)])

    def newest(self, n: int) -> Batch:
        """See ``Replay``."""
        return self._ring.take((self._examples - 1 - np.arange(min(n, self.size))) % self._capacity)

    def anchors(self) -> Batch:
        """See ``Replay``."""
        return self._anchors


_UNNAMED = np.zeros(0, "V1")
