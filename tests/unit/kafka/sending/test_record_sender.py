import time
from dataclasses import replace

import pytest

from ol0.config import KafkaConfig
from ol0.errors import RangeError, StreamError
from ol0.kafka.lineage import Lineage
from ol0.kafka.sending.record_sender import Deliveries, RecordSender
from support.examples import DECISION, USER_FEEDBACK


def away(**options: int) -> Lineage:
    """A lineage whose broker is away."""
    return Lineage.of(KafkaConfig(bootstrap_servers="127.0.0.1:1", options=options))


def sender() -> RecordSender:
    return RecordSender(away(**{"queue.buffering.max.messages": 2}), full_wait_s=0.05)


def test_a_full_queue_drops_the_newest_record_after_a_bounded_wait_and_counts_it() -> None:
    away = sender()
    assert away.send(DECISION)
    assert away.send(DECISION)
    began = time.monotonic()
    assert not away.send(DECISION)
    assert time.monotonic() - began < 2
    assert away.deliveries == Deliveries(dropped=1)
    assert away.pending == 2


def test_what_is_not_acknowledged_is_said() -> None:
    with pytest.raises(StreamError, match=r"not all of 3 records .* 1 found the queue full, 2 are in flight"):
        sender().send_all([DECISION, DECISION, USER_FEEDBACK], timeout_s=0.1)


def test_a_wrong_record_is_refused_at_once() -> None:
    away = sender()
    with pytest.raises(RangeError):
        away.send(replace(USER_FEEDBACK, thumb=7))
    assert away.pending == 0
