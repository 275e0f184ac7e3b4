from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from random import Random
from threading import Event, Thread

import pytest
from confluent_kafka import Consumer, TopicPartition

from ol0.config import KafkaConfig, Settings
from ol0.errors import ContractError, Fenced, StreamError
from ol0.feedback.forgotten import ForgottenUsers
from ol0.kafka import topic_admin
from ol0.kafka.lineage import Lineage
from ol0.kafka.logs import identities
from ol0.kafka.sending.batch_in_flight import BatchSender
from ol0.kafka.sending.record_sender import Deliveries, RecordSender
from ol0.kafka.snapshots import Positions, head_of, parts_of
from ol0.kafka.topic_readers.compacted_reader import CompactedReader, LatestValue
from ol0.kafka.topic_readers.log_reader import LogReader
from ol0.kafka.topic_readers.serving_state import read_serving
from ol0.kafka.transactional_writer import TransactionalWriter, read_snapshots
from ol0.records import Outcome, Record, ServingState
from ol0.wire.validation import MAX_HEADS_BYTES
from support.examples import CANDIDATE, DECISION, OPERATOR_COMMAND, OUTCOME, SERVING_STATE, SNAPSHOT, TICK, TIME_MS
from support.kafka_log import make_anew, put_bytes, read_messages, read_records
from testbed.waiting import wait_until

TIMEOUT_S = 30.0


def test_a_writer_writes_candidate_and_snapshot_together_and_finds_them_again(lineage: Lineage) -> None:
    writer = TransactionalWriter("learner", lineage)
    writer.init()
    writer.write([CANDIDATE, replace(SNAPSHOT, service="learner", body=b"one")])
    writer.write([replace(SNAPSHOT, service="learner", body=b"two"), replace(SNAPSHOT, service="learner/c")])
    writer.write([replace(SNAPSHOT, service="drift")])

    assert read_records(lineage, "candidates") == [CANDIDATE]
    found = writer.read_snapshots("learner")
    assert found == {
        "learner": replace(SNAPSHOT, service="learner", body=b"two"),
        "learner/c": replace(SNAPSHOT, service="learner/c"),
    }
    writer.write([], ["learner/c"])
    assert writer.read_snapshots("learner").keys() == {"learner"}


def test_a_second_writer_fences_the_first(lineage: Lineage) -> None:
    first, second = TransactionalWriter("learner", lineage), TransactionalWriter("learner", lineage)
    first.init()
    first.write([SNAPSHOT])
    second.init()
    with pytest.raises(Fenced, match=r"learner, .*another process"):
        first.write([CANDIDATE])
    second.write([CANDIDATE])
    assert read_records(lineage, "candidates") == [CANDIDATE]


def test_a_record_that_no_reader_takes_leaves_nothing_of_its_transaction(lineage: Lineage) -> None:
    writer = TransactionalWriter("learner", lineage)
    writer.init()
    with pytest.raises(ContractError, match="heads: 9000000 bytes; 2500000 at most"):
        writer.write([SNAPSHOT, replace(CANDIDATE, heads=bytes(9_000_000))])
    assert read_messages(lineage, lineage.topics.full("state")) == []


def test_snapshots_of_any_size_and_the_largest_candidate_go_through(lineage: Lineage) -> None:
    writer, heads = TransactionalWriter("learner", lineage), Random(0).randbytes(MAX_HEADS_BYTES)
    writer.init()
    snapshot = replace(SNAPSHOT, service="learner/c", body=Random(1).randbytes(9_000_000))
    writer.write([replace(CANDIDATE, heads=heads), snapshot])
    assert read_records(lineage, "candidates") == [replace(CANDIDATE, heads=heads)]
    # When another process comes after it, then it finds the snapshot whole, and leaves no part of it behind
    successor = TransactionalWriter("learner", lineage)
    successor.init()
    assert successor.read_snapshots("learner") == {"learner/c": snapshot}
    smaller = replace(snapshot, body=snapshot.body[:2_500_000])
    successor.write([smaller])
    assert len(table_of(lineage)) == 4
    assert successor.read_snapshots("learner") == {"learner/c": smaller}
    successor.write([], ["learner/c"])
    assert table_of(lineage) == {}


