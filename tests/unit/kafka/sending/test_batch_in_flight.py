import pytest
from structlog.testing import capture_logs

from ol0.config import KafkaConfig
from ol0.errors import StreamError
from ol0.kafka.lineage import Lineage
from ol0.kafka.sending.batch_in_flight import BatchSender

PILE = [(b"session-%d" % number, b"outcome") for number in range(3)]


def sender(timeout_s: float, **options: int) -> BatchSender:
    """One whose broker is away."""
    kafka = KafkaConfig(bootstrap_servers="127.0.0.1:1", options=dict(options))
    return BatchSender("outcomes", Lineage.of(kafka), timeout_s)


def test_what_is_not_acknowledged_is_said() -> None:
    with pytest.raises(StreamError, match=r"not all of 3 records .* 0 found the queue full, 3 are in flight"):
        sender(0.1).send(PILE).wait()


def test_what_finds_the_queue_full_is_said() -> None:
    with pytest.raises(StreamError, match=r"1 found the queue full, 2 are in flight"):
        sender(0.1, **{"queue.buffering.max.messages": 2}).send(PILE).wait()


def test_what_failed_is_said_with_the_reason() -> None:
    with pytest.raises(StreamError, match=r"3 failed \(.*timed out"):
        sender(5, **{"message.timeout.ms": 200, "linger.ms": 5}).send(PILE).wait()


def test_what_the_topic_will_never_take_is_left_out_and_does_not_hold_the_others_up() -> None:
    too_long = (b"session", bytes(2**21))

    with capture_logs() as lines:
        assert sender(0.1).send([too_long]).done()
        with pytest.raises(StreamError, match=r"not all of 3 records .* 3 are in flight"):
            sender(0.1).send([*PILE, too_long]).wait()

    assert [line["count"] for line in lines if "left out" in line["event"]] == [1, 1]
