"""The shared replay buffer behind the learner's protocol: decodes payloads, each once."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NoReturn, Protocol

import numpy as np

from ol0.controller.controller import Controller
from ol0.controller.heads import Floats
from ol0.errors import RangeError
from ol0.learning.batch import Batch, unit_of
from ol0.learning.replay import Draw
from ol0.records import FEATURE_BYTES, Decision, FeaturesDtype
from ol0.replay.buffer import Batch as StoredBatch
from ol0.replay.sampling import Slots

Unpack = Callable[[bytes], Decision]
EXCLUDE: Final = "Find who wrote it; `ol0 replay exclude` removes it"
OTHER_BASE: Final = (
    "It is an anchor, and anchors belong to one base: warm this base up under a kafka.topic_prefix of its own"
)


class PayloadBuffer(Protocol):
    """What ``ol0.replay.buffer.ReplayBuffer`` offers; see there."""

    @property
    def examples(self) -> int: ...  # noqa: D102 - see ReplayBuffer, also below
    @property
    def size(self) -> int: ...  # noqa: D102
    @property
    def excluded(self) -> int: ...  # noqa: D102
    @property
    def watermark_ms(self) -> int: ...  # noqa: D102
    def refresh(self) -> None: ...  # noqa: D102
    def sample(self, count: int, alpha: float, beta: float, rng: np.random.Generator) -> StoredBatch: ...  # noqa: D102
    def uniform(self, count: int, rng: np.random.Generator) -> StoredBatch: ...  # noqa: D102
    def newest(self, count: int) -> StoredBatch: ...  # noqa: D102
    def drawable(self) -> StoredBatch: ...  # noqa: D102
    def update_priorities(self, batch: StoredBatch, errors: Floats) -> None: ...  # noqa: D102
    def flush(self) -> None: ...  # noqa: D102
    def anchors(self) -> Sequence[tuple[bytes, float]]: ...  # noqa: D102


class DecodedRows:
    """Decoded examples in arrays, found by the entry's name. Bounded: when they are full they are begun anew."""

    def __init__(self, capacity: int, base: Controller, unpack: Unpack, remedy: str = EXCLUDE) -> None:
        """Empty.

        Args:
            capacity: rows; no batch may be larger.
            base: whose features and choices they must fit; its trunk, if it has one, makes the features of a batch.
            unpack: payload to decision.
            remedy: what helps where one does not fit the base.
        """
        self._remedy = remedy
        self._base = base
        self._choices = np.array(base.choices)
        self._unpack = unpack
        self._row_of: dict[bytes, int] = {}
        self._capacity = capacity
        self._features = np.zeros((capacity, base.above_trunk.dimension), np.float32)
        self._actions = np.zeros((capacity, len(base.choices)), np.intp)
        self._propensities = np.ones((capacity, len(base.choices)), np.float32)
        self._users = np.zeros(capacity, np.uint64)

    def rows(self, names: Sequence[bytes], payloads: Sequence[bytes]) -> Slots:
        """The row of every entry, decoded where it is new; shape (n,).

        Raises:
            RangeError: a decision does not fit the base's heads.
            ContractError: a payload cannot be decoded.
        """
        known = self._row_of
        new = {name: payload for name, payload in zip(names, payloads, strict=True) if name not in known}
        if len(known) + len(new) > self._capacity:
            known.clear()
            new = dict(zip(names, payloads, strict=True))
        if new:
            self._fill([self._unpack(payload) for payload in new.values()])
            known.update(zip(new, range(len(known), len(known) + len(new)), strict=True))
        return np.array([known[name] for name in names], np.int64)

    def batch(self, rows: Slots, rewards: Floats, weights: Floats) -> Batch:
        """These rows as a batch."""
        return Batch(
            self._features[rows],
            self._actions[rows],
            self._propensities[rows],
            rewards,
            weights,
            self._users[rows],
        )

    def features(self, rows: Slots) -> Floats:
        """Shape (n, D)."""
        return np.asarray(self._features[rows])

    def _fill(self, decisions: Sequence[Decision]) -> None:
        """The next rows, all at once: one by one each would cost as much again as its decoding."""
        rows = slice(len(self._row_of), len(self._row_of) + len(decisions))
        for decision in decisions:
            self._require_shapes(decision)
        actions = np.array([decision.action for decision in decisions])
        for row in np.flatnonzero(((actions < 0) | (actions >= self._choices)).any(axis=1))[:1]:
            self._refuse(decisions[row])
        for dtype in FeaturesDtype:
            of_dtype = [number for number, decision in enumerate(decisions) if decision.features_dtype is dtype]
            vectors = b"".join([decisions[number].features for number in of_dtype])
            numbers = np.frombuffer(vectors, np.dtype(dtype.value).newbyteorder("<")).astype(np.float32)
            self._features[rows][of_dtype] = self._base.inputs(numbers.reshape(len(of_dtype), self._base.dimension))
        self._actions[rows] = actions
        self._propensities[rows] = [decision.propensity for decision in decisions]
        self._users[rows] = [unit_of(decision.user, decision.session_id) for decision in decisions]

    def _require_shapes(self, decision: Decision) -> None:
        wanted = self._base.dimension * FEATURE_BYTES[decision.features_dtype], len(self._choices)
        if (len(decision.features), len(decision.action)) != wanted:
            self._refuse(decision)

    def _refuse(self, decision: Decision) -> NoReturn:
        raise RangeError(
            f"decision {decision.decision_id} in the replay store has {decision.feature_vector().size} features and "
            f"action {decision.action}; the base takes {self._base.dimension} and choices "
            f"{self._base.choices}. {self._remedy}"
        )


