from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest
from confluent_kafka import Producer, TopicPartition

from ol0.config import RedisConfig, Settings
from ol0.errors import OL0Error, StreamError
from ol0.feedback.handler import FeedbackHandler
from ol0.feedback.join import FeedbackJoin
from ol0.kafka.consume_loop import ConsumeLoop
from ol0.kafka.dead_letters.reader import Letter, once, read_letters
from ol0.kafka.lineage import Lineage
from ol0.kafka.messages import Outgoing, write
from ol0.kafka.sending.batch_in_flight import BatchSender
from ol0.kafka.sending.record_sender import RecordSender
from ol0.kafka.transaction_loop import TransactionalLoop
from ol0.operator.setup.lineage import apply_topics
from ol0.records import Decision, DecisionId, Partition
from ol0.replay.connection import connect
from ol0.replay.counters import Counters
from ol0.replay.store import ReplayStore
from ol0.stacks.native import NativeStack
from ol0.wire.payloads import Payloads
from support.counting import SERVICE, Counting, make_loop
from support.examples import DECISION, DECISION_ID, OUTCOME, USER_FEEDBACK
from support.kafka_log import put_bytes, read_messages
from testbed.unwritable import make_unwritable
from testbed.waiting import wait_until

TIMEOUT_S = 30.0
SOURCES = ("decisions", "feedback.user", "feedback.tool", "feedback.implicit")


@dataclass
class Place:
    """A lineage with a store, and its feedback service in parts that can be looked at."""

    settings: Settings
    lineage: Lineage
    loops: list[ConsumeLoop]

    @property
    def topic(self) -> str:
        return self.lineage.topics.full("decisions")

    def start(self) -> ConsumeLoop:
        """The feedback service as ``ol0 feedback`` wires it, for three features and ten times four actions."""
        streaming = self.settings.streaming
        handler = FeedbackHandler(streaming, 3, (10, 4), Payloads(self.lineage.codec))
        publish = BatchSender("outcomes", self.lineage).send
        join = FeedbackJoin(self.store(), handler, publish)
        loop = ConsumeLoop(
            "feedback", "1", SOURCES, join, lineage=self.lineage, streaming=streaming, check=handler.check
        )
        loop._dead_letters._timeout_s = 2.0
        self.loops.append(loop)
        loop.open()
        return loop

    def store(self) -> ReplayStore:
        store = ReplayStore(connect(self.settings.redis), self.settings.kafka.topic_prefix)
        store.attach()
        return store

    def counters(self) -> Counters:
        return self.store().counters()

    def next_offset(self) -> int:
        """Where the store lets the decisions go on; whoever reads them is fenced by the question."""
        return self.store().claim(Partition(self.topic, 0)).next_offset

    def letters(self, name: str = "decisions") -> list[Letter]:
        return list(read_letters(self.lineage, [name]))


@pytest.fixture
def place(stack: NativeStack, settings: Settings) -> Iterator[Place]:
    settings = settings.model_copy(update={"redis": RedisConfig.model_validate({"url": stack.redis_url})})
    apply_topics(settings)
    place = Place(settings, Lineage.of(settings.kafka), [])
    yield place
    for loop in place.loops:
        loop.close()


def decision(number: int) -> Decision:
    return replace(DECISION, decision_id=DecisionId(f"{DECISION_ID[:-1]}{number}"))


def work_until(loop: ConsumeLoop | TransactionalLoop, condition: Callable[[], object]) -> None:
    def done() -> object:
        loop.step()
        return condition()

    wait_until(done, TIMEOUT_S)


@pytest.mark.parametrize("how", ["deleted", "too small"])
def test_an_unwritable_dead_letter_topic_stops_the_service_and_loses_nothing(place: Place, how: str) -> None:
    # Given a bad record between two good ones, and a dead-letter topic that takes nothing
    lineage, buried = place.lineage, place.lineage.topics.dead_letter("decisions")
    make_unwritable(lineage, buried, how)
    sender = RecordSender(lineage)
    sender.send_all([decision(1)])
    put_bytes(lineage, "decisions", b"garbage", b"session-1")
    sender.send_all([decision(2), USER_FEEDBACK])

    # When the service comes to it, then it stops and says which record is stuck and which topic is to blame
    with pytest.raises(StreamError, match=rf"dead letter of {place.topic}\[0\] at 1 did not get into {buried}: "):
        work_until(place.start(), lambda: False)
    place.loops.pop().close()

    # And the store has not moved past it
    assert place.next_offset() <= 1
    assert place.counters().decisions <= 1

    # When the topic is put right and the service starts again
    apply_topics(place.settings)
    work_until(place.start(), lambda: (place.counters().decisions, place.counters().feedback) == (2, 1))
    place.loops.pop().close()

    # Then everything is there once, and the bad record is where people find it
    assert place.next_offset() == 3
    assert place.counters().open == 2
    (letter,) = once(place.letters())
    assert str(letter.source) == f"{place.topic}[0]@1"
    assert (letter.key, letter.value, letter.flaws) == (b"session-1", b"garbage", ())


