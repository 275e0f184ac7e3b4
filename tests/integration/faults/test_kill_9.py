"""Fault 1: kill -9 of the feedback service."""

import random
from pathlib import Path

from ol0.stacks.native import NativeStack
from testbed.faults.world import World

KILLS = 50


def test_kill_9_of_the_feedback_service_at_50_random_points(stack: NativeStack, tmp_path: Path) -> None:
    rng = random.Random(1)
    world = World(stack, tmp_path, seed=1)
    with world.workers() as workers:
        world.start_traffic(150)
        for number in range(KILLS):
            world.wait_for_more_decisions(rng.randrange(40))
            workers.kill_9(str(number % 2))  # while one of the two starts, the other one dies
        world.stop_traffic()
        world.settle()
        assert sum(workers.restarts.values()) >= KILLS
    world.audit()
