"""What is drawn from the ring, and how often: priorities, ages, and what vanished or was excluded."""

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import SecretStr
from redis import Redis

from ol0.config import RedisConfig
from ol0.errors import NothingToDraw
from ol0.replay.buffer import Batch, ReplayBuffer
from ol0.replay.connection import connect
from ol0.replay.protocol import Arrivals
from ol0.stacks.valkey import Valkey
from support.ring import CAPACITY, DECISIONS, Lineage, numbers

ALPHA, BETA = 0.6, 0.4


def test_draws_follow_priorities_and_weights_correct_them(lineage: Lineage, rng: np.random.Generator) -> None:
    lineage.add(2)
    lineage.buffer.refresh()
    batch = lineage.buffer.uniform(50, rng)
    errors = np.where(batch.slots == 0, 0.5, 2.5)  # priorities 1 and 3 with epsilon
    lineage.buffer.update_priorities(batch, errors)

    drawn = lineage.buffer.sample(4_000, 1.0, 1.0, rng)

    assert np.mean(drawn.slots == 1) == pytest.approx(0.75, abs=0.02)
    assert drawn.weights[drawn.slots == 0].max() == pytest.approx(1.0)
    assert drawn.weights[drawn.slots == 1].max() == pytest.approx(1 / 3)


def test_entries_that_vanished_are_drawn_again(lineage: Lineage, rng: np.random.Generator) -> None:
    lineage.add(CAPACITY)
    lineage.buffer.refresh()
    lineage.add(5)  # evicts 0 to 4, unseen

    batch = lineage.buffer.uniform(50, rng)

    assert set(numbers(batch.payloads)) == {5, 6, 7}


def test_what_is_excluded_or_too_old_is_not_counted_among_what_can_be_drawn(
    lineage: Lineage, client: Redis, prefix: str
) -> None:
    lineage.add(5)
    lineage.exclude(1, 2)
    lineage.buffer.refresh()
    assert (lineage.buffer.examples, lineage.buffer.size, lineage.buffer.excluded) == (5, 3, 2)

    forgetful = ReplayBuffer(client, prefix, lineage.incarnation, epsilon=0.5, max_age_s=0.001)
    forgetful.refresh()
    assert (forgetful.examples, forgetful.size, forgetful.excluded) == (5, 2, 2)

    lineage.exclude(0, 3, 4)
    lineage.buffer.refresh()
    assert (lineage.buffer.examples, lineage.buffer.size) == (5, 0)


def test_a_ring_that_was_lapped_unseen_asks_for_a_refresh(lineage: Lineage, rng: np.random.Generator) -> None:
    lineage.add(CAPACITY)
    lineage.buffer.refresh()
    lineage.add(CAPACITY)

    with pytest.raises(NothingToDraw, match="refresh"):
        lineage.buffer.uniform(50, rng)
    lineage.buffer.refresh()
    assert min(numbers(lineage.buffer.uniform(50, rng).payloads)) == CAPACITY


def test_examples_beyond_the_largest_age_are_not_drawn_and_not_lost(
    lineage: Lineage, client: Redis, prefix: str, rng: np.random.Generator
) -> None:
    # Example n closed at n + 1; the watermark is 5
    lineage.add(5)
    fresh = ReplayBuffer(client, prefix, lineage.incarnation, epsilon=0.5, max_age_s=0.002)
    fresh.refresh()

    assert set(numbers(fresh.uniform(200, rng).payloads)) == {2, 3, 4}
    assert fresh.sample(50, 1.0, 1.0, rng).weights.tolist() == [1.0] * 50, "what is not drawn has no part in them"
    assert (fresh.size, fresh.examples) == (3, 5)


def test_a_ring_without_a_fresh_example_says_why_it_cannot_be_drawn_from(
    lineage: Lineage, client: Redis, prefix: str, rng: np.random.Generator
) -> None:
    lineage.add(1)
    fresh = ReplayBuffer(client, prefix, lineage.incarnation, epsilon=0.5, max_age_s=0.002)
    claim = lineage.store.claim(DECISIONS)
    lineage.store.apply(DECISIONS, claim, claim.next_offset + 1, Arrivals(1_000, 1, b"", "", [], b"", b"", {})).result()
    fresh.refresh()

    with pytest.raises(NothingToDraw, match="max_age_s"):
        fresh.uniform(1, rng)


