"""Where a transactional loop goes on, whatever became of the logs and of what Kafka remembers of its group."""

import time
from dataclasses import replace
from random import Random

import pytest
from confluent_kafka import TopicPartition

from ol0.config import Settings, StreamingConfig
from ol0.kafka import topic_admin
from ol0.kafka.lineage import Lineage
from ol0.kafka.logs import holdups
from ol0.kafka.logs.questions import describe
from ol0.kafka.messages import Outgoing
from ol0.kafka.sending.record_sender import RecordSender
from ol0.kafka.snapshots import TopicPlace
from ol0.kafka.topic_readers.compacted_reader import CompactedReader
from ol0.kafka.transaction_loop import TransactionalLoop
from ol0.kafka.transactional_writer import read_snapshots
from ol0.kafka.transactions import Transactor
from ol0.records import Outcome, Record, Transition
from support.counting import SERVICE, Counting, make_loop
from support.examples import OUTCOME, SNAPSHOT
from support.kafka_log import delete_records, make_anew, read_messages
from testbed.waiting import wait_until

TIMEOUT_S = 30.0


def outcomes(count: int, first: int = 1) -> list[Outcome]:
    return [replace(OUTCOME, sequence=n, session_id=f"session-{n}") for n in range(first, first + count)]


def sessions(first: int, last: int) -> list[str]:
    return [f"session-{n}" for n in range(first, last + 1)]


def work(loop: TransactionalLoop, handler: Counting, count: int) -> None:
    def done() -> bool:
        loop.step()
        return handler.count >= count

    wait_until(done, TIMEOUT_S)


def ran(settings: Settings, lineage: Lineage, count: int) -> None:
    """A service that has handled so many outcomes in all, and was stopped."""
    handler = Counting()
    loop = make_loop(settings, lineage, handler)
    loop.open()
    work(loop, handler, count)
    loop.close()


def forget_group(lineage: Lineage) -> None:
    """What Kafka does with offsets that nobody has committed for a week."""
    group = f"{lineage.topics.prefix}.{SERVICE}"
    broker = lineage.clients.admin()
    for answer in broker.delete_consumer_groups([group]).values():
        answer.result(10)


def test_a_restart_goes_on_where_its_snapshot_was_though_kafka_has_forgotten_the_group(
    settings: Settings, lineage: Lineage
) -> None:
    RecordSender(lineage).send_all(outcomes(3))
    ran(settings, lineage, 3)
    forget_group(lineage)
    RecordSender(lineage).send_all(outcomes(1, first=4))
    handler = Counting()
    loop = make_loop(settings, lineage, handler)
    loop.open()
    work(loop, handler, 4)
    loop.close()
    assert handler.sessions == sessions(4, 4)


def test_a_snapshot_that_kept_no_places_goes_on_at_its_own_time_where_the_group_is_forgotten(
    settings: Settings, lineage: Lineage, capfd: pytest.CaptureFixture[str]
) -> None:
    # Given the one record of an earlier version's snapshot, outcomes before and after it, and no offsets of the group
    sender, topic = RecordSender(lineage), lineage.topics.full("outcomes")
    sender.send_all(outcomes(2))
    last_ms = read_messages(lineage, topic)[-1].timestamp()[1]
    wait_until(lambda: time.time() * 1000 > last_ms + 2, TIMEOUT_S)
    sender.send_all(outcomes(1, first=3))
    earlier = Transactor(SERVICE, lineage.clients)
    earlier.init()
    snapshot = replace(SNAPSHOT, service=SERVICE, time_ms=last_ms + 1, body=b"[2, 2]")
    earlier.commit([Outgoing(lineage.topics.full("state"), SERVICE.encode(), lineage.codec.encode(snapshot))])
    # When this version starts, then it obeys nothing again, and says where it begins
    handler = Counting()
    loop = make_loop(settings, lineage, handler)
    loop.open()
    work(loop, handler, 3)
    loop.close()
    assert handler.sessions == sessions(3, 3)
    assert "Kafka has forgotten where this service was" in "".join(capfd.readouterr())


