import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from ol0.config import Settings, StreamingConfig
from ol0.errors import ContractError, Fenced, StreamError
from ol0.kafka.lineage import Lineage
from ol0.kafka.messages import Outgoing
from ol0.kafka.sending.record_sender import RecordSender
from ol0.kafka.topic_readers.compacted_reader import CompactedReader
from ol0.kafka.transaction_loop import TransactionalLoop
from ol0.kafka.transactional_writer import read_snapshots
from ol0.kafka.transactions import Transactor
from ol0.observability.loop_stats import LoopStats
from ol0.records import Outcome, Record, Tick, Transition
from support import counting
from support.counting import FORGED, REFUSED, SERVICE, Counting, make_loop
from support.examples import OUTCOME, SERVING_STATE, SNAPSHOT
from support.kafka_log import alter, put_bytes, read_messages, read_records
from testbed.waiting import ManualClock, wait_until

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
    (place,) = loop._sources.consumer.committed([TopicPartition(topic, 0)], TIMEOUT_S)
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
    died = subprocess.run(
        [sys.executable, "-m", "support.counting", when],
        cwd=Path(counting.__file__).parents[1],
        input=settings.model_dump_json().encode(),
        timeout=60,
        check=False,
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
        "error_class": b"UnknownSchema",
        "message": b"schema id 99; schemas/ids.json has 14: Outcome. OL0 uses no registry, so a registry's ids "
        b"are unknown here",
    }
    assert dict(refused.headers() or [])["stage"] == b"handle"
    assert handler.sessions == ["session-1", "session-2"]


def test_garbage_in_a_topic_without_dead_letters_stops_the_service(settings: Settings, lineage: Lineage) -> None:
    put_bytes(lineage, "releases", b"garbage")
    loop = TransactionalLoop("canary", ["releases"], Counting(), lineage=lineage, streaming=settings.streaming)
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


