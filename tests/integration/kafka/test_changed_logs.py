"""A consume loop whose logs change: new partitions, recreated topics, expired records, cut logs, transactions."""

import time
from dataclasses import replace

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.cimpl import NewPartitions, NewTopic

from integration.kafka.conftest import Start
from ol0.config import StreamingConfig
from ol0.errors import StreamError
from ol0.kafka.lineage import Lineage
from ol0.kafka.logs.questions import describe
from ol0.kafka.sending.record_sender import RecordSender
from ol0.records import Partition
from support.examples import DECISION
from support.memory_sink import TIMEOUT_S, MemorySink, decisions, work_until
from testbed.waiting import wait_until


def test_a_partition_that_is_added_is_read_from_its_beginning_and_gets_ticks(lineage: Lineage, start: Start) -> None:
    # Given a loop, and a second partition that Kafka's own tool adds while it runs
    sink, topic, tool = MemorySink(), lineage.topics.full("decisions"), lineage.clients.admin()
    loop = start(sink, streaming=StreamingConfig(tick_interval_s=0.2, batch_wait_s=0.05))
    work_until(loop, lambda: sink.records)  # a tick came back: its producer knows the topic as it was
    for added in tool.create_partitions([NewPartitions(topic, 2)]).values():
        added.result(TIMEOUT_S)

    # Then it is owned within seconds, and its time goes on
    began = time.monotonic()
    work_until(loop, lambda: sink.offsets.get(Partition(topic, 1), 0) > 0)
    assert time.monotonic() - began < 12


def test_a_topic_that_is_made_anew_while_it_is_read_is_no_longer_read(
    lineage: Lineage, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ol0.kafka.logs.identities.LOOK_EVERY_S", 0.1)
    sink, topic, clients = MemorySink(), lineage.topics.full("decisions"), lineage.clients.admin()
    RecordSender(lineage).send_all(decisions(3))
    loop = start(sink)
    work_until(loop, lambda: sink.turns() == [0, 1, 2])

    for deleted in clients.delete_topics([topic]).values():
        deleted.result(TIMEOUT_S)
    wait_until(lambda: topic not in describe(clients, [topic], TIMEOUT_S), TIMEOUT_S)
    for made in clients.create_topics([NewTopic(topic, 1, 1)]).values():
        made.result(TIMEOUT_S)

    with pytest.raises(StreamError, match="deleted and recreated"):
        work_until(loop, lambda: False)


def test_transaction_markers_take_offsets_and_do_no_harm(lineage: Lineage, start: Start) -> None:
    # Given two records with a commit marker and an aborted one between them
    producer = lineage.clients.transactional_producer("host", lineage.clients.log_error)
    producer.init_transactions(TIMEOUT_S)
    topic = lineage.topics.full("decisions")
    for turn, end in enumerate((producer.commit_transaction, producer.abort_transaction, producer.commit_transaction)):
        producer.begin_transaction()
        producer.produce(topic, lineage.codec.encode(replace(DECISION, turn=turn)))
        producer.flush(TIMEOUT_S)
        end()
    sink = MemorySink()
    loop = start(sink)
    work_until(loop, lambda: len(sink.records) == 2)
    assert [source.offset for source in sink.records] == [0, 4]
    assert sink.offsets == {Partition(topic, 0): 5}


def test_records_that_expired_unread_are_passed_over_and_counted(lineage: Lineage, start: Start) -> None:
    sink, topic, clients = MemorySink(), lineage.topics.full("decisions"), lineage.clients.admin()
    RecordSender(lineage).send_all(decisions(5))
    for deleted in clients.delete_records([TopicPartition(topic, 0, 3)]).values():
        deleted.result(TIMEOUT_S)
    sink.offsets[Partition(topic, 0)] = 0

    work_until(start(sink), lambda: sink.turns() == [3, 4])

    ((expected, log),) = sink.skipped
    assert (expected, log.first_offset) == (0, 3)


def test_where_a_log_was_cut_what_is_written_from_there_on_counts(lineage: Lineage, start: Start) -> None:
    # Given a sink that has read more than the broker has
    sink, place = MemorySink(), Partition(lineage.topics.full("decisions"), 0)
    RecordSender(lineage).send_all(decisions(2))
    sink.offsets[place] = 1_000
    loop = start(sink)
    work_until(loop, lambda: sink.skipped)
    assert sink.offsets[place] == 2

    RecordSender(lineage).send_all(decisions(3, first=2))

    work_until(loop, lambda: sink.turns() == [2, 3, 4])
    assert len(sink.skipped) == 1