def test_draws_that_met_vanished_entries_have_the_distribution_of_those_that_are_left(
    lineage: Lineage, rng: np.random.Generator
) -> None:
    # Given priorities 1 to 8, of which the last half vanish unseen
    lineage.add(CAPACITY)
    lineage.buffer.refresh()
    batch = lineage.buffer.uniform(200, rng)
    lineage.buffer.update_priorities(batch, batch.slots + 0.5)
    lineage.buffer.flush()
    learner = ReplayBuffer(lineage.client, lineage.prefix, lineage.incarnation, epsilon=0.5)
    learner.refresh()
    lineage.exclude(4, 5, 6, 7)

    drawn = np.bincount(learner.sample(20_000, 1.0, 0.0, rng).slots, minlength=CAPACITY)

    expected = np.arange(1, 5) / 10 * 20_000
    assert ((drawn[:4] - expected) ** 2 / expected).sum() < 16.3  # 99.9 % of fair draws
    assert not drawn[4:].any()


@pytest.fixture(scope="module")
def million(valkey: Valkey) -> tuple[NDArray[np.int64], NDArray[np.float64], Batch]:
    """How often each of 1,000 slots was drawn in 10^6, how often it should have been, and the last batch.

    Through the store and back: priorities go there, a buffer that knows nothing pulls them, and every payload is
    fetched. A tenth of the examples vanishes between the pull and the draws.
    """
    client = connect(RedisConfig(url=SecretStr(f"redis://127.0.0.1:{valkey.port}/0")))
    lineage = Lineage(client, "million", 1_000)
    lineage.add(1_000)
    lineage.buffer.refresh()
    rng = np.random.default_rng(11)
    every = lineage.buffer.uniform(20_000, rng)
    errors = rng.exponential(size=1_000)
    lineage.buffer.update_priorities(every, errors[every.slots])
    lineage.buffer.flush()
    learner = ReplayBuffer(client, "million", lineage.incarnation, epsilon=0.5)
    learner.refresh()
    lineage.exclude(*range(0, 1_000, 10))

    drawn = np.zeros(1_000, np.int64)
    for _ in range(250):
        batch = learner.sample(4_000, ALPHA, BETA, rng)
        assert [int(payload) for payload in batch.payloads[:20]] == batch.slots[:20].tolist()
        drawn += np.bincount(batch.slots, minlength=1_000)
    client.close()

    mass = (np.float32(0.5) + errors.astype(np.float32)).astype(np.float64) ** ALPHA
    mass[::10] = 0
    return drawn, mass / mass.sum() * 1_000_000, batch


def test_a_million_draws_have_the_exact_distribution_of_the_priorities_of_what_is_left(
    million: tuple[NDArray[np.int64], NDArray[np.float64], Batch],
) -> None:
    drawn, expected, _ = million
    there = expected > 0

    assert drawn.sum() == 1_000_000
    assert not drawn[~there].any(), "what vanished is drawn again elsewhere"
    chi_square = ((drawn - expected)[there] ** 2 / expected[there]).sum()
    assert chi_square / (there.sum() - 1) <= 1.1


def test_the_weights_of_a_batch_are_those_of_the_formula(
    million: tuple[NDArray[np.int64], NDArray[np.float64], Batch],
) -> None:
    _, expected, batch = million
    probability = expected / 1_000_000

    weights = (900 * probability[batch.slots]) ** -BETA
    np.testing.assert_allclose(batch.weights, weights / weights.max(), rtol=1e-5)


def test_an_excluded_example_is_never_drawn_again_whatever_the_learner_says_of_it(
    lineage: Lineage, client: Redis, prefix: str, rng: np.random.Generator
) -> None:
    # Given a batch with every slot, one of which is excluded before its priorities come back
    lineage.add(CAPACITY)
    lineage.buffer.refresh()
    batch = lineage.buffer.uniform(200, rng)
    lineage.exclude(3)

    lineage.buffer.update_priorities(batch, np.full(200, 6.5))
    lineage.buffer.refresh()
    restarted = ReplayBuffer(client, prefix, lineage.incarnation, epsilon=0.5)
    restarted.refresh()

    assert set(numbers(lineage.buffer.uniform(200, rng).payloads)) == set(range(CAPACITY)) - {3}
    assert np.flatnonzero(restarted._ring.priorities == 0).tolist() == [3]


def test_a_batch_with_vanished_entries_does_not_call_them_back(lineage: Lineage, rng: np.random.Generator) -> None:
    lineage.add(CAPACITY)
    lineage.buffer.refresh()
    batch = lineage.buffer.uniform(200, rng)
    lineage.exclude(3)
    lineage.buffer.refresh()

    lineage.buffer.update_priorities(batch, np.full(200, 6.5))

    assert lineage.buffer._ring.priorities[3] == 0
