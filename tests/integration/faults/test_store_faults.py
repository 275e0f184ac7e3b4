"""Faults 2 to 5: the store is killed in a script, loses its replies, goes back in time, and is wiped."""

import os
import random
import shutil
import signal
from pathlib import Path
from threading import Event

import pytest

from integration.faults.proxy import Call, StoreProxy
from ol0.replay.layout import Key, store_key
from ol0.stacks.valkey import Valkey
from testbed.faults.world import Pair, World
from testbed.processes import ol0
from testbed.waiting import is_alive, wait_until

KILLS = 6
LARGE_BYTES = 4_000
"""Three times what comes in one round when nobody is behind."""
LONGEST_SCRIPT_S = 0.001
LOST_REPLIES = {"apply": 25, "commit": 10}
MOST_RESTORATIONS = 3
WITHIN_S = 60.0


def through(proxy: StoreProxy) -> dict[str, dict[str, str]]:
    """Both workers reach the store by the proxy alone."""
    return {member: {"OL0_REDIS__URL": proxy.url} for member in ("0", "1")}


def test_kill_9_of_the_store_in_the_middle_of_a_script(servers: Pair, store: Valkey, tmp_path: Path) -> None:
    rng, armed = random.Random(2), Event()
    world = World(servers, tmp_path / "lineage", seed=2)

    def kill(call: Call) -> None:
        """The script runs for up to a millisecond from here on."""
        if armed.is_set() and "apply" in call.scripts and call.size > LARGE_BYTES:
            armed.clear()
            Event().wait(rng.uniform(0, LONGEST_SCRIPT_S))
            os.kill(store.pid, signal.SIGKILL)

    with StoreProxy(store.port) as proxy, world.workers(environments=through(proxy)) as workers:
        proxy.after = kill
        world.start_traffic(300)
        for _ in range(KILLS):
            world.wait_for_more_decisions(100)
            workers.send("0", signal.SIGSTOP)  # what it cannot take in makes its next script a large one
            world.wait_for_more_sent(600)
            armed.set()
            workers.send("0", signal.SIGCONT)
            wait_until(lambda: not is_alive(store.pid), WITHIN_S)
            store.stop()
            store.start()
        world.stop_traffic()
        world.settle()
    world.audit()


def test_a_reply_that_is_lost_after_its_script_ran_makes_a_repeat_that_changes_nothing(
    servers: Pair, store: Valkey, tmp_path: Path
) -> None:
    rng = random.Random(3)
    world = World(servers, tmp_path / "lineage", seed=3)
    with StoreProxy(store.port) as proxy, world.workers(environments=through(proxy)):
        proxy.swallows = lambda call: bool(LOST_REPLIES.keys() & call.scripts) and rng.random() < 0.2
        world.start_traffic(250)
        wait_until(
            lambda: all(len(proxy.swallowed.get(name, [])) >= count for name, count in LOST_REPLIES.items()), WITHIN_S
        )
        world.wait_for(lambda counters: counters.examples > world.settings.online_learning.replay_size)
        world.stop_traffic()
        world.settle()
    world.audit()
    assert any(b"OK" in reply for reply in proxy.swallowed["apply"])
    assert any(b"DUP" in reply for reply in proxy.answers["apply"])
    assert any(b"STALE" in reply for reply in proxy.answers["commit"])


def test_a_store_that_comes_back_with_an_older_file_makes_a_gap_and_the_workers_go_back(
    servers: Pair, store: Valkey, tmp_path: Path
) -> None:
    # Sleepers that the group has given up would claim anew, and meet no gap.
    patient = {"options": {"session.timeout.ms": 60_000}}
    world = World(servers, tmp_path / "lineage", seed=4, kafka=patient)
    data, older = tmp_path / "valkey/data", tmp_path / "older"
    with world.workers() as workers:
        world.start_traffic(250)
        world.wait_for(lambda counters: counters.outcomes > 300)
        shutil.copytree(data, older)  # as a backup would: whatever stands in the file at this moment
        behind = world.counters()
        world.wait_for(lambda counters: counters.outcomes > behind.outcomes + 300)

        # Workers that know the newer store, and that sleep through its restoration. Who has nothing under way meets no
        # gap, so it is done again until one does.
        for _ in range(MOST_RESTORATIONS):
            for member in workers.pids:
                workers.send(member, signal.SIGSTOP)
            os.kill(store.pid, signal.SIGKILL)
            store.stop()
            shutil.rmtree(data)
            shutil.copytree(older, data)
            store.start()
            assert world.counters().outcomes < behind.outcomes + 200
            for member in workers.pids:
                workers.send(member, signal.SIGCONT)
            world.wait_for(lambda counters: counters.outcomes > behind.outcomes + 300)
            if any("gap, going back" in workers.said(member) for member in workers.pids):
                break

        world.wait_for(lambda counters: counters.examples > world.settings.online_learning.replay_size)
        world.stop_traffic()
        world.settle()
        said = "".join(map(workers.said, workers.pids))
    world.audit()
    assert "gap, going back" in said
    assert "GAP (the store has" in said


def test_a_wiped_store_is_refused_with_the_command_that_helps_and_rebuilt_byte_for_byte(
    servers: Pair, tmp_path: Path
) -> None:
    world = World(servers, tmp_path / "lineage", seed=5)
    with world.workers() as workers:
        world.start_traffic(250)
        world.wait_for(lambda counters: counters.examples > world.settings.online_learning.replay_size)
        world.stop_traffic()
        world.settle()
        ring, payloads, counters = (
            world.ring(),
            world.redis.hgetall(store_key(world.prefix, Key.PAYLOADS)),
            world.counters(),
        )

        # When it is wiped, then nobody goes on as if it had always been empty
        world.redis.flushall()
        wait_until(lambda: all("`ol0 replay rebuild`" in workers.said(member) for member in ("0", "1")), WITHIN_S)
        assert not world.redis.dbsize()

        # And when it is rebuilt, then it holds the same, and nothing is published a second time
        done = ol0("replay", "rebuild", "--apply", "--force", "--config", world.config)
        assert done.returncode == 0, done.stderr
        world.settle()
        assert (world.ring(), world.redis.hgetall(store_key(world.prefix, Key.PAYLOADS))) == (ring, payloads)
        assert world.counters().outcomes == counters.outcomes
        world.start_traffic(250)
        world.wait_for_more_decisions(300)
        world.stop_traffic()
        world.settle()
    found = world.audit()
    assert found.repeated_outcomes == 0


@pytest.mark.parametrize(
    ("setting", "wrong", "remedy"),
    [
        ("maxmemory-policy", "allkeys-lru", "CONFIG SET maxmemory-policy noeviction"),
        ("maxmemory", "2mb", "a smaller online_learning.replay_size"),
    ],
)
def test_no_feedback_process_starts_on_a_store_that_would_lose_examples(
    servers: Pair, tmp_path: Path, setting: str, wrong: str, remedy: str
) -> None:
    world = World(servers, tmp_path / "lineage")
    world.redis.config_set(setting, wrong)
    done = ol0("feedback", "--config", world.config)
    assert done.returncode != 0
    assert remedy in " ".join((done.stdout + done.stderr).split())
    checked = ol0("config", "check", "--config", world.config)
    assert (checked.returncode, remedy in " ".join(checked.stdout.split())) == (1, True)
