import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.cimpl import NewPartitions, NewTopic
from structlog.testing import capture_logs

from integration.kafka.conftest import Start
from ol0.clock import wall_clock_ms
from ol0.config import Settings, StreamingConfig
from ol0.errors import Fenced, Gap, RangeError, StreamError
from ol0.kafka import topic_admin
from ol0.kafka.consume_loop import MAX_GAPS, ConsumeLoop
from ol0.kafka.lineage import Lineage
from ol0.kafka.logs import holdups
from ol0.kafka.logs.questions import describe
from ol0.kafka.messages import Outgoing, write
from ol0.kafka.ports import SourceRecord
from ol0.kafka.sending.record_sender import RecordSender
from ol0.operator.store.holdups import find_holdups
from ol0.records import Decision, Partition, Record, Tick, UserFeedback
from ol0.replay.counters import Counters
from ol0.replay.stats import PartitionState, StoreStats
from support.examples import DECISION, USER_FEEDBACK
from support.kafka_log import put_bytes, read_messages
from support.memory_sink import TIMEOUT_S, MemorySink, decisions, work_until
from testbed.waiting import ManualClock, wait_until


def test_a_restart_goes_on_at_the_offset_of_the_sink(lineage: Lineage, start: Start) -> None:
    # Given a loop that has taken in three records, and Kafka's own offset far away
    sender, sink = RecordSender(lineage), MemorySink()
    sender.send_all(decisions(3))
    first = start(sink)
    work_until(first, lambda: sink.turns() == [0, 1, 2])
    first.close()
    assert sink.released == [Partition(lineage.topics.full("decisions"), 0)]

    # When it comes back
    sender.send_all(decisions(2, first=3))
    began = time.monotonic()
    second = start(sink)
    work_until(second, lambda: len(sink.turns()) == 5)

    # Then nothing is missing, nothing is there twice, and the group has not waited for the old member's session
    assert sink.turns() == [0, 1, 2, 3, 4]
    assert time.monotonic() - began < 5


def test_a_loop_that_died_without_a_word_leaves_nothing_out(lineage: Lineage, start: Start) -> None:
    # Given a loop that polled records and never brought them into the sink
    sender, sink = RecordSender(lineage), MemorySink()
    sender.send_all(decisions(3))
    first = start(sink)
    first._take = lambda messages: len(messages[:0])  # type: ignore[method-assign]
    work_until(first, lambda: first.owned)
    first.step()
    first.close()

    second = start(sink)
    work_until(second, lambda: len(sink.turns()) == 3)
    assert sink.turns() == [0, 1, 2]


def test_bad_records_are_dead_letters_before_the_offset_moves_past_them(lineage: Lineage, start: Start) -> None:
    def check(record: Record) -> None:
        if isinstance(record, Decision) and record.turn == 7:
            raise RangeError("features: 3 numbers; this lineage has 384")

    sender, sink = RecordSender(lineage), MemorySink()
    sender.send_all(decisions(1))
    put_bytes(lineage, "decisions", b"garbage")
    sender.send_all(decisions(1, first=7))
    put_bytes(lineage, "decisions", b"")
    topic = lineage.topics.full("decisions")
    loop = start(sink, check=check)
    work_until(loop, lambda: sink.offsets == {Partition(topic, 0): 4})

    assert sink.turns() == [0]
    letters = read_messages(lineage, lineage.topics.dead_letter("decisions"))
    headers = [dict(letter.headers() or []) for letter in letters]
    assert [header["source_offset"] for header in headers] == [b"1", b"2", b"3"]
    assert [header["stage"] for header in headers] == [b"decode", b"check", b"decode"]
    assert headers[0] == {
        "source_topic": topic.encode(),
        "source_partition": b"0",
        "source_offset": b"1",
        "service": b"feedback",
        "stage": b"decode",
        "error_class": b"ContractError",
        "message": b"first byte 103; a framed Avro record begins with 0",
    }
    assert headers[1]["error_class"] == b"RangeError"
    assert [letter.value() for letter in letters] == [b"garbage", lineage.codec.encode(decisions(1, 7)[0]), b""]