class DecodedReplay:
    """``Replay`` over the store's buffer."""

    def __init__(self, buffer: PayloadBuffer, base: Controller, unpack: Unpack, rows: int) -> None:
        """Reads nothing yet.

        Args:
            buffer: live examples and anchors.
            base: what every example must fit.
            unpack: payload to decision: ``Payloads.unpack``.
            rows: decoded examples that are kept; the size of the ring, plus a batch, decodes each about once.
        """
        self._buffer = buffer
        self._open = partial(DecodedRows, base=base, unpack=unpack)
        self._cache = self._open(rows)

    @property
    def examples(self) -> int:
        """See ``Replay``."""
        return self._buffer.examples

    @property
    def size(self) -> int:
        """See ``Replay``."""
        return self._buffer.size

    @property
    def excluded(self) -> int:
        """See ``Replay``."""
        return self._buffer.excluded

    @property
    def watermark_ms(self) -> int:
        """See ``Replay``."""
        return self._buffer.watermark_ms

    def refresh(self) -> None:
        """See ``Replay``."""
        self._buffer.refresh()

    def sample(self, n: int, alpha: float, beta: float, rng: np.random.Generator) -> Draw:
        """See ``Replay``."""
        stored = self._buffer.sample(n, alpha, beta, rng)
        rows = self._cache.rows(stored.fields.tolist(), stored.payloads)
        return Draw(stored.slots, stored.fields, self._cache.batch(rows, stored.rewards, stored.weights))

    def update_priorities(self, drawn: Draw, errors: Floats) -> None:
        """See ``Replay``."""
        named = StoredBatch(drawn.slots, drawn.fields, (), drawn.batch.rewards, drawn.batch.weights)
        self._buffer.update_priorities(named, errors)

    def flush(self) -> None:
        """See ``Replay``."""
        self._buffer.flush()

    def uniform(self, n: int, rng: np.random.Generator) -> Floats:
        """See ``Replay``."""
        stored = self._buffer.uniform(n, rng)
        return self._cache.features(self._cache.rows(stored.fields.tolist(), stored.payloads))

    def newest(self, n: int) -> Batch:
        """See ``Replay``."""
        return self._decoded(self._buffer.newest(n))

    def drawable(self) -> Batch:
        """See ``Replay``."""
        return self._decoded(self._buffer.drawable())

    def _decoded(self, stored: StoredBatch) -> Batch:
        rows = self._cache.rows(stored.fields.tolist(), stored.payloads)
        return self._cache.batch(rows, stored.rewards, stored.weights)

    def anchors(self) -> Batch:
        """See ``Replay``."""
        stored = self._buffer.anchors()
        names = [str(number).encode() for number in range(len(stored))]
        cache = self._open(len(stored), remedy=OTHER_BASE)
        rows = cache.rows(names, [payload for payload, _ in stored])
        rewards = np.array([reward for _, reward in stored], np.float32)
        return cache.batch(rows, rewards, np.ones(len(stored), np.float32))
