import numpy as np
import pytest
from redis import Redis

from ol0.errors import NothingToDraw, StoreError
from ol0.replay.buffer import FETCHED, ReplayBuffer
from ol0.replay.layout import PRIORITY_RUN, Key, store_key
from ol0.replay.script_runner import Scripts
from support.ring import CAPACITY, Lineage, numbers


def test_an_empty_ring_cannot_be_drawn_from(lineage: Lineage, rng: np.random.Generator) -> None:
    lineage.buffer.refresh()

    assert (lineage.buffer.size, lineage.buffer.examples) == (0, 0)
    with pytest.raises(NothingToDraw, match="empty"):
        lineage.buffer.sample(4, 0.6, 0.4, rng)


def test_a_batch_carries_payloads_with_their_own_rewards(lineage: Lineage, rng: np.random.Generator) -> None:
    lineage.add(5)
    lineage.buffer.refresh()

    batch = lineage.buffer.uniform(100, rng)

    assert set(numbers(batch.payloads)) == set(range(5))
    np.testing.assert_allclose(batch.rewards, np.array(numbers(batch.payloads)) / 100, rtol=1e-6)
    assert batch.weights.tolist() == [1.0] * 100
    assert lineage.buffer.watermark_ms == 5
    assert lineage.buffer.counters().examples == 5


def test_refreshing_in_steps_sees_the_same_ring_as_refreshing_once(
    lineage: Lineage, client: Redis, prefix: str
) -> None:
    for count in (3, 4, 8, 1, 7):  # wraps, exactly fills, and laps the ring
        lineage.add(count)
        lineage.buffer.refresh()
    fresh = ReplayBuffer(client, prefix, lineage.incarnation, epsilon=0.5)
    fresh.refresh()

    assert (fresh.examples, fresh.size) == (lineage.buffer.examples, lineage.buffer.size) == (23, CAPACITY)
    assert fresh._ring.entries.tobytes() == lineage.buffer._ring.entries.tobytes()
    assert fresh._ring.priorities.tobytes() == lineage.buffer._ring.priorities.tobytes()


def test_priorities_reach_the_store_with_the_next_refresh(
    lineage: Lineage, client: Redis, prefix: str, rng: np.random.Generator
) -> None:
    lineage.add(3)
    lineage.buffer.refresh()
    batch = lineage.buffer.uniform(30, rng)
    lineage.buffer.update_priorities(batch, np.full(30, -4.0))

    lineage.buffer.refresh()

    stored = np.frombuffer(client.get(store_key(prefix, Key.PRIORITIES)), "<f4")  # type: ignore[arg-type]
    assert stored[:3].tolist() == [4.5] * 3
    assert client.hget(store_key(prefix, Key.META), "max_priority") == b"4.5"


def test_many_priorities_do_not_wait_for_a_refresh(client: Redis, prefix: str, rng: np.random.Generator) -> None:
    lineage = Lineage(client, prefix, capacity=1_200)
    lineage.add(1_200)
    lineage.buffer.refresh()
    batch = lineage.buffer.uniform(20_000, rng)

    lineage.buffer.update_priorities(batch, batch.slots + 1)

    stored = np.frombuffer(client.get(store_key(prefix, Key.PRIORITIES)), "<f4")  # type: ignore[arg-type]
    assert stored.tolist() == [slot + 1.5 for slot in range(1_200)]


def test_the_store_knows_the_priorities_that_the_learner_knows_whatever_slots_they_are_of(
    client: Redis, prefix: str
) -> None:
    # Runs of neighbours, gaps that are written anew and gaps that are not, and excluded slots among them
    lineage = Lineage(client, prefix, capacity=100)
    lineage.add(130)
    lineage.buffer.refresh()
    for seed in range(20):
        draws = np.random.default_rng(seed)
        lineage.exclude(int(draws.integers(30, 130)))
        lineage.buffer.refresh()
        batch = lineage.buffer.uniform(int(draws.integers(1, 40)), draws)
        lineage.buffer.update_priorities(batch, draws.exponential(size=len(batch)))
        lineage.buffer.flush()

        stored = np.frombuffer(client.get(store_key(prefix, Key.PRIORITIES)), "<f4")  # type: ignore[arg-type]
        assert stored.tolist() == lineage.buffer._ring.priorities.tolist()


