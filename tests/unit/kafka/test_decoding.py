from dataclasses import replace

import pytest
from confluent_kafka import Message

from ol0.config import KafkaConfig
from ol0.errors import StreamError
from ol0.kafka.decoding import BatchReader, in_event_order
from ol0.kafka.lineage import Lineage
from ol0.records import Record, Tick
from support.examples import DECISION, SERVING_STATE, TRANSITION

LINEAGE = Lineage.of(KafkaConfig(topic_prefix="lin"))


def message(
    time_ms: int, offset: int, *, partition: int = 0, value: bytes | None = b"", name: str = "decisions"
) -> Message:
    return Message(f"lin.{name}.v1", partition, offset, b"key", value, [], None, (1, time_ms))


def encoded(record: Record) -> bytes:
    return LINEAGE.codec.encode(record)


def order(messages: list[Message]) -> list[tuple[int | None, int | None]]:
    return [(message.partition(), message.offset()) for message in in_event_order(messages)]


def test_partitions_are_merged_by_time() -> None:
    ones = [message(10, 0), message(30, 1)]
    others = [message(20, 7, partition=1), message(40, 8, partition=1)]
    assert order(others + ones) == [(0, 0), (1, 7), (0, 1), (1, 8)]


def test_a_clock_that_ran_back_does_not_turn_a_partition_around() -> None:
    ones = [message(30, 0), message(10, 1)]
    assert order([*ones, message(20, 5, partition=1)]) == [(1, 5), (0, 0), (0, 1)]


def test_at_the_same_time_topic_partition_and_offset_decide() -> None:
    messages = [message(5, 2, partition=1), message(5, 1), message(5, 9, name="candidates")]
    assert [order([m])[0] for m in in_event_order(messages)] == [(0, 9), (0, 1), (1, 2)]


def test_a_batch_holds_records_letters_and_its_newest_time() -> None:
    reader = BatchReader("drift", LINEAGE)
    messages = [
        message(5, 0, value=encoded(DECISION)),
        message(9, 1, value=b"bad"),
        message(7, 2, value=encoded(Tick())),
    ]
    batch = reader.read(messages)
    assert [record for _, record in batch.records] == [DECISION, Tick(7)]
    (letter,) = batch.letters
    assert (letter.offset, letter.stage, letter.value) == (1, "decode", b"bad")
    assert batch.time_ms == 9


def test_a_deletion_in_a_compacted_topic_is_passed_over_and_elsewhere_a_fault() -> None:
    reader = BatchReader("release", LINEAGE)
    assert reader.read([message(5, 0, value=None, name="operator")]).records == []
    assert len(reader.read([message(5, 0, value=None)]).letters) == 1


@pytest.mark.parametrize("name", ["releases", "transitions"])
def test_where_nothing_may_be_passed_over_a_bad_record_stops_the_service(name: str) -> None:
    with pytest.raises(StreamError, match=rf"release: lin\.{name}\.v1\[0\] at 4 cannot be used: a Decision"):
        BatchReader("release", LINEAGE).read([message(5, 4, value=encoded(DECISION), name=name)])
    good = TRANSITION if name == "transitions" else replace(SERVING_STATE, sequence=3)
    assert len(BatchReader("release", LINEAGE).read([message(5, 4, value=encoded(good), name=name)]).records) == 1


def test_of_a_sampled_source_some_messages_are_looked_at() -> None:
    reader = BatchReader("drift", LINEAGE, {"decisions": 2})
    decisions = [replace(DECISION, turn=turn) for turn in range(7)]
    messages = [message(5 + turn, turn, value=encoded(one)) for turn, one in enumerate(decisions)]
    batch = reader.read([*messages, message(6, 0, value=encoded(Tick()), name="outcomes")])
    assert [record for _, record in batch.records] == [decisions[0], Tick(6), decisions[4]]
    assert [record for _, record in reader.read(messages[:1]).records] == decisions[:1]


def test_what_is_bad_in_a_sampled_source_and_its_ticks_are_for_those_who_read_all_of_it() -> None:
    reader = BatchReader("drift", LINEAGE, {"decisions": 4})
    batch = reader.read([message(5, 0, value=b"bad"), message(9, 1, value=encoded(Tick()))])
    assert (batch.records, batch.letters) == ([], [])