def test_ticks_come_when_everything_is_read_by_the_brokers_time_and_alone_write_nothing(
    settings: Settings, lineage: Lineage, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a host whose clock is a day ahead, and a handler whose state is ticks
    now_ms = time.time_ns() // 1_000_000
    monkeypatch.setattr(time, "time_ns", lambda: 10**6 * (now_ms + 86_400_000))
    monkeypatch.setattr(time, "time", lambda: now_ms / 1000 + 86_400)

    class Restless(Counting):
        def snapshot(self) -> bytes:
            return str(self.ticks).encode()

    wall = settings.model_copy(update={"streaming": StreamingConfig(batch_wait_s=0.05, tick_interval_s=0.05)})
    handler = Restless()
    loop = make_loop(wall, lineage, handler)
    loop.open()
    # When nothing was ever read or written, then nobody knows the time
    for _ in range(3):
        loop.step()
    assert handler.ticks == []
    # When one record was read, then ticks go on from the time at which the broker took it
    RecordSender(lineage).send_all(outcomes(1))
    work_until(loop, lambda: handler.ticks)
    before = lineage.clients.bounds(lineage.topics.full("state"), [0], TIMEOUT_S)
    work_until(loop, lambda: len(handler.ticks) >= 10)
    loop.close()
    times = [tick for tick in handler.ticks if tick is not None]
    assert times == sorted(times)
    assert abs(times[0] - now_ms) < 60_000
    assert lineage.clients.bounds(lineage.topics.full("state"), [0], TIMEOUT_S) == before


def test_no_tick_comes_before_everything_is_read_that_there_is(settings: Settings, lineage: Lineage) -> None:
    RecordSender(lineage).send_all(outcomes(20))
    one_by_one = StreamingConfig(batch_size=1, batch_wait_s=0.05, tick_interval_s=0.001)
    handler = Counting()
    loop = make_loop(settings.model_copy(update={"streaming": one_by_one}), lineage, handler)
    loop.open()
    seen = []

    def ticked() -> bool:
        loop.step()
        seen.append((handler.count, len(handler.ticks)))
        return bool(handler.ticks)

    wait_until(ticked, TIMEOUT_S)
    loop.close()
    assert seen[-1] == (20, 1)


def test_what_a_tick_brings_is_written_together_with_the_state_that_it_leaves(
    settings: Settings, lineage: Lineage
) -> None:
    wall = settings.model_copy(update={"streaming": StreamingConfig(batch_wait_s=0.05, tick_interval_s=0.05)})
    RecordSender(lineage).send_all(outcomes(1))
    loop = make_loop(wall, lineage, Counting())
    loop.open()
    work_until(loop, lambda: "1 since the last tick" in causes(lineage))
    loop.close()
    assert read_snapshots(SERVICE, lineage)[SERVICE].body == b"[1, 0]"


def test_a_tick_on_a_topic_brings_the_time_of_the_broker(settings: Settings, lineage: Lineage) -> None:
    now_ms = time.time_ns() // 1_000_000
    RecordSender(lineage).send_ticks(Tick(), [(lineage.topics.full("outcomes"), 0)])
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


def test_what_a_service_makes_wrong_is_dropped_with_a_word_and_nothing_else_is(
    settings: Settings, lineage: Lineage, capfd: pytest.CaptureFixture[str]
) -> None:
    class Careless(Counting):
        def handle(self, record: Record) -> list[Record]:  # type: ignore[override]
            wrong = [replace(SERVING_STATE, time_ms=-1)] if isinstance(record, Outcome) else []
            return [*wrong, *super().handle(record)]

    RecordSender(lineage).send_all(outcomes(2))
    handler = Careless()
    rounds: list[LoopStats] = []
    loop = make_loop(settings, lineage, handler)
    loop._on_round = rounds.append
    loop.open()
    work_until(loop, lambda: handler.count == 2)
    loop.close()
    assert causes(lineage) == ["outcome 1", "outcome 2"]
    assert sum(done.dropped for done in rounds) == 2
    assert "dropped a ServingState that no reader would take" in "".join(capfd.readouterr())


def test_a_topic_that_takes_less_than_declared_costs_one_output_and_not_the_service(
    settings: Settings, lineage: Lineage, capfd: pytest.CaptureFixture[str]
) -> None:
    # Given somebody who has halved what transitions may take, and an output that is larger
    alter(lineage, "transitions", {"max.message.bytes": "2000"})

    class Verbose(Counting):
        def handle(self, record: Record) -> list[Transition]:
            made = list(super().handle(record))
            noise = Random(1).randbytes(3_500).hex()  # which shrinks by half, and not by more
            return [replace(one, cause=noise) if self.count == 2 else one for one in made]

    RecordSender(lineage).send_all(outcomes(3))
    handler = Verbose()
    loop = make_loop(settings, lineage, handler)
    loop.open()
    work_until(loop, lambda: "outcome 3" in causes(lineage))
    loop.close()
    assert causes(lineage) == ["outcome 1", "outcome 3"]
    assert "its max.message.bytes is less" in "".join(capfd.readouterr())


def test_who_is_fenced_in_the_middle_of_a_large_transaction_says_so(lineage: Lineage) -> None:
    topic, payload = lineage.topics.full("transitions"), bytes(1_000)
    for number in (100, 60_000):
        ours, other = Transactor(SERVICE, lineage.clients), Transactor(SERVICE, lineage.clients)
        ours.init()
        ours._producer.begin_transaction()
        for _ in range(100):
            ours._write(Outgoing(topic, b"", payload))
        other.init()
        with pytest.raises(Fenced, match="another process writes for this service now"):
            finish(ours, [Outgoing(topic, b"", payload)] * number)


def finish(transactor: Transactor, messages: list[Outgoing]) -> None:
    """The rest of a commit that has begun."""
    for message in messages:
        transactor._write(message)
    transactor._step("commit_transaction", lambda: transactor._producer.commit_transaction(TIMEOUT_S))
