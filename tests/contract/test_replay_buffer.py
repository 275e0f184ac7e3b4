import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import SecretStr
from redis import Redis

from contract.store_calls import commit, due_windows
from ol0.config import RedisConfig
from ol0.errors import NothingToDraw, StoreError
from ol0.records import Partition
from ol0.replay.anchors import AnchorStore
from ol0.replay.buffer import FETCHED, Batch, ReplayBuffer
from ol0.replay.connection import connect
from ol0.replay.exclusion import Exclusion
from ol0.replay.layout import PRIORITY_RUN, Key, store_key
from ol0.replay.protocol import Arrivals, ClosedWindow
from ol0.replay.script_runner import Scripts
from ol0.replay.store import ReplayStore
from ol0.stacks.valkey import Valkey

DECISIONS = Partition("t.decisions.v1", 0)
CAPACITY = 8
ALPHA, BETA = 0.6, 0.4


class Lineage:
    """A store with one partition, into which examples can be put."""

    def __init__(self, client: Redis, prefix: str, capacity: int = CAPACITY) -> None:
        self.client, self.prefix, self.capacity = client, prefix, capacity
        self.store = ReplayStore(client, prefix)
        self.incarnation = self.store.register({DECISIONS: 0}, capacity, 2 * capacity)
        self.buffer = ReplayBuffer(client, prefix, self.incarnation, epsilon=0.5)
        self.anchors = AnchorStore(client, prefix)
        self.exclusion = Exclusion(client, prefix)
        self.added = 0

    def add(self, count: int) -> None:
        """Example n has the payload "n" and the reward n / 100."""
        numbers = range(self.added, self.added + count)
        claim = self.store.claim(DECISIONS)
        batch = Arrivals(
            watermark_ms=numbers.stop,
            patience_ms=1,
            decision_keys=b"".join(number.to_bytes(16) for number in numbers),
            deadlines="".join(f"{number + 1:013d}" for number in numbers),
            payloads=[b"%d" % number for number in numbers],
            targets=b"",
            feedback=b"",
            counts={"decisions": count},
        )
        self.store.apply(DECISIONS, claim, claim.next_offset + 1, batch).result()
        while due := due_windows(self.store, self.capacity):
            closed = [ClosedWindow(w.decision_key, int(w.head) / 100, b"outcome") for w in due.windows]
            commit(self.store, due.sequence, closed, {})
        self.added = numbers.stop

    def exclude(self, *payloads: int) -> None:
        """Takes examples out behind the buffer's back."""
        self.exclusion.exclude(self.exclusion.examples(lambda payload: int(payload) in payloads))


@pytest.fixture
def lineage(client: Redis, prefix: str) -> Lineage:
    return Lineage(client, prefix)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def numbers(payloads: tuple[bytes, ...]) -> list[int]:
    return [int(payload) for payload in payloads]


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


def test_errors_that_are_not_finite_are_refused(lineage: Lineage, rng: np.random.Generator) -> None:
    lineage.add(1)
    lineage.buffer.refresh()

    with pytest.raises(ValueError, match="finite"):
        lineage.buffer.update_priorities(lineage.buffer.uniform(1, rng), [np.nan])


def test_another_incarnation_is_not_learnt_from(lineage: Lineage, client: Redis, prefix: str) -> None:
    with pytest.raises(StoreError, match="incarnation"):
        ReplayBuffer(client, prefix, "other", epsilon=0.5).refresh()


def test_anchors_come_back_as_they_went_in_and_may_be_added_twice(lineage: Lineage) -> None:
    anchors = [(b"first", 1.0), (b"second", 0.25)]

    lineage.anchors.add_anchors(anchors)
    lineage.anchors.add_anchors(anchors)

    assert lineage.buffer.anchors() == anchors


def test_other_anchors_are_refused_and_the_first_ones_stay(lineage: Lineage) -> None:
    lineage.anchors.add_anchors([(b"first", 1.0)])

    with pytest.raises(StoreError, match="1 other anchors"):
        lineage.anchors.add_anchors([(b"other", 1.0)])
    assert lineage.buffer.anchors() == [(b"first", 1.0)]


def test_live_traffic_never_evicts_anchors(lineage: Lineage) -> None:
    lineage.anchors.add_anchors([(b"first", 1.0)])
    lineage.add(3 * CAPACITY)

    assert lineage.buffer.anchors() == [(b"first", 1.0)]


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
