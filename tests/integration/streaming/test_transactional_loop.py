import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

import counting
from counting import FORGED, REFUSED, SERVICE, Counting, make_loop
from examples import OUTCOME, SERVING_STATE, SNAPSHOT
from kafka_log import put_bytes, read_messages, read_records
from ol0.config import Settings, StreamingConfig
from ol0.errors import ContractError, Fenced, StreamError
from ol0.records import Outcome, Record, Tick, Transition
from ol0.streaming.lineage import Lineage
from ol0.streaming.messages import Outgoing
from ol0.streaming.sender import RecordSender
from ol0.streaming.table import CompactedReader
from ol0.streaming.transactional import TransactionalLoop
from ol0.streaming.transactor import Transactor
from ol0.streaming.writer import read_snapshots
from waiting import ManualClock, wait_until

TIMEOUT_S = 30.0


def outcomes(count: int, first: int = 1) -> list[Outcome]:
    return [replace(OUTCOME, sequence=n, session_id=f"session-{n}") for n in range(first, first + count)]


def work_until(loop: TransactionalLoop, condition: Callable[[], object]) -> None:
    def done() -> object:
        loop.step()
        return condition()

    wait_until(done, TIMEOUT_S)


def causes(lineage: Lineage) -> list[str]:
    return [record.cause for record in read_records(lineage, "transitions") if isinstance(record, Transition)]


def committed_offset(loop: TransactionalLoop, lineage: Lineage) -> int:
    topic = lineage.topics.full("outcomes")
    (place,) = loop._consumer.committed([TopicPartition(topic, 0)], TIMEOUT_S)
    return int(place.offset)


def test_outputs_offsets_and_snapshot_become_visible_together(settings: Settings, lineage: Lineage) -> None:
    RecordSender(lineage).send_all(outcomes(3))
    handler = Counting()
    loop = make_loop(settings, lineage, handler)
    loop.open()
    work_until(loop, lambda: handler.count == 3)

    assert causes(lineage) == ["outcome 1", "outcome 2", "outcome 3"]
    assert committed_offset(loop, lineage) == 3
    assert read_snapshots(SERVICE, lineage)[SERVICE].body == b"[3, 3]"
    loop.close()


def test_a_restart_takes_the_snapshot_back_and_goes_on_behind_it(settings: Settings, lineage: Lineage) -> None:
    sender = RecordSender(lineage)
    sender.send_all(outcomes(2))
    first = Counting()
    loop = make_loop(settings, lineage, first)
    loop.open()
    work_until(loop, lambda: first.count == 2)
    loop.close()

    sender.send_all(outcomes(2, first=3))
    second = Counting()
    loop = make_loop(settings, lineage, second)
    loop.open()
    assert second.count == 2
    work_until(loop, lambda: second.count == 4)
    loop.close()

    assert second.sessions == ["session-3", "session-4"]
    assert causes(lineage) == [f"outcome {n}" for n in range(1, 5)]


@pytest.mark.parametrize("when", ["before", "after"])
def test_kill_9_around_the_commit_leaves_each_output_visible_once(
    settings: Settings, lineage: Lineage, when: str
) -> None:
    # Given a service that dies when its messages are at the broker, right before or right after the commit
    RecordSender(lineage).send_all(outcomes(3))
    program = Path(counting.__file__)
    died = subprocess.run(
        [sys.executable, program, when], input=settings.model_dump_json().encode(), timeout=60, check=False
    )
    assert died.returncode == -9
    visible = causes(lineage)
    assert visible == ([] if when == "before" else [f"outcome {n}" for n in range(1, len(visible) + 1)])

    # When it starts again
    handler = Counting()
    loop = make_loop(settings, lineage, handler)
    loop.open()
    work_until(loop, lambda: handler.count == 3)
    loop.close()

    # Then nothing is missing and nothing is there twice
    assert causes(lineage) == ["outcome 1", "outcome 2", "outcome 3"]


def test_a_second_instance_fences_the_first(settings: Settings, lineage: Lineage) -> None:
    first, second = Counting(), Counting()
    old = make_loop(settings, lineage, first)
    old.open()
    new = make_loop(settings, lineage, second)
    new.open()
    RecordSender(lineage).send_all(outcomes(1))

    with pytest.raises(Fenced, match=f"{SERVICE}, .*another process writes for this service now"):
        work_until(old, lambda: False)
    work_until(new, lambda: second.count == 1)

    assert causes(lineage) == ["outcome 1"]
    old.close()
    new.close()


