from dataclasses import replace

import numpy as np
import pytest

from ol0.controller.heads import Floats
from ol0.errors import RangeError
from ol0.learner.decoding import DecodedReplay
from ol0.learning.batch import unit_of
from ol0.learning.replay import Draw
from ol0.records import Arm, Decision, DecisionId, Digest, FeaturesDtype
from ol0.replay.buffer import Batch as StoredBatch
from testbed.trunks import a_base_on, a_trunk
from unit.learning.learner_world import DIMENSION, make_base

CHOICES = (2, 3)


def decision(number: int) -> Decision:
    return Decision(
        decision_id=DecisionId(f"decision-{number}"),
        session_id=f"session-{number}",
        turn=0,
        user=None if number % 2 else "anna",
        time_ms=number,
        digest=Digest("0" * 64),
        arm=Arm.LIVE,
        staged=None,
        serving_sequence=1,
        features=np.full(DIMENSION, number, "<f2").tobytes(),
        features_dtype=FeaturesDtype.FLOAT16,
        action=(number % 2, number % 3),
        propensity=(0.5, 0.25),
    )


class FakeBuffer:
    """Entry i has payload i and reward i / 100; draws give the entries that the test names."""

    examples, size, excluded, watermark_ms = 50, 40, 3, 1_234

    def __init__(self) -> None:
        self.next = [0]
        self.updated: list[tuple[StoredBatch, Floats]] = []
        self.calls: list[str] = []

    def refresh(self) -> None:
        self.calls.append("refresh")

    def flush(self) -> None:
        self.calls.append("flush")

    def sample(self, *_: object) -> StoredBatch:
        names = [str(number).encode() for number in self.next]
        rewards = np.array(self.next, np.float32) / 100
        weights = np.full(len(names), 0.5, np.float32)
        return StoredBatch(np.array(self.next), np.array(names, "V1"), tuple(names), rewards, weights)

    def uniform(self, *_: object) -> StoredBatch:
        return self.sample()

    def update_priorities(self, batch: StoredBatch, errors: Floats) -> None:
        self.updated.append((batch, errors))

    def anchors(self) -> list[tuple[bytes, float]]:
        return [(b"8", 1.0), (b"8", 0.0), (b"9", 0.5)]


class World:
    def __init__(self, rows: int = 10) -> None:
        self.buffer = FakeBuffer()
        self.unpacked: list[int] = []
        self.replay = DecodedReplay(self.buffer, make_base(CHOICES), self.unpack, rows)

    def unpack(self, payload: bytes) -> Decision:
        self.unpacked.append(int(payload))
        return decision(int(payload))

    def draw(self, *numbers: int) -> Draw:
        self.buffer.next = list(numbers)
        return self.replay.sample(len(numbers), 0.6, 0.4, np.random.default_rng(0))


def test_a_batch_holds_what_the_payloads_say() -> None:
    batch = World().draw(3, 4).batch
    np.testing.assert_array_equal(batch.features, [[3] * DIMENSION, [4] * DIMENSION])
    np.testing.assert_array_equal(batch.actions, [[1, 0], [0, 1]])
    np.testing.assert_array_equal(batch.propensities, [[0.5, 0.25]] * 2)
    np.testing.assert_allclose(batch.rewards, [0.03, 0.04])
    np.testing.assert_array_equal(batch.weights, [0.5, 0.5])
    assert batch.users.tolist() == [unit_of(None, "session-3"), unit_of("anna", "session-4")]


def test_each_entry_is_decoded_once() -> None:
    world = World()
    world.draw(1, 2, 1)
    world.draw(2, 1)
    assert world.unpacked == [1, 2]


def test_the_cache_is_bounded_and_still_right() -> None:
    world = World(rows=4)
    for numbers in ((1, 2, 3), (4, 5, 6), (1, 6, 6, 5)):
        assert world.draw(*numbers).batch.features[:, 0].tolist() == list(numbers)
    assert len(world.replay._cache._row_of) <= 4


def test_uniform_draws_give_features_alone() -> None:
    world = World()
    world.buffer.next = [7]
    assert world.replay.uniform(1, np.random.default_rng(0)).tolist() == [[7] * DIMENSION]


def test_priorities_go_back_to_the_entries_they_belong_to() -> None:
    world = World()
    drawn = world.draw(5, 6)
    world.replay.update_priorities(drawn, np.array([0.1, 0.2], np.float32))
    ((batch, errors),) = world.buffer.updated
    assert batch.fields.tolist() == [b"5", b"6"]
    assert batch.slots.tolist() == [5, 6]
    np.testing.assert_allclose(errors, [0.1, 0.2])


def test_anchors_come_in_their_order_even_when_two_are_alike() -> None:
    anchors = World().replay.anchors()
    assert anchors.features[:, 0].tolist() == [8, 8, 9]
    assert anchors.rewards.tolist() == [1, 0, 0.5]


def test_anchors_of_another_base_are_refused_with_what_helps() -> None:
    other = DecodedReplay(FakeBuffer(), make_base((2, 3, 4)), World().unpack, 10)
    with pytest.raises(RangeError, match=r"action \(0, 2\); the base takes 6 and choices \(2, 3, 4\).*topic_prefix"):
        other.anchors()


def test_the_rest_is_the_buffers() -> None:
    world = World()
    world.replay.refresh()
    world.replay.flush()
    assert world.buffer.calls == ["refresh", "flush"]
    assert (world.replay.examples, world.replay.size, world.replay.watermark_ms) == (50, 40, 1_234)
    assert world.replay.excluded == 3


@pytest.mark.parametrize(
    "changes",
    [{"features": b"\0\0"}, {"action": (0,)}, {"action": (0, 3)}, {"action": (-1, 0)}],
    ids=["features", "parts", "choice", "negative"],
)
def test_a_decision_that_does_not_fit_the_base_is_refused_by_name(changes: dict[str, bytes]) -> None:
    world = World()
    bad = replace(decision(1), **changes)
    replay = DecodedReplay(world.buffer, make_base(CHOICES), lambda _: bad, 10)
    with pytest.raises(RangeError, match=r"(?s)decision-1 .*ol0 replay exclude"):
        replay.uniform(1, np.random.default_rng(0))


def test_a_batch_holds_what_the_trunk_makes_of_features() -> None:
    base = a_base_on(a_trunk((5,)), CHOICES)
    buffer = FakeBuffer()
    buffer.next = [3, 4, 3]
    drawn = DecodedReplay(buffer, base, lambda payload: decision(int(payload)), rows=10)
    features = drawn.sample(3, 1.0, 1.0, np.random.default_rng(0)).batch.features
    asked = np.stack([decision(number).feature_vector() for number in buffer.next]).astype(np.float32)
    np.testing.assert_array_equal(features, base.inputs(asked))
