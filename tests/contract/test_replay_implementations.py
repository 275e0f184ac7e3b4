"""The buffer in this process and the one on Redis are the same to a learner."""

from collections.abc import Iterator

import numpy as np
import pytest
from redis import Redis

from ol0.controller.controller import Controller
from ol0.errors import NothingToDraw
from ol0.learner.decoding import DecodedReplay
from ol0.learning.batch import Batch
from ol0.learning.examples import Example, batch_of
from ol0.learning.replay import LocalReplay, Replay
from ol0.records import Arm, Decision, DecisionId, Digest, FeaturesDtype, Partition
from ol0.replay.anchors import AnchorStore
from ol0.replay.buffer import ReplayBuffer
from ol0.replay.store import ReplayStore
from support.ring import store_examples
from unit.learning.learner_world import DIMENSION, make_base

DECISIONS = Partition("t.decisions.v1", 0)
CAPACITY, EPSILON = 8, 0.5
ANCHORS = range(100, 103)


def decision(number: int) -> Decision:
    return Decision(
        decision_id=DecisionId(f"decision-{number}"),
        session_id=f"session-{number % 5}",
        turn=0,
        user=None if number % 2 else "anna",
        time_ms=number,
        digest=Digest("0" * 64),
        arm=Arm.LIVE,
        staged=None,
        serving_sequence=1,
        features=np.full(DIMENSION, number, "<f4").tobytes(),
        features_dtype=FeaturesDtype.FLOAT32,
        action=(number % 2, number % 3),
        propensity=(0.5, 0.25),
    )


def example(number: int) -> Example:
    return Example.of(decision(number), number / 128)


def unpack(payload: bytes) -> Decision:
    return decision(int(payload))


class Both:
    """Example n has the features n and the reward n / 128; its window closes at n + 1 ms."""

    def __init__(self, client: Redis, prefix: str, max_age_s: float | None = None) -> None:
        base: Controller = make_base((2, 3))
        self._base, self._added = base, 0
        self._store = ReplayStore(client, prefix)
        incarnation = self._store.register({DECISIONS: 0}, CAPACITY, 2 * CAPACITY)
        buffer = ReplayBuffer(client, prefix, incarnation, EPSILON, max_age_s)
        AnchorStore(client, prefix).add_anchors([(b"%d" % number, number / 128) for number in ANCHORS])
        self.stored = DecodedReplay(buffer, base, unpack, 100)
        self.local = LocalReplay(CAPACITY, batch_of([example(number) for number in ANCHORS], base), EPSILON, max_age_s)

    def __iter__(self) -> Iterator[Replay]:
        return iter((self.local, self.stored))

    def add(self, count: int) -> None:
        """To both, and both are told to look."""
        numbers = range(self._added, self._added + count)
        for number in numbers:
            self.local.add(batch_of([example(number)], self._base), watermark_ms=number + 1)
        store_examples(self._store, numbers, CAPACITY, 128)
        self._added = numbers.stop
        for replay in self:
            replay.refresh()


@pytest.fixture
def both(client: Redis, prefix: str) -> Both:
    return Both(client, prefix)


def assert_same(one: Batch, other: Batch) -> None:
    for name in ("features", "actions", "propensities", "rewards", "weights", "users"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), name)


@pytest.mark.parametrize("counts", [(3,), (8,), (3, 4, 8, 1, 7)], ids=["some", "full", "laps"])
def test_they_hold_and_count_the_same(both: Both, counts: tuple[int, ...]) -> None:
    for count in counts:
        both.add(count)
    local, stored = both
    assert (local.examples, local.size, local.watermark_ms) == (stored.examples, stored.size, stored.watermark_ms)
    for count in (1, 5, 20):
        assert_same(local.newest(count), stored.newest(count))
    assert_same(local.drawable(), stored.drawable())
    assert_same(local.anchors(), stored.anchors())


def test_the_same_generator_draws_the_same_while_priorities_change_and_examples_come(both: Both) -> None:
    both.add(5)
    for round_ in range(12):
        drawn = [replay.sample(6, 0.6, 0.4, np.random.default_rng(round_)) for replay in both]
        assert_same(drawn[0].batch, drawn[1].batch)
        np.testing.assert_array_equal(drawn[0].slots, drawn[1].slots)
        errors = np.random.default_rng(100 + round_).normal(size=6).astype(np.float32)
        for replay, draw in zip(both, drawn, strict=True):
            replay.update_priorities(draw, errors)
        for replay in both:
            replay.refresh()
        both.add(1 + round_ % 3)


def test_what_is_too_old_is_drawn_by_neither(client: Redis, prefix: str) -> None:
    both = Both(client, prefix, max_age_s=0.002)
    both.add(6)
    for replay in both:
        drawn = replay.sample(200, 0.6, 0.4, np.random.default_rng(0)).batch.features[:, 0]
        uniform = replay.uniform(200, np.random.default_rng(0))[:, 0]
        assert set(drawn.tolist()) == set(uniform.tolist()) == {3, 4, 5}
        assert replay.drawable().features[:, 0].tolist() == [3, 4, 5]


def test_an_empty_one_is_not_drawn_from(both: Both) -> None:
    for replay in both:
        replay.refresh()
        assert len(replay.drawable()) == 0
        with pytest.raises(NothingToDraw, match="the ring is empty"):
            replay.sample(4, 0.6, 0.4, np.random.default_rng(0))
        with pytest.raises(NothingToDraw, match="the ring is empty"):
            replay.uniform(4, np.random.default_rng(0))
