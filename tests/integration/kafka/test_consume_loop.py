import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from integration.kafka.conftest import Start
from ol0.clock import wall_clock_ms
from ol0.config import Settings
from ol0.errors import Fenced, Gap, RangeError, StreamError
from ol0.kafka import topic_admin
from ol0.kafka.consume_loop import MAX_GAPS, ConsumeLoop
from ol0.kafka.lineage import Lineage
from ol0.kafka.messages import Outgoing, write
from ol0.kafka.ports import SourceRecord
from ol0.kafka.sending.record_sender import RecordSender
from ol0.records import Decision, Partition, Record, Tick, UserFeedback
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