@pytest.mark.parametrize("when", ["away", "running"])
def test_records_that_expired_unread_are_a_hole_that_is_counted_and_stop_nobody(
    settings: Settings, lineage: Lineage, capfd: pytest.CaptureFixture[str], when: str
) -> None:
    # Given a service that has read one outcome of five, and a log that begins with the fifth
    RecordSender(lineage).send_all(outcomes(1))
    ran(settings, lineage, 1)
    handler = Counting()
    loop = make_loop(settings, lineage, handler)
    if when == "running":
        loop.open()
    places = loop._sources.places()
    RecordSender(lineage).send_all(outcomes(4, first=2))
    delete_records(lineage, "outcomes", before=4)
    # When it starts, or comes to the hole while it runs
    if when == "away":
        loop.open()
    else:
        loop._sources.return_to(places)

    def past_the_hole() -> bool:
        loop.step()
        return handler.sessions[-1:] == ["session-5"]

    wait_until(past_the_hole, TIMEOUT_S)
    loop.close()
    # Then it goes on behind it, and says so
    assert handler.sessions == ["session-5"]
    assert loop._sources.missed == 3
    said = "".join(capfd.readouterr())
    assert "continuing where the log begins" in said
    assert "rebuild" not in said


def test_a_log_that_lost_its_tail_is_read_on_from_its_end(settings: Settings, lineage: Lineage) -> None:
    loop = make_loop(settings, lineage, Counting())
    topic = lineage.topics.full("outcomes")
    RecordSender(lineage).send_all(outcomes(2))
    (told,) = describe(lineage.clients.admin(), [topic], TIMEOUT_S).values()
    loop._sources.open({topic: TopicPlace(told.topic_id, {0: 900})}, None)
    assert loop._sources.places()[topic].offsets == {0: 2}
    loop.close()


def test_a_topic_that_was_made_anew_is_read_from_its_beginning(
    settings: Settings, lineage: Lineage, capfd: pytest.CaptureFixture[str]
) -> None:
    # Given a service that has read three outcomes, and a new topic of the same name with more than that
    RecordSender(lineage).send_all(outcomes(3))
    ran(settings, lineage, 3)
    make_anew(settings, "outcomes")
    RecordSender(lineage).send_all(outcomes(5, first=10))
    handler = Counting()
    loop = make_loop(settings, lineage, handler)
    loop.open()
    work(loop, handler, 8)
    loop.close()
    assert handler.sessions == sessions(10, 14)
    assert "a topic was recreated" in "".join(capfd.readouterr())


def test_partitions_that_are_added_while_it_runs_are_read_from_their_beginning(
    settings: Settings, lineage: Lineage
) -> None:
    # Given a service that runs, and three more partitions which have records before it knows of them
    RecordSender(lineage).send_all(outcomes(3))
    handler = Counting()
    loop = make_loop(settings, lineage, handler)
    loop.open()
    work(loop, handler, 3)
    more = settings.kafka.model_copy(update={"partitions": {**settings.kafka.partitions, "outcomes": 4}})
    wider = settings.model_copy(update={"kafka": more})
    topic_admin.apply(wider, topic_admin.plan(wider))
    RecordSender(Lineage.of(more)).send_all(outcomes(40, first=4))
    # When it looks again, then nothing of them is left out
    work(loop, handler, 43)
    loop.close()
    assert sorted(handler.sessions) == sorted(sessions(1, 43))


