from collections.abc import Sequence
from threading import Event

import pytest

from ol0.errors import StoreError
from ol0.feedback.closing import ClosingBeside
from ol0.streaming.sink import Partition, SourceRecord
from waiting import wait_until

FIRST = Partition("t.decisions.v1", 0)
TIMEOUT_S = 10.0


class SlowSink:
    """A sink whose ``idle`` ends when a test lets it, or fails."""

    def __init__(self) -> None:
        self.begun, self.ended = 0, 0
        self.may_end = Event()
        self.fault: StoreError | None = None
        self.applied: list[int] = []

    def claim(self, _partition: Partition) -> int:
        return 7

    def apply(self, _partition: Partition, _records: Sequence[SourceRecord], next_offset: int) -> bool:
        self.applied.append(next_offset)
        return True

    def release(self, _partition: Partition) -> None:
        self.applied.clear()

    def idle(self) -> None:
        self.begun += 1
        assert self.may_end.wait(TIMEOUT_S)
        if self.fault is not None:
            raise self.fault
        self.ended += 1


def test_records_are_taken_in_while_windows_close() -> None:
    slow = SlowSink()
    with ClosingBeside(slow) as sink:
        sink.idle()
        wait_until(lambda: slow.begun == 1, TIMEOUT_S)

        assert sink.claim(FIRST) == 7
        assert sink.apply(FIRST, [], 8)
        assert (slow.applied, slow.ended) == ([8], 0)
        slow.may_end.set()


def test_what_was_asked_for_is_done_before_the_end() -> None:
    slow = SlowSink()
    slow.may_end.set()
    with ClosingBeside(slow) as sink:
        sink.idle()

    assert slow.ended >= 1
    assert slow.ended == slow.begun


def test_asking_while_it_works_is_asking_once_more() -> None:
    slow = SlowSink()
    with ClosingBeside(slow) as sink:
        sink.idle()
        wait_until(lambda: slow.begun == 1, TIMEOUT_S)
        for _ in range(3):
            sink.idle()
        slow.may_end.set()
        wait_until(lambda: slow.ended == 2, TIMEOUT_S)


def test_what_went_wrong_is_raised_where_the_loop_runs() -> None:
    slow = SlowSink()
    slow.fault = StoreError("away")
    slow.may_end.set()

    def ask_for_ever() -> None:
        with ClosingBeside(slow) as sink:

            def ask() -> bool:
                sink.idle()
                return False

            wait_until(ask, TIMEOUT_S)

    with pytest.raises(StoreError, match="away"):
        ask_for_ever()


def test_what_goes_wrong_at_the_very_end_is_raised_too() -> None:
    slow = SlowSink()
    slow.fault = StoreError("away")
    slow.may_end.set()

    with pytest.raises(StoreError, match="away"), ClosingBeside(slow) as sink:
        sink.idle()
