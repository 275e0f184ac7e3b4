"""A broker that was killed comes back with another leader epoch: who asks for offsets learns it from a new client."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ol0.config import KafkaConfig, Settings
from ol0.console.observing.letters import LettersReader
from ol0.console.observing.sources import sources_of
from ol0.errors import StreamError
from ol0.kafka import topic_admin
from ol0.kafka.lineage import Lineage
from ol0.kafka.logs import holdups
from ol0.kafka.logs.holdups import HoldupWatch, StallWatch
from ol0.kafka.logs.questions import Asker
from ol0.records import Partition
from ol0.stacks.native import NativeStack
from support.kafka_log import put_bytes
from testbed.restarts import restart_kafka
from testbed.waiting import wait_until

WITHIN_S = 30.0


@pytest.fixture
def own_stack(tmp_path: Path) -> Iterator[NativeStack]:
    with NativeStack(tmp_path / "stack") as running:
        yield running


def is_answered(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except StreamError:
        return False
    return True


def test_after_its_broker_was_killed_and_came_back_every_watch_gets_answers(
    own_stack: NativeStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given one unread record, and watches that ask at once and report it with the first answer.
    for name in ("LOOK_EVERY_S", "SILENT_S", "STALLED_S"):
        monkeypatch.setattr(holdups, name, 0.0)
    partitions = {"feedback.user": 1}
    settings = Settings(kafka=KafkaConfig(bootstrap_servers=own_stack.bootstrap_servers, partitions=partitions))
    topic_admin.apply(settings, topic_admin.plan(settings))
    lineage = Lineage.of(settings.kafka)
    put_bytes(lineage, "feedback.user", b"a record")
    place = Partition(lineage.topics.full("feedback.user"), 0)
    holdup_watch = HoldupWatch(Asker(lineage.clients.admin), ticking=True)
    holdup_watch.heard(place)
    stall_watch = StallWatch(Asker(lineage.clients.admin))
    ends, letters = sources_of(settings).ends, LettersReader(lineage)
    answered: dict[str, Callable[[], bool]] = {
        "HoldupWatch": lambda: not is_answered(lambda: holdup_watch.look({place: 0})),  # its error is the report
        "StallWatch": lambda: stall_watch.stalled({place: 0}) == [place],
        "ends": lambda: ends([place]) == {place: 1},
        "LettersReader": lambda: is_answered(letters.read),
    }
    for has_answer in answered.values():
        wait_until(has_answer, WITHIN_S)

    os.kill(own_stack.brokers[0].pid, signal.SIGKILL)
    restart_kafka(own_stack)

    for has_answer in answered.values():
        wait_until(has_answer, WITHIN_S)