@pytest.mark.parametrize(
    ("how", "complaint"),
    [
        ("deleted", SERVICE),  # the transaction runs out while the producer looks for the topic: no more is said
        ("too small", r"outcomes\.v1\.dlq .*Message size too large"),
    ],
)
def test_an_unwritable_dead_letter_topic_stops_a_transactional_service_and_loses_nothing(
    place: Place, how: str, complaint: str
) -> None:
    # Given a bad outcome between two good ones, and a dead-letter topic that takes nothing
    settings, lineage = place.settings, place.lineage
    buried = lineage.topics.dead_letter("outcomes")
    make_unwritable(lineage, buried, how)
    sender = RecordSender(lineage)
    sender.send_all([replace(OUTCOME, sequence=1)])
    put_bytes(lineage, "outcomes", b"garbage")
    sender.send_all([replace(OUTCOME, sequence=2)])

    # When the service comes to it, then it stops: no output, no offset, no letter is visible
    stuck = make_loop(settings, lineage, Counting())
    stuck.open()
    with pytest.raises(OL0Error, match=complaint):
        work_until(stuck, lambda: False)
    topic = lineage.topics.full("outcomes")
    (committed,) = stuck._sources.consumer.committed([TopicPartition(topic, 0)], TIMEOUT_S)
    stuck.close()
    outputs = len(read_messages(lineage, lineage.topics.full("transitions")))
    assert committed.offset <= 1
    assert outputs <= 1

    # When the topic is put right and the service starts again, then nothing is missing and nothing is there twice
    apply_topics(settings)
    handler = Counting()
    again = make_loop(settings, lineage, handler)
    again.open()
    work_until(again, lambda: handler.count == 2)
    again.close()
    assert len(read_messages(lineage, lineage.topics.full("transitions"))) == 2
    (letter,) = read_letters(lineage, ["outcomes"])
    assert str(letter.source) == f"{topic}[0]@1"


def test_bad_feedback_of_one_producer_stops_nobody_however_much_it_is(place: Place) -> None:
    # Given three hundred records of feedback from a producer that frames them by a registry's ids, and a good decision
    lineage = place.lineage
    topic = lineage.topics.full("feedback.user")
    producer = lineage.clients.producer()
    for _ in range(300):
        write(producer, Outgoing(topic, None, b"\0\0\x01\x86\xa1" + lineage.codec.encode(USER_FEEDBACK)[5:]))
    assert producer.flush(TIMEOUT_S) == 0
    RecordSender(lineage).send_all([decision(1)])

    # When the service reads them, then it goes on
    loop = place.start()
    work_until(loop, lambda: place.counters().decisions == 1 and len(list(once(place.letters("feedback.user")))) == 300)

    # And each is a dead letter that names the right id
    right = "schema id 100001; schemas/ids.json has 2: UserFeedback"
    unknown = f"{right}. OL0 uses no registry, so a registry's ids are unknown here"
    assert {letter.message for letter in place.letters("feedback.user")} == {unknown}


def test_a_key_of_megabytes_stops_no_service_that_reads_it(place: Place) -> None:
    # Given garbage with a key of 20 MB, 20 kB on the wire, where either kind of loop reads
    settings, lineage = place.settings, place.lineage
    vandal = Producer(
        {
            "bootstrap.servers": settings.kafka.bootstrap_servers,
            "message.max.bytes": 50_000_000,
            "compression.type": "zstd",
        }
    )
    for name in ("decisions", "outcomes"):
        vandal.produce(lineage.topics.full(name), b"garbage", b"k" * 20_000_000)
    assert vandal.flush(TIMEOUT_S) == 0
    RecordSender(lineage).send_all([decision(1), OUTCOME])

    # When they read it, then they come to what stands behind it
    work_until(place.start(), lambda: place.counters().decisions == 1)
    handler = Counting()
    gate = make_loop(settings, lineage, handler)
    gate.open()
    work_until(gate, lambda: handler.count == 1)
    gate.close()

    # And its beginning is where people find it
    for name in ("decisions", "outcomes"):
        (letter,) = once(place.letters(name))
        assert (letter.key, letter.key_truncated_from, letter.value) == (b"k" * 1_024, 20_000_000, b"garbage")
