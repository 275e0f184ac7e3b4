import numpy as np
import pytest

from ol0.errors import CheckpointError, RangeError
from ol0.learning.gradient.priority import importance_exponent
from ol0.learning.replay import LocalReplay
from unit.learning.learner_world import SMALL, logged, make_base


def full(capacity: int = 10, examples: int = 10) -> LocalReplay:
    base = make_base()
    replay = LocalReplay(capacity, logged(base, 5), 0.001)
    replay.add(logged(base, examples), watermark_ms=7)
    return replay


def drawn_shares(replay: LocalReplay, alpha: float, n: int = 40_000) -> np.ndarray:
    slots = replay.sample(n, alpha, 1.0, np.random.default_rng(0)).slots
    return np.bincount(slots, minlength=replay.size) / n


def test_counts_and_watermark_are_those_of_what_was_added() -> None:
    replay = full(capacity=4, examples=3)
    replay.add(logged(make_base(), 3, seed=8), watermark_ms=9)
    assert (replay.examples, replay.size, replay.watermark_ms) == (6, 4, 9)


def test_what_is_excluded_is_not_drawn_and_is_counted_once_and_for_good() -> None:
    replay = full(capacity=4, examples=4)
    for _ in range(2):
        replay.exclude(np.array([0, 1]))
    assert (replay.size, replay.excluded, len(replay.drawable())) == (2, 2, 2)
    again = LocalReplay(4, replay.anchors(), 0.001)
    again.restore(replay.snapshot())
    again.add(logged(make_base(), 4, seed=8), watermark_ms=9)
    assert (again.size, again.excluded) == (4, 2)


def test_the_oldest_go_first_and_anchors_stay() -> None:
    base, replay = make_base(), full(capacity=4, examples=4)
    newer = logged(base, 3, seed=8)
    replay.add(newer, watermark_ms=9)
    rows = {row.tobytes() for row in replay.uniform(500, np.random.default_rng(0))}
    assert rows == {row.tobytes() for row in (*newer.features, logged(base, 4).features[3])}
    np.testing.assert_array_equal(replay.anchors().features, logged(base, 5).features)


def test_draws_follow_the_priorities() -> None:
    replay = full()
    first = replay.sample(10, 0.0, 0.0, np.random.default_rng(1))
    replay.update_priorities(type(first)(np.arange(10), first.fields, first.batch), -np.arange(10) / 10)
    expected = (np.arange(10) / 10 + 0.001) ** 0.6
    np.testing.assert_allclose(drawn_shares(replay, 0.6), expected / expected.sum(), atol=0.01)
    np.testing.assert_allclose(drawn_shares(replay, 0.0), 0.1, atol=0.01)


def test_importance_weights_undo_the_priorities() -> None:
    replay = full()
    first = replay.sample(10, 0.0, 0.0, np.random.default_rng(1))
    replay.update_priorities(type(first)(np.arange(10), first.fields, first.batch), np.arange(1, 11) / 10)
    draw = replay.sample(40_000, 1.0, 1.0, np.random.default_rng(2))
    weight_of = np.bincount(draw.slots, draw.batch.weights)
    np.testing.assert_allclose(weight_of / weight_of.sum(), 0.1, atol=0.01)
    assert draw.batch.weights.max() == 1
    np.testing.assert_array_equal(replay.sample(9, 1.0, 0.0, np.random.default_rng(2)).batch.weights, np.ones(9))


def test_what_is_new_has_the_largest_priority() -> None:
    replay = full(capacity=20)
    first = replay.sample(10, 0.0, 0.0, np.random.default_rng(1))
    replay.update_priorities(type(first)(np.arange(10), first.fields, first.batch), np.full(10, 0.01))
    replay.add(logged(make_base(), 1, seed=5), watermark_ms=9)
    assert drawn_shares(replay, 1.0).argmax() == 10


def test_the_same_generator_draws_the_same() -> None:
    one, two = (full().sample(6, 0.6, 0.4, np.random.default_rng(3)).slots for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_beta_grows_to_one_and_stays_there() -> None:
    exponents = [importance_exponent(examples, SMALL) for examples in (0, 8_000, 16_000, 10**6)]
    assert exponents == [pytest.approx(value) for value in (0.4, 0.7, 1.0, 1.0)]


def test_what_is_too_old_is_not_drawn() -> None:
    replay = LocalReplay(10, logged(make_base(), 5), 0.001, max_age_s=1.0)
    replay.add(logged(make_base(), 4), watermark_ms=7)
    replay.add(logged(make_base(), 3, seed=8), watermark_ms=1_007)
    assert np.flatnonzero(drawn_shares(replay, 1.0)).tolist() == [0, 1, 2, 3, 4, 5, 6]
    replay.add(logged(make_base(), 1, seed=9), watermark_ms=1_008)
    assert np.flatnonzero(drawn_shares(replay, 1.0)).tolist() == [4, 5, 6, 7]
    drawn = {row.tobytes() for row in replay.uniform(500, np.random.default_rng(0))}
    assert drawn == {row.tobytes() for row in replay._ring.features[4:8]}


def test_time_does_not_go_back() -> None:
    replay = full(examples=3)
    with pytest.raises(RangeError, match="6 ms lies before 7 ms"):
        replay.add(logged(make_base(), 1), watermark_ms=6)
    assert replay.examples == 3


@pytest.mark.parametrize("examples", [0, 3, 10, 14])
def test_a_restored_buffer_draws_what_the_first_one_does(examples: int) -> None:
    # Given a buffer whose priorities were changed
    base, replay = make_base(), full(examples=10)
    first = replay.sample(10, 0.0, 0.0, np.random.default_rng(1))
    replay.update_priorities(type(first)(np.arange(10), first.fields, first.batch), np.arange(10) / 5)
    replay.add(logged(base, examples, seed=4), watermark_ms=9)
    # When an empty one takes its examples over, and both get some more
    copy = LocalReplay(10, logged(base, 5), 0.001)
    copy.restore(replay.snapshot())
    for each in (replay, copy):
        each.add(logged(base, 2, seed=5), watermark_ms=11)
    # Then they count and draw the same
    assert (copy.examples, copy.size, copy.watermark_ms) == (replay.examples, replay.size, replay.watermark_ms)
    np.testing.assert_array_equal(copy._priorities, replay._priorities)
    one, two = (each.sample(50, 0.6, 0.4, np.random.default_rng(3)).batch for each in (replay, copy))
    np.testing.assert_array_equal(one.features, two.features)
    np.testing.assert_array_equal(one.rewards, two.rewards)
    np.testing.assert_array_equal(one.users, two.users)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (
            full(capacity=9, examples=3).snapshot(),
            "a snapshot of 9 slots .* here are 10 .*: same base, same replay_size",
        ),
        (full(examples=3).snapshot()[:-1], "no snapshot of a replay buffer"),
        (b"", "no snapshot of a replay buffer"),
    ],
    ids=["another capacity", "truncated", "empty"],
)
def test_a_snapshot_that_does_not_fit_is_refused_and_changes_nothing(other: bytes, words: str) -> None:
    replay = full()
    before = replay.snapshot()
    with pytest.raises(CheckpointError, match=words):
        replay.restore(other)
    assert replay.snapshot() == before