RUN = np.array([(0, 2)], PRIORITY_RUN).tobytes()
TWO = np.array([2, 3], "<f4").tobytes()


@pytest.mark.parametrize("words", [[RUN + b"\0", TWO, 3], [RUN, TWO[:-1], 3], [RUN, TWO[:4], 3], [RUN, TWO, "much"]])
def test_malformed_priorities_are_refused_before_anything_is_written(
    lineage: Lineage, client: Redis, prefix: str, words: list[bytes | str | int]
) -> None:
    lineage.add(3)
    before = client.get(store_key(prefix, Key.PRIORITIES)), client.hgetall(store_key(prefix, Key.META))

    assert Scripts(client, prefix).call("prioritise", lineage.incarnation, 0, *words)[0] == b"BAD"
    assert (client.get(store_key(prefix, Key.PRIORITIES)), client.hgetall(store_key(prefix, Key.META))) == before


def test_priorities_of_examples_that_the_store_does_not_have_yet_are_left_out(
    lineage: Lineage, client: Redis, prefix: str
) -> None:
    lineage.add(1)  # as where it went back

    assert Scripts(client, prefix).call("prioritise", lineage.incarnation, 0, RUN, TWO, 3)[0] == b"OK"

    stored = np.frombuffer(client.get(store_key(prefix, Key.PRIORITIES)), "<f4")  # type: ignore[arg-type]
    assert stored.tolist() == [2] + [0] * (CAPACITY - 1)


def test_a_payload_is_fetched_once(lineage: Lineage, client: Redis, prefix: str, rng: np.random.Generator) -> None:
    lineage.add(CAPACITY)
    lineage.buffer.refresh()
    lineage.buffer.uniform(200, rng)
    client.delete(store_key(prefix, Key.PAYLOADS))

    assert set(numbers(lineage.buffer.uniform(200, rng).payloads)) == set(range(CAPACITY))


def test_the_newest_examples_come_newest_first_without_those_that_vanished(lineage: Lineage) -> None:
    assert len(lineage.buffer.newest(3)) == 0
    lineage.add(CAPACITY + 2)
    lineage.buffer.refresh()
    lineage.exclude(8)

    newest = lineage.buffer.newest(4)

    assert numbers(newest.payloads) == [9, 7, 6]
    np.testing.assert_allclose(newest.rewards, [0.09, 0.07, 0.06], rtol=1e-6)
    assert (len(lineage.buffer.newest(100)), newest.weights.tolist()) == (CAPACITY - 1, [1.0] * 3)


def test_every_example_that_may_be_drawn_comes_once(lineage: Lineage, rng: np.random.Generator) -> None:
    assert len(lineage.buffer.drawable()) == 0
    lineage.add(CAPACITY + 2)
    lineage.buffer.refresh()
    lineage.exclude(5)

    vanished = lineage.buffer.drawable()
    lineage.buffer.update_priorities(lineage.buffer.uniform(4, rng), np.arange(4.0))
    lineage.buffer.refresh()
    drawable = lineage.buffer.drawable()

    assert sorted(numbers(vanished.payloads)) == sorted(numbers(drawable.payloads)) == [2, 3, 4, 6, 7, 8, 9]
    np.testing.assert_allclose(drawable.rewards, np.array(numbers(drawable.payloads)) / 100, rtol=1e-6)
    assert drawable.weights.tolist() == [1.0] * (CAPACITY - 1)
    assert len(drawable) == lineage.buffer.size


