"""Faults 6 and 7: a consumer that sleeps through its session, and rebalance after rebalance."""

import os
import signal
from pathlib import Path
from threading import Event

from integration.faults.proxy import Call, StoreProxy
from ol0.stacks.native import NativeStack
from ol0.stacks.valkey import Valkey
from testbed.faults.extra_member import join_and_leave
from testbed.faults.world import Pair, World
from testbed.waiting import wait_until

SESSION = {"session.timeout.ms": 2_000, "heartbeat.interval.ms": 500}
QUICK = {"heartbeat.interval.ms": 200, "session.timeout.ms": 20_000}
"""Members learn of a rebalance by their heartbeats, and none is expelled because the machine is busy."""
VISITS = int(os.environ.get("OL0_VISITS", "15"))
"""Each is four rebalances: the cooperative protocol takes one to give up partitions and one to hand them on."""
WITHIN_S = 60.0


def test_a_consumer_that_was_stopped_past_its_session_is_fenced_and_nothing_of_it_counts_twice(
    servers: Pair, store: Valkey, tmp_path: Path
) -> None:
    world = World(servers, tmp_path / "lineage", seed=6, kafka={"options": SESSION})
    armed, held, release = Event(), Event(), Event()

    def hold(call: Call) -> None:
        if armed.is_set() and "apply" in call.scripts:
            held.set()
            release.wait(WITHIN_S)

    with StoreProxy(store.port) as proxy, world.workers(environments={"0": {"OL0_REDIS__URL": proxy.url}}) as workers:
        proxy.before = hold
        world.start_traffic(150)
        world.wait_for_more_decisions(300)

        # Given a process that stops with a batch in its hands
        armed.set()
        assert held.wait(WITHIN_S)
        workers.send("0", signal.SIGSTOP)
        before = world.next_offsets()

        # When the other one has taken over every partition, and the first one wakes up
        wait_until(lambda: all(offset > before[name] for name, offset in world.next_offsets().items()), WITHIN_S)
        armed.clear()
        release.set()
        workers.send("0", signal.SIGCONT)

        # Then it is refused
        wait_until(lambda: "a newer owner has this partition" in workers.said("0"), WITHIN_S)
        world.wait_for(lambda counters: counters.examples > world.settings.online_learning.replay_size)
        world.stop_traffic()
        world.settle()
    world.audit()


def test_rebalance_after_rebalance_loses_nothing(stack: NativeStack, tmp_path: Path) -> None:
    world = World(stack, tmp_path, seed=7, kafka={"options": QUICK})
    with world.workers() as workers:
        world.start_traffic(150)
        world.wait_for_more_decisions(50)
        took_part = sum(join_and_leave(world.settings, seconds=0.2) for _ in range(VISITS))
        world.wait_for(lambda counters: counters.examples > world.settings.online_learning.replay_size)
        world.stop_traffic()
        world.settle()
        assert sum(workers.restarts.values()) == 0
    world.audit()
    assert took_part == VISITS