def test_a_topic_that_is_mostly_bad_is_said_aloud_and_one_that_is_all_bad_stops_the_loop(
    lineage: Lineage, start: Start, capfd: pytest.CaptureFixture[str]
) -> None:
    # Given a thousand records that nobody can read
    sink, clock = MemorySink(), ManualClock()
    producer = lineage.clients.producer()
    for _ in range(1_000):
        write(producer, Outgoing(lineage.topics.full("decisions"), None, b"garbage"))
    assert producer.flush(TIMEOUT_S) == 0
    loop = start(sink)
    loop._bad._clock = clock

    # When they are read, then the service goes on, and says what there is
    work_until(loop, lambda: list(sink.offsets.values()) == [1_000])
    said = "".join(capfd.readouterr())
    assert "many records of a topic cannot be used" in said
    assert f"{lineage.topics.full('decisions')}[0]@0" in said

    # When a minute later nothing else has come, though time has, then it stops, with every letter written
    clock.now_s += 60
    RecordSender(lineage).send_ticks(Tick(wall_clock_ms()), [(lineage.topics.full("decisions"), 0)])
    put_bytes(lineage, "decisions", b"garbage")
    with pytest.raises(StreamError, match=r"not one of 1,001 records .*`ol0 dlq list`"):
        work_until(loop, lambda: False)
    assert len(read_messages(lineage, lineage.topics.dead_letter("decisions"))) == 1_001


