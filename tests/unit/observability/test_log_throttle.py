import logging

import pytest

from ol0.observability.log_throttle import EVERY_S, LogThrottle


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_an_outage_is_one_line_at_once_and_then_a_line_a_minute_with_counts(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    notes = LogThrottle(logging.getLogger("ol0.kafka"), clock)
    for _ in range(343):
        notes.note("FAIL", "connection refused")
    notes.note("records were dropped", "the queue is full", logging.ERROR, 50)
    assert [record.getMessage() for record in caplog.records] == ["FAIL (1): connection refused"]

    clock.now_s += EVERY_S
    notes.note("records were dropped", "the queue is full", logging.ERROR, 7)
    assert [(record.name, record.levelname) for record in caplog.records][1:] == [("ol0.kafka", "ERROR")]
    text = caplog.records[-1].getMessage()
    assert text == "FAIL (342): connection refused; records were dropped (57): the queue is full"


def test_what_is_left_can_be_told_at_once_and_nothing_is_told_twice(caplog: pytest.LogCaptureFixture) -> None:
    notes = LogThrottle(logging.getLogger("ol0.kafka"), Clock())
    for _ in range(3):
        notes.note("FAIL", "connection refused")
    notes.tell()
    notes.tell()
    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["FAIL (1): connection refused", "FAIL (2): connection refused"]


def test_a_forked_child_does_not_tell_what_its_parent_has_heard(caplog: pytest.LogCaptureFixture) -> None:
    notes = LogThrottle(logging.getLogger("ol0.kafka"), Clock())
    for _ in range(3):
        notes.note("FAIL", "connection refused")
    notes.clear()
    notes.tell()
    assert len(caplog.records) == 1
