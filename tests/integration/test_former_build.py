"""A lineage of a former build, with a candidate on trial, goes on under this one.

Its records are the former build's own bytes (``data/former_build/make_records.py``). ``make upgrade-drill`` does the
same with both builds at once, where the clone has the commit.
"""

import base64
import gzip
import json
from pathlib import Path
from threading import Event, Thread

import pytest

from ol0.config import load_settings
from ol0.controller.checkpoint import read_checkpoint
from ol0.kafka.lineage import Lineage
from ol0.kafka.transactional_writer import read_snapshots
from ol0.learning.progress import Progress
from ol0.operator.setup.lineage import apply_topics
from ol0.records import Phase, ServingState, Transition
from ol0.sdk.router import Router
from ol0.simulation.demo import demo_settings
from ol0.simulation.users import UserHabits, Users
from ol0.stacks.native import NativeStack
from ol0.supervisor.service_commands import SERVICES
from support.kafka_log import put_bytes
from testbed.lineages import Journal, Place, services, small_split, write_settings
from testbed.waiting import wait_until

RECORDS = Path(__file__).parents[1] / "data" / "former_build" / "records.json.gz"
HABITS = UserHabits(rate_per_s=200.0)
FOR_EVER = 10**9
WITHIN_S = 90.0


@pytest.fixture
def place(stack: NativeStack, tmp_path: Path) -> Place:
    """Topics with what the former build left on them, and a store of this build."""
    former = json.loads(gzip.decompress(RECORDS.read_bytes()))
    for name, data in former["files"].items():
        (tmp_path / name).write_bytes(base64.b64decode(data))
    tree = {name: dict(section) for name, section in demo_settings(0, HABITS).items()}
    stage = {"share": 0.5, "harm_only": True, "min_decisions": 40}
    tree["safety"] |= {"stages": [stage], "max_stage_s": 1e9}  # the trial has lasted since the records were made
    config = write_settings(stack, tmp_path, tree)
    settings, base = load_settings(config), (tmp_path / "base.safetensors").read_bytes()
    apply_topics(settings)
    for name, key, value in former["records"]:
        put_bytes(Lineage.of(settings.kafka), name, base64.b64decode(value), base64.b64decode(key))
    return Place(config, settings, read_checkpoint(base), base, small_split())


def test_every_service_reads_the_former_builds_snapshot_and_its_candidate_is_judged_and_released(place: Place) -> None:
    with services(place, SERVICES), Journal(place.settings, "releases", "transitions") as journal:
        (before,) = journal.at_least(1, ServingState)
        assert before.staged is not None
        candidate = before.staged.release
        with Router.open(place.settings) as host:
            users, stop = Users(host, place.split.stream, place.split.base, HABITS, 0), Event()
            asking = Thread(target=users.run, args=(FOR_EVER, stop))
            asking.start()
            try:
                after = journal.first(ServingState, lambda it: it.live.digest == candidate.digest, within_s=WITHIN_S)
                wait_until(lambda: host.serving == (after.sequence, candidate.digest), WITHIN_S)
            finally:
                stop.set()
                asking.join()
        assert after.sequence == before.sequence + 1
        end = journal.first(Transition, lambda it: it.to_phase is Phase.LIVE)
        assert (end.digest, "canary says approve at stage 1" in end.cause) == (candidate.digest, True)

        def released() -> tuple[str, ...]:
            return Progress.unpack(read_snapshots("learner", place.lineage())["learner"].body).releases

        wait_until(lambda: released() == (candidate.digest,), WITHIN_S)
