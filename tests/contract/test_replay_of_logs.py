"""What comes out is a function of the logs: how they are cut into batches and interleaved cannot be seen in it."""

from collections.abc import Callable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from contract.store_comparison import compare
from contract.store_world import Sizes, World
from contract.traffic import PARTITIONS
from ol0.config import StreamingConfig
from ol0.records import Partition
from ol0.replay.layout import Key, store_key
from testbed.reference_store import reference

# Limits by user and filters too: they count when windows close, and not when records arrive.
CONFIG = StreamingConfig(
    reward_window_s=30, allowed_lateness_s=2, early_skew_s=1, user_rate_limit=1, min_confidence=0.3, missing_reward=0.5
)
LONG_MS = 400_000

partitions = st.sampled_from(PARTITIONS)
reads = st.tuples(partitions, st.integers(1, 40))
closes = st.none()  # windows are closed at this moment


def lived(client: Redis, prefix: str, seed: int, schedule: list[tuple[Partition, int] | None]) -> World:
    """A store that took the same logs in, in this order and these batches, and then whatever was left."""
    world = World(client, prefix, seed, CONFIG, Sizes(20, 10**6))
    for _ in range(8):
        world.traffic.decide(6)
        world.pass_time(10_000)
    world.pass_time(LONG_MS)
    world.tick(PARTITIONS)
    for step in schedule:
        if step is None:
            world.close()
        else:
            world.read(*step)
    world.drain()
    return world


@settings(
    max_examples=20,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(seed=st.integers(0, 10**6), schedule=st.lists(st.one_of(reads, reads, closes), max_size=60))
def test_neither_cuts_nor_interleaving_can_be_seen_in_what_comes_out(
    client: Redis, new_prefix: Callable[[], str], seed: int, schedule: list[tuple[Partition, int] | None]
) -> None:
    first, second = (lived(client, new_prefix(), seed, steps) for steps in ([], schedule))

    assert first.logs == second.logs
    compare(first, reference(first.logs, CONFIG))
    for name in (Key.PRIORITIES, Key.ENTRIES):
        assert client.dump(store_key(first.prefix, name)) == client.dump(store_key(second.prefix, name))
    assert client.hgetall(store_key(first.prefix, Key.PAYLOADS)) == client.hgetall(
        store_key(second.prefix, Key.PAYLOADS)
    )
    assert first.published == second.published
    assert sorted(first.published) == list(range(len(first.published))), "numbers without a hole"
    client.delete(*first.keys(), *second.keys())
