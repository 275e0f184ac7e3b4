"""Partitions that bring nothing: ticks for those without traffic, and the reasons of the others."""

import time

import pytest
from confluent_kafka import TopicPartition
from structlog.testing import capture_logs

from integration.kafka.conftest import Start
from ol0.config import Settings, StreamingConfig
from ol0.errors import StreamError
from ol0.kafka.lineage import Lineage
from ol0.kafka.logs import holdups
from ol0.kafka.sending.record_sender import RecordSender
from ol0.operator.store.holdups import find_holdups
from ol0.records import Tick
from ol0.replay.counters import Counters
from ol0.replay.stats import PartitionState, StoreStats
from support.examples import DECISION
from support.kafka_log import read_messages
from support.memory_sink import TIMEOUT_S, MemorySink, decisions, work_until


def test_silent_partitions_get_ticks_with_the_times_of_this_process_and_of_the_broker(
    lineage: Lineage, start: Start
) -> None:
    sink = MemorySink()
    streaming = StreamingConfig(tick_interval_s=0.2, batch_wait_s=0.05)
    loop = start(sink, sources=("decisions", "feedback.user"), streaming=streaming)
    work_until(loop, lambda: len(sink.records) >= 6)
    times = [source.record.time_ms for source in sink.records if isinstance(source.record, Tick)]
    assert len(times) == len(sink.records)
    assert all(time_ms is not None and abs(time_ms / 1000 - time.time()) < 60 for time_ms in times)
    assert all(abs(source.append_time_ms / 1000 - time.time()) < 60 for source in sink.records)
    assert all(source.is_stamped for source in sink.records)
    assert len(sink.offsets) == 2
    assert min(sink.offsets.values()) >= 2


def test_a_partition_with_traffic_and_a_partition_that_is_full_get_no_ticks(lineage: Lineage, start: Start) -> None:
    sink = MemorySink()
    sink.full = True
    RecordSender(lineage).send_all(decisions(1))
    loop = start(sink, streaming=StreamingConfig(tick_interval_s=0.1, batch_wait_s=0.05))
    work_until(loop, lambda: sink.refused > 10)
    before = len(read_messages(lineage, lineage.topics.full("decisions")))  # a slow broker's first answer lets one in
    work_until(loop, lambda: sink.refused > 30)
    assert len(read_messages(lineage, lineage.topics.full("decisions"))) == before


def test_where_the_harness_is_the_clock_nothing_is_written(lineage: Lineage, start: Start) -> None:
    sink = MemorySink()
    loop = start(sink, streaming=StreamingConfig(clock="ticks", tick_interval_s=0.05, batch_wait_s=0.05))
    work_until(loop, lambda: sink.idles > 10)
    assert read_messages(lineage, lineage.topics.full("decisions")) == []


def test_a_transaction_that_others_leave_open_is_named_as_what_time_waits_for(
    settings: Settings, lineage: Lineage, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ol0.kafka.logs.holdups.SILENT_S", 0.3)
    monkeypatch.setattr("ol0.kafka.logs.holdups.LOOK_EVERY_S", 0.1)
    monkeypatch.setattr("ol0.kafka.logs.holdups.SAY_EVERY_S", 0.1)  # at first its reader may be behind
    monkeypatch.setattr("ol0.kafka.clients.TRANSACTION_TIMEOUT_MS", 120_000)  # it stays open until it is aborted
    sink, topic = MemorySink(), lineage.topics.full("decisions")

    def shown() -> str:
        (place,) = sink.offsets
        stats = stats_of({str(place): (sink.offsets[place], 0), "t.ahead.v1[0]": (0, 60_000)})
        return find_holdups(settings, stats)[str(place)]

    with capture_logs() as lines:
        loop = start(sink, streaming=StreamingConfig(tick_interval_s=0.1, batch_wait_s=0.05))
        work_until(loop, lambda: sink.records)
        foreign = lineage.clients.transactional_producer("foreign", lineage.clients.log_error)
        foreign.init_transactions(TIMEOUT_S)
        foreign.begin_transaction()
        foreign.produce(topic, lineage.codec.encode(DECISION), partition=0)
        foreign.flush(TIMEOUT_S)

        open_one = "another producer's transaction is open"
        work_until(loop, lambda: [line for line in lines if open_one in line.get("reason", "")])
        work_until(loop, lambda: open_one in shown())
    foreign.abort_transaction(TIMEOUT_S)

    said = [line for line in lines if open_one in line.get("reason", "")]
    assert {(line["event"], line["partition"]) for line in said} == {("nothing comes, time waits", f"{topic}[0]")}
    read = len(sink.records)
    work_until(loop, lambda: len(sink.records) > read)
    assert {type(source.record) for source in sink.records} == {Tick}, "what was aborted does not count"


def stats_of(partitions: dict[str, tuple[int, int]]) -> StoreStats:
    """A store of partitions with these next offsets and watermarks, and else empty."""
    states = tuple(PartitionState(name, 1, *state) for name, state in partitions.items())
    return StoreStats("store", Counters.parse({}, 0), 0, 0, 0, None, 0, 0, states, 0, 0, 0)


def test_a_consumer_that_gives_nothing_though_there_is_more_ends_the_loop(
    lineage: Lineage, start: Start, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LOOK_EVERY_S", "SILENT_S", "STALLED_S"):
        monkeypatch.setattr(holdups, name, 0.5)
    # Given a loop that has taken in what there was
    sender, sink = RecordSender(lineage), MemorySink()
    loop = start(sink, streaming=settings.streaming.model_copy(update={"clock": "wall", "tick_interval_s": 0.5}))
    sender.send_all(decisions(1))
    work_until(loop, lambda: sink.turns() == [0])
    # When its consumer falls silent, as librdkafka's did after brokers had died
    (owned,) = loop.owned
    loop._consumer.pause([TopicPartition(owned.topic, owned.number)])
    sender.send_all(decisions(1, first=1))
    # Then the loop ends, so that it is started again; the next one goes on
    with pytest.raises(StreamError, match=r"has given nothing of .*decisions\.v1\[0\] for \d+ s"):
        work_until(loop, lambda: False)
    loop.close()
    work_until(start(sink), lambda: sink.turns() == [0, 1])
