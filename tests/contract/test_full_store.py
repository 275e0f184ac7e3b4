"""A store whose budget is used up waits for its slowest partition, and never for ever."""

import pytest
from redis import Redis

from contract.store_comparison import compare
from contract.store_world import LARGEST_POLL, Sizes, World
from contract.traffic import DECISIONS, PARTITIONS
from ol0.config import StreamingConfig
from testbed.reference_store import reference

CONFIG = StreamingConfig(reward_window_s=30, allowed_lateness_s=2, early_skew_s=1)
MAX_OPEN = 4
LONG_MS = 400_000


@pytest.fixture
def world(client: Redis, prefix: str) -> World:
    """Decisions of a minute, many more than may be open, and then ticks on every partition."""
    made = World(client, prefix, 1, CONFIG, Sizes(64, MAX_OPEN))
    for _ in range(12):
        made.traffic.decide(10)
        made.pass_time(5_000)
    made.pass_time(LONG_MS)
    made.tick(PARTITIONS)
    return made


def fill(world: World) -> None:
    """The partitions of decisions run ahead of those of feedback, until both are refused."""
    for partition in DECISIONS * 20:
        world.read(partition, 7)
    assert world.store.counters().open >= MAX_OPEN
    assert world.seen["full"]


def test_what_fills_the_store_waits_in_kafka_and_keeps_its_place(world: World) -> None:
    fill(world)

    before = dict(world.positions), world.store.counters()
    for partition in DECISIONS:
        world.read(partition, 7)

    assert (world.positions, world.store.counters()) == before


def test_every_round_of_a_full_store_gets_on_until_everything_has_closed(world: World) -> None:
    fill(world)

    while world.remaining():
        before = dict(world.positions)
        for partition in PARTITIONS:
            world.read(partition, 7)
        world.close()
        assert world.positions != before, "every partition was refused, and nobody can free memory: a deadlock"

    world.drain()
    assert world.store.counters().open == 0
    compare(world, reference(world.logs, world.config))


def test_other_partitions_are_let_in_while_decisions_wait(world: World) -> None:
    fill(world)
    refused = dict(world.positions)

    for partition in PARTITIONS:
        if partition not in DECISIONS:
            world.read(partition, LARGEST_POLL)

    assert all(world.positions[it] > refused[it] for it in PARTITIONS if it not in DECISIONS)
