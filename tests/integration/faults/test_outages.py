"""Fault 12: broker or store away for a while, and a dead-letter topic that takes nothing."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from time import monotonic

from ol0.kafka.dead_letters.reader import once, read_letters
from ol0.operator.setup.lineage import apply_topics
from ol0.stacks.native import NativeStack
from ol0.stacks.valkey import Valkey
from support.kafka_log import put_bytes
from testbed.faults.memory import Peak
from testbed.faults.world import Pair, Workers, World
from testbed.restarts import restart_kafka
from testbed.unwritable import make_unwritable
from testbed.waiting import wait_until

OUTAGE_S = float(os.environ.get("OL0_OUTAGE_S", "12"))
"""Seconds; 60 are those of the guarantee, 12 are longer than every wait of a worker, ten for acknowledgements."""
BOUND_MIB = 250.0
"""Of one feedback process: about 100 when all is well."""
WITHIN_S = 90.0


def pass_outage(workers: Workers) -> Peak:
    """Lets the time of an outage pass; how much memory any process had meanwhile."""
    peak, end_s = Peak(lambda: workers.pids), monotonic() + OUTAGE_S

    def over() -> bool:
        peak.look()
        return monotonic() > end_s

    wait_until(over, OUTAGE_S + WITHIN_S)
    return peak


def catch_up(world: World, workers: Workers, peak: Peak) -> None:
    """Everything comes in by itself, also what was sent meanwhile, in bounded memory."""
    filled = world.settings.online_learning.replay_size

    def filling() -> bool:
        peak.look()
        return world.counters().examples > filled

    wait_until(filling, WITHIN_S)
    wait_until(lambda: all(workers.is_ready(member) for member in ("0", "1")), WITHIN_S)
    world.stop_traffic()
    world.settle()
    assert peak.mib < BOUND_MIB


def have_outage(world: World, leave: Callable[[], None], come_back: Callable[[], None]) -> None:
    with world.workers() as workers:
        world.start_traffic(150)
        world.wait_for_more_decisions(300)
        wait_until(lambda: all(workers.is_ready(member) for member in ("0", "1")), WITHIN_S)
        leave()
        peak = pass_outage(workers)
        come_back()
        catch_up(world, workers, peak)
    world.audit()


def test_a_store_that_is_away_loses_nothing_and_takes_no_memory(servers: Pair, store: Valkey, tmp_path: Path) -> None:
    def come_back() -> None:
        store.stop()
        store.start()

    have_outage(World(servers, tmp_path / "lineage", seed=12), lambda: os.kill(store.pid, signal.SIGKILL), come_back)


def test_a_broker_that_is_away_loses_nothing_and_takes_no_memory(tmp_path: Path) -> None:
    with NativeStack(tmp_path / "stack") as stack:
        world = World(stack, tmp_path / "lineage", seed=13)
        have_outage(world, lambda: os.kill(stack.brokers[0].pid, signal.SIGKILL), lambda: restart_kafka(stack))


def test_dead_letters_that_cannot_be_written_hold_up_the_work_and_lose_nothing(
    stack: NativeStack, tmp_path: Path
) -> None:
    world = World(stack, tmp_path, seed=14)
    buried = world.lineage.topics.dead_letter("decisions")
    with world.workers() as workers:
        world.start_traffic(150)
        world.wait_for_more_decisions(300)
        make_unwritable(world.lineage, buried, "too small")
        put_bytes(world.lineage, "decisions", b"garbage")

        # Whoever comes to it stops, says which topic is to blame, and stops again when it is started again
        complaint = f"did not get into {buried}"
        wait_until(lambda: sum(workers.said(member).count(complaint) for member in ("0", "1")) >= 3, WITHIN_S)
        apply_topics(world.settings)
        catch_up(world, workers, Peak(lambda: workers.pids))
    found = world.audit()
    (letter,) = once(read_letters(world.lineage, ["decisions"]))
    assert letter.source is not None
    assert [(partition.number, offset) for partition, offset in found.bad] == [
        (letter.source.partition, letter.source.offset)
    ]