def test_the_offset_stays_where_a_dead_letter_cannot_be_written(
    lineage: Lineage, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = MemorySink()
    put_bytes(lineage, "decisions", b"garbage")
    loop = start(sink)
    monkeypatch.setattr(type(lineage.topics), "dead_letter", lambda *_: "no.such.topic")
    loop._dead_letters._timeout_s = 1
    with pytest.raises(StreamError, match=r"dead letter of .*decisions\.v1\[0\] at 0 did not get into no\.such\.topic"):
        work_until(loop, lambda: False)
    assert list(sink.offsets.values()) == [0]


def test_a_full_sink_makes_its_partition_wait_and_nothing_is_lost(lineage: Lineage, start: Start) -> None:
    # Given a full sink
    sender, sink = RecordSender(lineage), MemorySink()
    sink.full = True
    sender.send_all(decisions(3))
    loop = start(sink)
    work_until(loop, lambda: loop._held)

    # When more comes in, then it stays in Kafka: the loop holds the one portion that it has
    sender.send_all(decisions(50, first=3))
    refused = sink.refused
    work_until(loop, lambda: sink.refused > refused + 3)
    (portion,) = loop._held.values()
    assert [source.offset for source in portion.records] == list(range(portion.next_offset))
    assert portion.next_offset <= 3
    assert sink.idles >= 3

    # And when there is room again, then everything comes in order
    sink.full = False
    work_until(loop, lambda: len(sink.turns()) == 53)
    assert sink.turns() == list(range(53))
    assert not loop._held


def test_a_full_partition_does_not_hold_back_the_others(lineage: Lineage, start: Start) -> None:
    class HalfFull(MemorySink):
        def take(self, partition: Partition, records: Sequence[SourceRecord], next_offset: int) -> bool:
            return "decisions" not in partition.topic and super().take(partition, records, next_offset)

    sender, sink = RecordSender(lineage), HalfFull()
    sender.send_all([*decisions(3), USER_FEEDBACK])
    loop = start(sink, sources=("decisions", "feedback.user"))
    work_until(loop, lambda: sink.records and loop._held)
    assert [source.record for source in sink.records] == [USER_FEEDBACK]
    sender.send_all([replace(USER_FEEDBACK, feedback_id="feedback-9")])
    work_until(loop, lambda: len(sink.records) == 2)


def test_after_a_gap_the_loop_goes_where_the_sink_is(lineage: Lineage, start: Start) -> None:
    # Given a sink that is put back to offset 1 after it had taken in four records
    sender, sink = RecordSender(lineage), MemorySink()
    sender.send_all(decisions(4))
    loop = start(sink)
    work_until(loop, lambda: len(sink.turns()) == 4)
    sink.gap_at = 1
    sender.send_all(decisions(1, first=4))
    work_until(loop, lambda: len(sink.turns()) == 5)
    assert sink.turns() == [0, 1, 2, 3, 4]


def test_gap_after_gap_is_a_sink_that_contradicts_itself(lineage: Lineage, start: Start) -> None:
    sink = MemorySink()
    sink.apply_error = Gap("never mind")
    RecordSender(lineage).send_all(decisions(1))
    loop = start(sink)
    with pytest.raises(Gap):
        work_until(loop, lambda: False)
    assert len(sink.claims) == MAX_GAPS


def test_a_fenced_worker_stops(lineage: Lineage, start: Start) -> None:
    sink = MemorySink()
    sink.apply_error = Fenced("epoch 3 is older than 4")
    RecordSender(lineage).send_all(decisions(1))
    loop = start(sink)
    with pytest.raises(Fenced, match="epoch 3"):
        work_until(loop, lambda: False)


def test_an_error_of_the_sink_while_partitions_are_assigned_comes_through(lineage: Lineage, start: Start) -> None:
    sink = MemorySink()
    sink.claim_error = Fenced("somebody newer has it")
    loop = start(sink)
    with pytest.raises(Fenced, match="somebody newer"):
        work_until(loop, lambda: False)


def test_a_second_process_of_the_same_name_fences_the_first(lineage: Lineage, start: Start) -> None:
    sink = MemorySink()
    first = start(sink)
    work_until(first, lambda: first.owned)
    second = start(sink)
    with pytest.raises(Fenced, match=r"a newer process has this one's group\.instance\.id"):
        wait_until(lambda: second.step() and first.step() and False, TIMEOUT_S)


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


def test_two_processes_share_the_partitions_and_one_takes_over_what_the_other_leaves(
    settings: Settings, start: Start, lineage: Lineage
) -> None:
    sink, sources = MemorySink(), ("decisions", "feedback.user")
    one = start(sink, member="1", sources=sources)
    work_until(one, lambda: len(one.owned) == 2)
    two = start(sink, member="2", sources=sources)

    def shared() -> bool:
        one.step()
        two.step()
        return len(one.owned) == len(two.owned) == 1

    wait_until(shared, TIMEOUT_S)
    assert one.owned | two.owned == {Partition(lineage.topics.full(name), 0) for name in sources}
    RecordSender(lineage).send_all([*decisions(3), USER_FEEDBACK])
    wait_until(lambda: shared() and len(sink.records) == 4, TIMEOUT_S)
    two.close()
    work_until(one, lambda: len(one.owned) == 2)


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


def test_processes_without_a_name_share_the_partitions(settings: Settings, lineage: Lineage, start: Start) -> None:
    more = settings.model_copy(update={"kafka": settings.kafka.model_copy(update={"partitions": {"decisions": 2}})})
    topic_admin.apply(more, topic_admin.plan(more))
    first, second = start(MemorySink(), member=None), start(MemorySink(), member=None)

    def one_each() -> bool:
        first.step()
        second.step()
        return len(first.owned) == len(second.owned) == 1

    wait_until(one_each, TIMEOUT_S)


def test_plain_json_is_feedback_too(lineage: Lineage, start: Start) -> None:
    sink = MemorySink()
    put_bytes(
        lineage,
        "feedback.user",
        b'{"feedback_id": "f", "decision_id": "0b5f8c1e-6a0d-4d53-9c1b-2f6f6a1f0e01", "session_id": "s",'
        b' "source": "curl", "time_ms": 1700000000000, "thumb": 1}',
    )
    loop = start(sink, sources=("feedback.user",))
    work_until(loop, lambda: sink.records)
    assert sink.records[0].record == UserFeedback("f", DECISION.decision_id, "s", "curl", 1_700_000_000_000, thumb=1)


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


def test_a_stop_ends_the_loop_within_ten_seconds(settings: Settings, lineage: Lineage) -> None:
    sink, stop = MemorySink(), threading.Event()
    loop = ConsumeLoop("feedback", "1", ["decisions"], sink, lineage=lineage, streaming=settings.streaming)
    runner = threading.Thread(target=loop.run, args=(stop,))
    runner.start()
    wait_until(lambda: sink.idles > 3 and loop.owned, TIMEOUT_S)
    stop.set()
    runner.join(10)
    assert not runner.is_alive()
    assert Counter(sink.claims) == Counter(sink.released)
    assert sink.finished == 1


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
