import time
from collections.abc import Mapping
from dataclasses import replace

import pytest
from confluent_kafka.cimpl import NewTopic

from ol0.config import KafkaConfig, Settings
from ol0.errors import StreamError
from ol0.kafka import topic_admin
from ol0.kafka.lineage import Lineage
from ol0.kafka.logs.questions import describe
from ol0.kafka.ports import Log
from ol0.kafka.sending.record_sender import RecordSender
from ol0.kafka.topic_changes import AddPartitions, AlterConfig, CreateTopic, MorePartitions
from ol0.records import Partition
from support.examples import DECISION


def with_partitions(settings: Settings, partitions: Mapping[str, int]) -> Settings:
    return settings.model_copy(
        update={"kafka": settings.kafka.model_copy(update={"partitions": {**settings.kafka.partitions, **partitions}})}
    )


def test_apply_makes_every_topic_and_its_dead_letters_and_a_second_time_finds_nothing_to_do(settings: Settings) -> None:
    prefix = settings.kafka.topic_prefix
    changes = topic_admin.plan(settings)
    created = {change.topic for change in changes if isinstance(change, CreateTopic)}
    assert {f"{prefix}.decisions.v1", f"{prefix}.decisions.v1.dlq", f"{prefix}.state.v1"} <= created
    assert f"{prefix}.state.v1.dlq" not in created

    topic_admin.apply(settings, changes)

    assert topic_admin.plan(settings) == []
    topic_admin.apply(settings, changes)
    assert topic_admin.plan(settings) == []


def test_a_plan_changes_nothing(settings: Settings) -> None:
    assert topic_admin.plan(settings) == topic_admin.plan(settings) != []


def test_settings_and_partitions_that_differ_are_brought_in_line(settings: Settings) -> None:
    # Given a topic that somebody made by hand, in the broker's default form
    lineage = Lineage.of(settings.kafka)
    topic = lineage.topics.full("decisions")
    client = lineage.clients.admin()
    client.create_topics([NewTopic(topic, 1, 1)])[topic].result(10)
    declared = with_partitions(settings, {"decisions": 3})
    with pytest.raises(StreamError, match=r"message.timestamp.type has to be LogAppendTime.*`ol0 topics apply`"):
        topic_admin.check_stamps(lineage, ["decisions"])

    changes = [change for change in topic_admin.plan(declared) if change.topic == topic]
    kinds = [type(change) for change in changes]
    assert kinds == [AddPartitions, AlterConfig]
    assert "1 -> 3" in str(changes[0])
    assert "message.timestamp.type CreateTime -> LogAppendTime" in str(changes[1])
    topic_admin.apply(declared, changes)

    assert [change for change in topic_admin.plan(declared) if change.topic == topic] == []
    topic_admin.check_stamps(lineage, ["decisions"])


def test_partitions_are_never_taken_away(settings: Settings) -> None:
    more = with_partitions(settings, {"decisions": 3})
    topic_admin.apply(more, topic_admin.plan(more))
    changes = topic_admin.plan(settings)
    assert changes == [
        MorePartitions(f"{settings.kafka.topic_prefix}.decisions.v1", 3, 1),
        MorePartitions(f"{settings.kafka.topic_prefix}.decisions.v1.dlq", 3, 1),
    ]
    assert "set kafka.partitions to 3" in str(changes[0])
    topic_admin.apply(settings, changes)
    assert topic_admin.plan(settings) == changes


def test_source_partitions_come_with_the_first_offset_of_their_logs(settings: Settings, lineage: Lineage) -> None:
    RecordSender(lineage).send_all([DECISION, replace(DECISION, turn=3)])
    topic = lineage.topics.full("decisions")
    (topic_id,) = (described.topic_id for described in describe(lineage.clients.admin(), [topic], 10).values())
    assert topic_admin.source_partitions(settings, ["decisions"]) == {Partition(topic, 0): Log(topic_id, 0, 2)}


def test_source_partitions_of_a_missing_topic_name_the_command_that_makes_it(settings: Settings) -> None:
    with pytest.raises(StreamError, match="ol0 topics apply"):
        topic_admin.source_partitions(settings, ["decisions"])


def test_a_broker_that_does_not_answer_is_said_within_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic_admin, "TIMEOUT_S", 0.5)
    began = time.monotonic()
    with pytest.raises(StreamError, match=r"list of topics: .*bootstrap_servers"):
        topic_admin.plan(Settings(kafka=KafkaConfig(bootstrap_servers="127.0.0.1:1")))
    assert time.monotonic() - began < 5