def test_a_snapshot_behind_the_open_transaction_of_another_service_is_not_missed(lineage: Lineage) -> None:
    # Given another service whose transaction is open in the state topic, and a snapshot committed behind it
    other = lineage.clients.transactional_producer("other", lineage.clients.log_error)
    other.init_transactions(TIMEOUT_S)
    other.begin_transaction()
    topic = lineage.topics.full("state")
    other.produce(topic, lineage.codec.encode(replace(SNAPSHOT, service="other")), b"other")
    other.flush(TIMEOUT_S)
    ours = Transactor("drift", lineage.clients)
    ours.init()
    ours.commit([Outgoing(topic, b"drift", lineage.codec.encode(SNAPSHOT))])
    assert read_messages(lineage, topic) == []

    # When somebody reads up to it, and it ends only then
    reader = CompactedReader("state", lineage)
    with ThreadPoolExecutor() as pool:
        reading = pool.submit(reader.read_to_end, TIMEOUT_S)
        wait_until(lambda: reader.caught_up, TIMEOUT_S)
        other.commit_transaction()
        table = reading.result()
    reader.close()

    # Then the reader has waited for it
    assert table["drift"] == SNAPSHOT


def test_an_undecodable_record_becomes_a_dead_letter_in_the_same_transaction(
    settings: Settings, lineage: Lineage
) -> None:
    sender = RecordSender(lineage)
    sender.send_all(outcomes(1))
    put_bytes(lineage, "outcomes", b"\x00\x00\x00\x00\x63garbage", b"session-2")
    sender.send_all([replace(OUTCOME, session_id=REFUSED), *outcomes(1, first=2)])
    handler = Counting()
    loop = make_loop(settings, lineage, handler)
    loop.open()
    work_until(loop, lambda: handler.count == 2)
    loop.close()

    garbage, refused = read_messages(lineage, lineage.topics.dead_letter("outcomes"))
    assert garbage.value() == b"\x00\x00\x00\x00\x63garbage"
    assert garbage.key() == b"session-2"
    assert dict(garbage.headers() or []) == {
        "source_topic": lineage.topics.full("outcomes").encode(),
        "source_partition": b"0",
        "source_offset": b"1",
        "service": SERVICE.encode(),
        "stage": b"decode",
        "error_class": b"ContractError",
        "message": b"schema id 99; schemas/ids.json has 14: Outcome. A registry's ids mean nothing here: OL0 asks none",
    }
    assert dict(refused.headers() or [])["stage"] == b"handle"
    assert handler.sessions == ["session-1", "session-2"]


def test_garbage_in_a_topic_without_dead_letters_stops_the_service(settings: Settings, lineage: Lineage) -> None:
    put_bytes(lineage, "releases", b"garbage")
    loop = TransactionalLoop(
        "canary", ["releases"], Counting(), lineage=lineage, streaming=settings.streaming, clock=lambda: 1
    )
    loop.open()
    with pytest.raises(StreamError, match=r"releases\.v1\[0\] at 0 cannot be used: .*no dead letters"):
        work_until(loop, lambda: False)
    loop.close()


def test_outcomes_that_are_all_bad_stop_the_service_and_one_good_one_keeps_it_going(
    settings: Settings, lineage: Lineage
) -> None:
    # Given a thousand records that cannot be used, decoded or not, and the minute that they may take
    handler, clock = Counting(), ManualClock()
    loop = make_loop(settings, lineage, handler)
    loop._bad._clock = clock
    loop.open()

    def read_thousand_bad() -> None:
        put_bytes(lineage, "outcomes", b"garbage")
        RecordSender(lineage).send_all([replace(OUTCOME, session_id=REFUSED)] * 999)
        found = 0

        def read() -> bool:
            nonlocal found
            found += loop.step().dead_letters
            return found == 1_000

        wait_until(read, TIMEOUT_S)
        clock.now_s += 60

    read_thousand_bad()
    # When the next is a good one, then the service goes on
    RecordSender(lineage).send_all(outcomes(1))
    work_until(loop, lambda: handler.count == 1)
    # When the next is a bad one, then it stops
    read_thousand_bad()
    put_bytes(lineage, "outcomes", b"garbage")
    with pytest.raises(StreamError, match=r"not one of 1,001 records .*first byte 103.*ol0 dlq list"):
        work_until(loop, lambda: False)
    loop.close()


def test_forged_records_stop_nothing_however_many_they_are(
    settings: Settings, lineage: Lineage, capfd: pytest.CaptureFixture[str]
) -> None:
    # Given a service that not one bad record may pass, and a topic that somebody floods with what he cannot sign.
    RecordSender(lineage).send_all([*[replace(OUTCOME, session_id=FORGED)] * 300, *outcomes(1)])
    strict = settings.model_copy(update={"streaming": StreamingConfig(clock="ticks", bad_record_share=0)})
    handler = Counting()
    loop = make_loop(strict, lineage, handler)
    loop.open()
    # When it reads all that, then it goes on, and puts every forgery aside.
    work_until(loop, lambda: handler.count == 1)
    loop.close()
    assert len(read_messages(lineage, lineage.topics.dead_letter("outcomes"))) == 300
    # And the log says so, a line for a batch and not for a record.
    said = "".join(capfd.readouterr())
    assert f"{lineage.topics.full('outcomes')}[0]@0" in said
    assert "a session that nobody signed" in said
    assert said.count("dead letters") < 300