def test_who_reads_into_the_middle_of_a_transaction_reads_on_to_its_head(
    lineage: Lineage, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a snapshot, and the part of the next one that a reader has come to, whose head stands right behind it
    bodies, where = (b"one", b"two"), Positions({}, None)
    (part, head), (next_part, next_head) = (
        [*parts_of("drift", TIME_MS, body), head_of("drift", TIME_MS, body, where)] for body in bodies
    )
    writer, read_to_end = TransactionalWriter("drift", lineage), CompactedReader.read_to_end
    writer.init()
    writer.write([part, head])
    writer.write([next_part])

    def then_the_head_comes(reader: CompactedReader, timeout_s: float) -> dict[str, Record]:
        table = read_to_end(reader, timeout_s)
        writer.write([next_head])
        return table

    monkeypatch.setattr(CompactedReader, "read_to_end", then_the_head_comes)
    assert read_snapshots("drift", lineage)["drift"].body == b"two"


def table_of(lineage: Lineage) -> dict[str, Record]:
    with CompactedReader("state", lineage) as reader:
        return reader.read_to_end(TIMEOUT_S)


def test_a_pile_lands_where_single_records_of_the_same_sessions_do(settings: Settings) -> None:
    kafka = settings.kafka.model_copy(update={"partitions": {**settings.kafka.partitions, "outcomes": 4}})
    settings = settings.model_copy(update={"kafka": kafka})
    topic_admin.apply(settings, topic_admin.plan(settings))
    lineage = Lineage.of(kafka)
    outcomes = [replace(OUTCOME, session_id=f"session-{number % 40}", sequence=number) for number in range(200)]

    RecordSender(lineage).send_all(outcomes)
    BatchSender("outcomes", lineage).send(
        [(it.session_id.encode(), lineage.codec.encode(it)) for it in outcomes]
    ).wait()

    messages = read_messages(lineage, lineage.topics.full("outcomes"))
    places = [(message.partition(), message.key(), message.value()) for message in messages]
    assert len(places) == 400
    assert {partition for partition, *_ in places} == {0, 1, 2, 3}
    assert Counter(Counter(places).values()) == {2: 200}, "each outcome twice, in one partition"


def test_what_is_acknowledged_late_counts_for_its_own_pile_alone(lineage: Lineage) -> None:
    sender = BatchSender("outcomes", lineage, timeout_s=0)
    pile = [(b"session", lineage.codec.encode(replace(OUTCOME, sequence=number))) for number in range(3)]
    with pytest.raises(StreamError, match=r"[1-3] are in flight"):
        sender.send(pile).wait()
    assert sender._producer.flush(TIMEOUT_S) == 0

    with pytest.raises(StreamError, match=r"[1-3] are in flight"):
        sender.send(pile).wait()


def test_the_end_of_a_topic_is_found_while_others_go_on_writing(lineage: Lineage) -> None:
    # Given three services that commit snapshots all the time, so that the log has no end that one could see
    stop = Event()
    threads = [Thread(target=write_until, args=(stop, lineage, name)) for name in ("canary", "drift", "evaluator")]
    for thread in threads:
        thread.start()
    # When the snapshots of this moment are read, then that comes to an end
    try:
        with CompactedReader("state", lineage) as reader:
            wait_until(lambda: len(reader.poll(0.1)) > 0, TIMEOUT_S)
        for _ in range(3):
            with CompactedReader("state", lineage) as reader:
                assert reader.read_to_end(10.0)
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def write_until(stop: Event, lineage: Lineage, name: str) -> None:
    writer = TransactionalWriter(name, lineage)
    writer.init()
    while not stop.is_set():
        writer.write([replace(SNAPSHOT, service=name)])


def test_an_unreadable_snapshot_of_another_service_is_none_of_our_business(lineage: Lineage) -> None:
    writer = TransactionalWriter("learner", lineage)
    writer.init()
    writer.write([replace(SNAPSHOT, service="learner")])
    put_bytes(lineage, "state", b"garbage", b"drift")
    assert writer.read_snapshots("learner").keys() == {"learner"}
    with pytest.raises(StreamError, match="the snapshot of drift cannot be read"):
        writer.read_snapshots("drift")


def test_the_newest_serving_state_is_followed_and_garbage_is_passed_over(lineage: Lineage) -> None:
    # Given more states on the topic than one poll takes
    sender = RecordSender(lineage)
    sender.send_all([replace(SERVING_STATE, sequence=number) for number in range(150)])
    latest = LatestValue("releases", lineage, "serving", ServingState)
    assert latest.value is None
    seen: list[ServingState | None] = []
    while not latest.caught_up:  # however the records come, no older one is ever seen
        latest.poll(0.2)
        seen.append(latest.value)
    assert latest.value is not None
    assert {value.sequence for value in seen if value is not None} == {latest.value.sequence} == {149}

    # When garbage, a deletion and a tick come in, then the last good one stays
    put_bytes(lineage, "releases", b"garbage", b"serving")
    put_bytes(lineage, "releases", lineage.codec.encode(TICK), b"serving")
    assert not latest.poll(0.5)
    assert latest.value.sequence == 149
    assert read_serving(lineage) == latest.value, "whoever starts without it finds the same"

    # And when a newer one comes, it is seen
    sender.send_all([replace(SERVING_STATE, sequence=150)])
    wait_until(lambda: latest.poll(0.2), TIMEOUT_S)
    assert latest.value.sequence == 150
    latest.close()


def test_who_is_forgotten_on_a_topic_that_was_made_anew_is_heard_of(
    settings: Settings, lineage: Lineage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # Given a reader of orders that has read five, and a new topic of the same name with more of them
    monkeypatch.setattr(identities, "ASK_S", 0.1)
    with CompactedReader("operator", lineage) as reader:
        forgotten, heard = ForgottenUsers(reader), set[str]()
        forget(lineage, "before", 5)
        assert len(forgotten.read()) == 5
        wait_until(lambda: not forgotten.poll() and reader.known_at_s, TIMEOUT_S)
        with paused(reader._consumer, lineage.topics.full("operator")):
            make_anew(settings, "operator")
            expected = forget(lineage, "after", 8)

        def hears_of_all() -> bool:
            heard.update(forgotten.poll())
            return heard == expected

        # When it goes on reading, then it hears of all of them, and says that it has begun again
        wait_until(hears_of_all, TIMEOUT_S)
    assert f"{lineage.topics.full('operator')} was recreated; reading it from its beginning" in caplog.text


@contextmanager
def paused(consumer: Consumer, topic: str) -> Iterator[None]:
    """As if it asked for nothing meanwhile: of a log that ends before its offset it would hear."""
    consumer.pause([TopicPartition(topic, 0)])
    yield
    consumer.resume([TopicPartition(topic, 0)])


def forget(lineage: Lineage, name: str, count: int) -> set[str]:
    orders = [replace(OPERATOR_COMMAND, value=f"{name}{n}", time_ms=TIME_MS + n) for n in range(count)]
    RecordSender(lineage).send_all(orders)
    return {str(order.value) for order in orders}


def test_a_bystander_follows_into_a_topic_that_was_made_anew(
    settings: Settings, lineage: Lineage, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # Given a follower of two topics, and of one of them a successor with more records than it has read
    monkeypatch.setattr(identities, "ASK_S", 0.1)
    sender, states, outcomes = RecordSender(lineage), list[Record](), set[int]()
    with closing(LogReader(settings, ["outcomes", "releases"])) as follower:

        def reads(*numbers: int) -> bool:
            for _, record, _ in follower.poll():
                if isinstance(record, Outcome):
                    outcomes.add(record.sequence)
                else:
                    states.append(record)
            return outcomes == set(numbers)

        sender.send_all([SERVING_STATE, *(replace(OUTCOME, sequence=number) for number in range(5))])
        wait_until(lambda: reads(*range(5)) and states and follower._identities.answered_at_s, TIMEOUT_S)
        with paused(follower._consumer, lineage.topics.full("outcomes")):
            make_anew(settings, "outcomes")
            sender.send_all([replace(OUTCOME, sequence=number) for number in range(10, 18)])
        # When it goes on, then it reads all of them, of the other topic nothing twice, and says so
        wait_until(lambda: reads(*range(5), *range(10, 18)), TIMEOUT_S)
        sender.send_all([replace(SERVING_STATE, sequence=9)])
        wait_until(lambda: reads(*outcomes) and len(states) > 1, TIMEOUT_S)
    assert states == [SERVING_STATE, replace(SERVING_STATE, sequence=9)]
    assert "topics were recreated; reading them from their beginning" in "".join(capfd.readouterr())


def test_a_table_of_an_empty_topic_is_empty_and_read_at_once(lineage: Lineage) -> None:
    with CompactedReader("releases", lineage) as reader:
        assert reader.read_to_end(TIMEOUT_S) == {}
        wait_until(lambda: reader.poll(0.1) or reader.caught_up, TIMEOUT_S)
    assert read_serving(lineage) is None


def test_a_reader_without_a_broker_says_so_in_time_and_polls_in_peace() -> None:
    reader = CompactedReader("releases", Lineage.of(KafkaConfig(bootstrap_servers="127.0.0.1:1")))
    assert reader.poll(0.1) == []
    assert not reader.caught_up
    with pytest.raises(StreamError, match=r"offsets of ol0\.releases\.v1: .*is the broker up"):
        reader.read_to_end(0.5)
    reader.close()


def test_a_sender_accounts_for_every_record(lineage: Lineage) -> None:
    sender = RecordSender(lineage)
    sender.send_all([DECISION, replace(DECISION, turn=3)])
    assert sender.deliveries == Deliveries(delivered=2)
    assert read_records(lineage, "decisions") == [DECISION, replace(DECISION, turn=3)]


def test_a_sender_says_when_a_topic_does_not_take_its_records(lineage: Lineage) -> None:
    missing = Lineage.of(
        KafkaConfig(
            bootstrap_servers=lineage.clients._kafka.bootstrap_servers,
            topic_prefix="nobody-made-me",
            options={"topic.metadata.propagation.max.ms": 100},
        )
    )
    sender = RecordSender(missing)
    said = r"not all of 1 records .* 1 failed \(Broker: Unknown topic or partition\); .*ol0 topics diff"
    with pytest.raises(StreamError, match=said):
        sender.send_all([DECISION])
    assert sender.deliveries == Deliveries(failed=1)
