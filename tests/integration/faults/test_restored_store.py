"""A whole lineage goes on after its store came back with an older file, or with nothing (docs/operating.md)."""

import os
import shutil
import signal
from pathlib import Path

from integration.test_restarts import EXAMPLES, SETTINGS
from ol0.operator.setup.lineage import warm_up
from ol0.replay.connection import connect
from ol0.replay.layout import Key, store_key
from ol0.stacks.valkey import Valkey
from support.learning import WITHIN_S, all_sent, learn, outcomes_of
from testbed.faults.world import Pair
from testbed.lineages import bring_in, services
from testbed.processes import ol0
from testbed.waiting import wait_until


def test_after_an_older_file_every_outcome_is_there_once_and_the_next_candidate_is_released(
    servers: Pair, store: Valkey, tmp_path: Path
) -> None:
    place, data, older = bring_in(servers, tmp_path, SETTINGS), tmp_path / "valkey/data", tmp_path / "older"
    learn(place, 0)
    shutil.copytree(data, older)  # as a backup would, while the store runs
    learn(place, 1)
    before = outcomes_of(place)

    # When the store comes back with the older file
    os.kill(store.pid, signal.SIGKILL)
    store.stop()
    shutil.rmtree(data)
    shutil.copytree(older, data)
    store.start()
    assert place.counters().outcomes == EXAMPLES

    # Then the lineage catches up by itself, and learns on
    with services(place, ("feedback",)):
        wait_until(lambda: place.counters().outcomes == 2 * EXAMPLES and all_sent(place), WITHIN_S)
    assert outcomes_of(place) == before
    learn(place, 2)
    assert sorted(outcomes_of(place)) == list(range(3 * EXAMPLES))
    assert place.counters().imbalances() == []


def test_after_a_rebuild_and_a_warm_up_the_lineage_learns_on(servers: Pair, store: Valkey, tmp_path: Path) -> None:
    place = bring_in(servers, tmp_path, SETTINGS)
    learn(place, 0)
    client = connect(place.settings.redis)
    anchors, before = client.dump(store_key(place.prefix, Key.ANCHORS)), outcomes_of(place)
    ring = [client.dump(store_key(place.prefix, name)) for name in (Key.ENTRIES, Key.PAYLOADS)]

    # When the store loses everything
    client.flushall()
    done = ol0("replay", "stats", "--config", place.config)
    assert (done.returncode, "`ol0 replay rebuild`" in done.stderr) == (1, True), done.stderr

    # Then a rebuild and the same warm-up bring back all of it
    wait_until(lambda: ol0("replay", "rebuild", "--apply", "--config", place.config).returncode == 0, WITHIN_S)
    warm_up(place.settings, place.split, tmp_path, seed=0)
    with services(place, ("feedback",)):
        wait_until(lambda: place.counters().outcomes == EXAMPLES and all_sent(place), WITHIN_S)
    assert client.dump(store_key(place.prefix, Key.ANCHORS)) == anchors
    assert [client.dump(store_key(place.prefix, name)) for name in (Key.ENTRIES, Key.PAYLOADS)] == ring
    assert outcomes_of(place) == before
    learn(place, 1)
    assert sorted(outcomes_of(place)) == list(range(2 * EXAMPLES))