@pytest.mark.parametrize("committed", [True, False])
def test_what_is_committed_passes_over_commit_markers_so_that_lag_comes_to_nothing(
    settings: Settings, lineage: Lineage, *, committed: bool
) -> None:
    # Given outcomes of a transaction, whose marker takes an offset; or nothing but one that was aborted
    topic = lineage.topics.full("outcomes")
    writer = lineage.clients.transactional_producer("writer", lineage.clients.log_error)
    writer.init_transactions(TIMEOUT_S)
    writer.begin_transaction()
    for one in outcomes(2):
        writer.produce(topic, lineage.codec.encode(one), b"s")
    writer.flush(TIMEOUT_S)
    end = writer.commit_transaction if committed else writer.abort_transaction
    end(TIMEOUT_S)
    handler = Counting()
    loop = make_loop(settings, lineage, handler)
    loop.open()
    work(loop, handler, 2 * committed)

    def lag() -> int:
        loop.step()
        (place,) = loop._sources.consumer.committed([TopicPartition(topic, 0)], TIMEOUT_S)
        return int(lineage.clients.bounds(topic, [0], TIMEOUT_S)[0][1] - place.offset)

    wait_until(lambda: lag() == 0, TIMEOUT_S)
    loop.close()


def test_what_makes_nothing_is_written_in_intervals_and_handled_again_after_a_restart(
    settings: Settings, lineage: Lineage
) -> None:
    class Quiet(Counting):
        def handle(self, record: Record) -> list[Transition]:
            super().handle(record)
            return []

    rare = settings.model_copy(
        update={"streaming": StreamingConfig(clock="ticks", batch_wait_s=0.05, commit_interval_s=3_600)}
    )
    handler = Quiet()
    loop = make_loop(rare, lineage, handler)
    loop.open()
    for number in range(1, 6):
        RecordSender(lineage).send_all(outcomes(1, first=number))
        work(loop, handler, number)
    loop.close()  # as if it were killed

    assert read_snapshots(SERVICE, lineage)[SERVICE].body == b"[1, 1]"
    handler = Quiet()
    loop = make_loop(rare, lineage, handler)
    loop.open()
    work(loop, handler, 5)
    loop.close()
    assert handler.sessions == sessions(2, 5)


def test_a_state_of_any_size_is_written_in_parts_and_read_back_whole(settings: Settings, lineage: Lineage) -> None:
    class Large(Counting):
        def snapshot(self) -> bytes:
            random = Random(self.count)
            return super().snapshot().ljust(64) + random.randbytes(12_000_000 if self.count == 1 else 1_500_000)

        def restore(self, body: bytes) -> None:
            super().restore(body[:64])

    handler = Large()
    loop = make_loop(settings, lineage, handler)
    loop.open()
    for number, parts in ((1, 13), (2, 2)):
        RecordSender(lineage).send_all(outcomes(1, first=number))
        work(loop, handler, number)
        wait_until(lambda: loop.step() and not loop._moved, TIMEOUT_S)
        with CompactedReader("state", lineage) as reader:
            assert len(reader.read_to_end(TIMEOUT_S)) == parts + 1
        assert read_snapshots(SERVICE, lineage)[SERVICE].body == handler.snapshot()
    loop.close()
    handler = Large()
    loop = make_loop(settings, lineage, handler)
    loop.open()
    assert handler.count == 2
    loop.close()


def test_a_partition_of_which_the_consumer_says_nothing_any_more_is_read_on(
    lineage: Lineage, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a loop whose consumer gives nothing of a partition, without an error.
    handler = Counting()
    loop = make_loop(settings, lineage, handler)
    loop.open()
    RecordSender(lineage).send_all(outcomes(1))
    work(loop, handler, 1)
    monkeypatch.setattr(holdups, "STALLED_S", 0.5)
    loop._sources.consumer.pause([TopicPartition(lineage.topics.full("outcomes"), n) for n in partitions(lineage)])
    # When there is more to read, then it is read.
    RecordSender(lineage).send_all(outcomes(2, first=2))
    work(loop, handler, 3)
    loop.close()


def partitions(lineage: Lineage) -> tuple[int, ...]:
    topic = lineage.topics.full("outcomes")
    return describe(lineage.clients.admin(), [topic], TIMEOUT_S)[topic].partitions
