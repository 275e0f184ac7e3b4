from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME, Message

from ol0.kafka.broker_time import BrokerTime


class Seconds:
    """A monotonic clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def message(kind: int, time_ms: int) -> Message:
    return Message("topic", 0, 0, b"", b"", [], None, (kind, time_ms))


def test_before_any_broker_has_said_a_time_nobody_knows_it() -> None:
    assert BrokerTime(Seconds()).now_ms is None


def test_time_goes_on_from_the_newest_append_by_a_clock_that_only_goes_on() -> None:
    seconds = Seconds()
    broker = BrokerTime(seconds)
    broker.hear(message(TIMESTAMP_LOG_APPEND_TIME, 5_000))
    seconds.now_s += 2.5
    assert broker.now_ms == 7_500


def test_an_older_append_time_takes_nothing_back() -> None:
    seconds = Seconds()
    broker = BrokerTime(seconds)
    broker.note(5_000)
    seconds.now_s += 2.0
    broker.hear(message(TIMESTAMP_LOG_APPEND_TIME, 6_000))
    assert broker.now_ms == 7_000
    broker.hear(message(TIMESTAMP_LOG_APPEND_TIME, 8_000))
    assert broker.now_ms == 8_000


def test_what_a_producer_says_of_the_time_is_no_time() -> None:
    broker = BrokerTime(Seconds())
    broker.hear(message(TIMESTAMP_CREATE_TIME, 5_000))
    assert broker.now_ms is None