def test_an_aborted_transaction_is_tried_again_from_the_state_before_it(
    settings: Settings, lineage: Lineage, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a first commit that Kafka turns down
    RecordSender(lineage).send_all(outcomes(2))
    handler = Counting()
    loop = make_loop(settings, lineage, handler)
    loop.open()
    step = loop._transactor._step
    refusals = [KafkaError(KafkaError.NOT_ENOUGH_REPLICAS, "not now", txn_requires_abort=True)]

    def refuse_once(name: str, call: Callable[[], None], timeout_s: float = 8) -> None:
        def refusing() -> None:
            if name == "commit_transaction" and refusals:
                raise KafkaException(refusals.pop())
            call()

        step(name, refusing, timeout_s)

    monkeypatch.setattr(loop._transactor, "_step", refuse_once)
    work_until(loop, lambda: handler.count == 2)
    loop.close()

    assert refusals == []
    assert causes(lineage) == ["outcome 1", "outcome 2"]
    assert handler.count == 2


def test_an_empty_round_writes_no_transaction(settings: Settings, lineage: Lineage, clock: Callable[[], int]) -> None:
    wall = settings.model_copy(update={"streaming": StreamingConfig(batch_wait_s=0.05)})

    class Restless(Counting):
        def snapshot(self) -> bytes:
            return str(self.ticks).encode()

    handler = Restless()
    loop = make_loop(wall, lineage, handler, clock)
    loop.open()
    work_until(loop, lambda: len(handler.ticks) >= 5)
    loop.close()
    ends = lineage.clients.bounds(lineage.topics.full("state"), [0], TIMEOUT_S)
    assert ends == {0: (0, 0)}


def test_what_a_tick_brings_is_written_together_with_the_state_that_it_leaves(
    settings: Settings, lineage: Lineage, clock: Callable[[], int]
) -> None:
    wall = settings.model_copy(update={"streaming": StreamingConfig(batch_wait_s=0.05)})
    RecordSender(lineage).send_all(outcomes(1))
    loop = make_loop(wall, lineage, Counting(), clock)
    loop.open()
    work_until(loop, lambda: "1 since the last tick" in causes(lineage))
    loop.close()
    assert read_snapshots(SERVICE, lineage)[SERVICE].body == b"[1, 0]"


def test_a_tick_on_a_topic_brings_the_time_of_the_broker(settings: Settings, lineage: Lineage) -> None:
    now_ms = time.time_ns() // 1_000_000
    RecordSender(lineage).send_to(Tick(), lineage.topics.full("outcomes"), 0)
    handler = Counting()
    loop = make_loop(settings, lineage, handler)
    loop.open()
    work_until(loop, lambda: handler.ticks)
    loop.close()
    (tick_ms,) = handler.ticks
    assert tick_ms is not None
    assert abs(tick_ms - now_ms) < 60_000


def test_a_stop_lets_the_batch_finish_and_ends_the_loop(settings: Settings, lineage: Lineage) -> None:
    RecordSender(lineage).send_all(outcomes(5))
    stop = threading.Event()

    class Stopping(Counting):
        def handle(self, record: Record) -> list[Transition]:
            stop.set()
            return list(super().handle(record))

    began = time.monotonic()
    make_loop(settings, lineage, Stopping()).run(stop)
    assert time.monotonic() - began < 10
    assert causes(lineage)


def test_a_snapshot_that_cannot_be_restored_stops_the_service(settings: Settings, lineage: Lineage) -> None:
    class Choosy(Counting):
        def restore(self, body: bytes) -> None:
            raise ContractError(f"{body!r} was written by version 9")

    ours = Transactor(SERVICE, lineage.clients)
    ours.init()
    topic = lineage.topics.full("state")
    ours.commit([Outgoing(topic, SERVICE.encode(), lineage.codec.encode(replace(SNAPSHOT, service=SERVICE)))])
    with pytest.raises(StreamError, match=r"cannot restore its snapshot: .* written by version 9"):
        make_loop(settings, lineage, Choosy()).open()


def test_what_a_service_makes_wrong_is_not_written(settings: Settings, lineage: Lineage) -> None:
    class Careless(Counting):
        def handle(self, record: Record) -> list[Record]:  # type: ignore[override]
            return [replace(SERVING_STATE, time_ms=-1)] if isinstance(record, Outcome) else []

    RecordSender(lineage).send_all(outcomes(1))
    loop = make_loop(settings, lineage, Careless())
    loop.open()
    with pytest.raises(StreamError, match="made a record that no reader would take: time_ms: -1"):
        work_until(loop, lambda: False)
    loop.close()