def test_examples_beyond_the_largest_age_are_not_among_them(lineage: Lineage, client: Redis, prefix: str) -> None:
    lineage.add(5)
    forgetful = ReplayBuffer(client, prefix, lineage.incarnation, epsilon=0.5, max_age_s=0.002)
    forgetful.refresh()
    assert sorted(numbers(forgetful.drawable().payloads)) == [2, 3, 4]


@pytest.mark.parametrize("count", [FETCHED - 1, FETCHED, 2 * FETCHED + 1, 3 * FETCHED - 1])
def test_many_of_them_come_in_several_answers(
    client: Redis, prefix: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lineage = Lineage(client, prefix, count)
    lineage.add(count)
    lineage.buffer.refresh()
    asked, hmget = list[int](), client.hmget

    def counted(key: str, names: list[bytes]) -> object:
        asked.append(len(names))
        return hmget(key, names)

    monkeypatch.setattr(client, "hmget", counted)

    drawable = lineage.buffer.drawable()

    assert sorted(numbers(drawable.payloads)) == list(range(count))
    np.testing.assert_allclose(drawable.rewards, np.array(numbers(drawable.payloads)) / 100, rtol=1e-6)
    assert max(asked) < 2 * FETCHED
    assert lineage.buffer.drawable().payloads == drawable.payloads
    assert sum(asked) == count, "nothing is fetched twice"


def test_new_examples_get_the_largest_priority_so_far(
    lineage: Lineage, client: Redis, prefix: str, rng: np.random.Generator
) -> None:
    lineage.add(1)
    lineage.buffer.refresh()
    lineage.buffer.update_priorities(lineage.buffer.uniform(1, rng), [9.5])
    lineage.buffer.flush()

    lineage.add(1)

    stored = np.frombuffer(client.get(store_key(prefix, Key.PRIORITIES)), "<f4")  # type: ignore[arg-type]
    assert stored[:2].tolist() == [10.0, 10.0]


def test_a_slot_that_was_overwritten_meanwhile_keeps_its_priority(
    lineage: Lineage, client: Redis, prefix: str, rng: np.random.Generator
) -> None:
    # Given a batch with every slot, and three of them overwritten before its priorities come back
    lineage.add(CAPACITY)
    lineage.buffer.refresh()
    batch = lineage.buffer.uniform(200, rng)
    assert set(batch.slots) == set(range(CAPACITY))
    lineage.add(3)

    lineage.buffer.update_priorities(batch, np.full(200, 6.5))
    lineage.buffer.flush()

    stored = np.frombuffer(client.get(store_key(prefix, Key.PRIORITIES)), "<f4")  # type: ignore[arg-type]
    assert stored.tolist() == [1.0] * 3 + [7.0] * (CAPACITY - 3)


def test_an_update_that_comes_after_a_refresh_leaves_overwritten_slots_alone(
    lineage: Lineage, rng: np.random.Generator
) -> None:
    lineage.add(CAPACITY)
    lineage.buffer.refresh()
    batch = lineage.buffer.uniform(200, rng)
    lineage.add(3)
    lineage.buffer.refresh()

    lineage.buffer.update_priorities(batch, np.full(200, 6.5))

    assert lineage.buffer._ring.priorities.tolist() == [1.0] * 3 + [7.0] * (CAPACITY - 3)


def test_errors_that_are_not_finite_are_refused(lineage: Lineage, rng: np.random.Generator) -> None:
    lineage.add(1)
    lineage.buffer.refresh()

    with pytest.raises(ValueError, match="finite"):
        lineage.buffer.update_priorities(lineage.buffer.uniform(1, rng), [np.nan])


def test_another_incarnation_is_not_learnt_from(lineage: Lineage, client: Redis, prefix: str) -> None:
    with pytest.raises(StoreError, match="incarnation"):
        ReplayBuffer(client, prefix, "other", epsilon=0.5).refresh()
