import logging
from collections.abc import Callable
from typing import cast

import pytest
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from ol0.kafka.messages import Outgoing
from ol0.kafka.sending.accounted_producer import AccountedProducer
from ol0.observability.log_throttle import LogThrottle

MESSAGE = Outgoing("topic", b"key", b"value")
Answer = Callable[[KafkaError | None, Message | None], None]


class Doomed:
    """A producer that reports what it is told to, and then a fatal error, as librdkafka does: once, in ``poll``."""

    def __init__(self, delivers: int, fails: int) -> None:
        self.answers: list[Answer] = []
        self.purged = False
        self._due = [None] * delivers + [KafkaError(KafkaError._MSG_TIMED_OUT)] * fails

    def produce(self, *_: object, on_delivery: Answer, **__: object) -> None:
        self.answers.append(on_delivery)

    def poll(self, _: float) -> int:
        while self._due and self.answers:
            self.answers.pop(0)(self._due.pop(0), None)
        raise KafkaException(KafkaError(KafkaError.CLUSTER_AUTHORIZATION_FAILED, "not allowed", fatal=True))

    def purge(self) -> None:
        self.purged = True


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Doomed]:
    monkeypatch.setattr("ol0.kafka.sending.accounted_producer.RETIRE_S", 0.01)
    monkeypatch.setattr("ol0.kafka.sending.accounted_producer.BACK_OFF_S", (0.0, 1_000.0))
    return []


def an_outbox(made: list[Doomed], delivers: int = 0, fails: int = 0) -> AccountedProducer:
    def make() -> Producer:
        made.append(Doomed(delivers, fails))
        return cast("Producer", made[-1])

    return AccountedProducer(make, LogThrottle(logging.getLogger("ol0.test")))


def test_what_a_lost_producer_had_is_counted_by_the_reason_of_the_loss(made: list[Doomed]) -> None:
    outbox = an_outbox(made, delivers=3, fails=2)
    assert all(outbox.put(MESSAGE) for _ in range(10))
    assert outbox.pending == 10
    outbox.poll(0.0)
    assert (outbox.delivered, outbox.failed, outbox.pending) == (3, 7, 0)
    assert outbox.failures == {"_MSG_TIMED_OUT": 2, "CLUSTER_AUTHORIZATION_FAILED": 5}
    assert made[0].purged


def test_another_producer_takes_over_and_the_sums_go_on(made: list[Doomed]) -> None:
    outbox = an_outbox(made, delivers=1)
    for _ in range(2):
        assert outbox.put(MESSAGE)
        outbox.poll(0.0)
    assert (len(made), outbox.delivered, outbox.failed, outbox.pending) == (2, 2, 0, 0)


def test_producers_that_deliver_nothing_come_further_and_further_apart(made: list[Doomed]) -> None:
    outbox = an_outbox(made)
    for _ in range(2):
        assert outbox.put(MESSAGE)
        outbox.poll(0.0)
    assert not outbox.put(MESSAGE), "the next one comes after a thousand seconds"
    outbox.poll(0.0)
    assert (len(made), outbox.failed) == (2, 2)


def test_what_is_given_back_takes_nothing_more(made: list[Doomed]) -> None:
    outbox = an_outbox(made)
    outbox.close()
    assert not outbox.put(MESSAGE)
    assert not made
