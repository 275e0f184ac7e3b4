import logging
import os
import signal
import threading
import time

import pytest

from ol0.kafka.messages import Outgoing
from ol0.kafka.sending.accounted_producer import Outbox
from ol0.kafka.sending.host_sender import HostSender
from ol0.kafka.sending.producer_thread import CLOSED, FULL, GRACE_S, UNKNOWN, Account, Courier
from ol0.observability.log_throttle import Notes
from support.examples import DECISION
from testbed.waiting import wait_until
from unit.kafka.sending.test_record_sender import away

MESSAGE = Outgoing("topic", b"key", b"value")
THREADS, EACH = 50, 200


def a_courier(outbox: Outbox | None = None, messages: int = 1_000, size: int = 1_000_000) -> Courier:
    notes = Notes(logging.getLogger("ol0.test"))
    return Courier(outbox or Outbox(away().clients.producer, notes), (messages, size), notes)


class Stuck(Outbox):
    """One whose producer has the thread and does not give it back."""

    def __init__(self) -> None:
        super().__init__(away().clients.producer, Notes(logging.getLogger("ol0.test")))
        self.release = threading.Event()

    def poll(self, timeout_s: float) -> None:  # noqa: ARG002 - that is what is wrong with it
        self.release.wait()


class Broken(Outbox):
    """One that raises what nobody expects."""

    left = 3

    def poll(self, timeout_s: float) -> None:
        if self.left:
            self.left -= 1
            raise OSError("a log handler of the host's")
        super().poll(timeout_s)


def test_records_of_many_threads_are_delivered_or_counted_whatever_is_full() -> None:
    courier = a_courier(messages=300)
    threads = [threading.Thread(target=lambda: [courier.put(MESSAGE) for _ in range(EACH)]) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made = THREADS * EACH
    assert courier.account == Account(made, 0, {FULL: made - 300}, 300)
    courier.close(0.1)
    assert courier.account == Account(made, 0, {FULL: made - 300, UNKNOWN: 300}, 0)
    assert not courier.put(MESSAGE)
    assert courier.account.reasons[CLOSED] == 1


def test_what_waits_has_a_bound_in_bytes_too() -> None:
    stuck = Stuck()
    courier = a_courier(stuck, size=10 * len(b"value"))
    courier.put(MESSAGE)
    wait_until(lambda: stuck.pending == 1, 10)
    assert [courier.put(MESSAGE) for _ in range(11)] == [True] * 10 + [False]
    stuck.release.set()
    courier.close(0)


def test_closing_ends_in_time_though_the_producer_never_answers() -> None:
    stuck = Stuck()
    courier = a_courier(stuck)
    courier.put(MESSAGE)
    began_s = time.monotonic()
    courier.close(0.1)
    assert time.monotonic() - began_s < 0.1 + GRACE_S + 1
    assert courier.account == Account(1, 0, {UNKNOWN: 1}, 0)
    stuck.release.set()


def test_closing_without_a_record_takes_no_time() -> None:
    began_s = time.monotonic()
    a_courier().close(10)
    assert time.monotonic() - began_s < 1


def test_an_error_that_nobody_expects_does_not_end_the_thread(caplog: pytest.LogCaptureFixture) -> None:
    broken = Broken(away().clients.producer, Notes(logging.getLogger("ol0.test")))
    courier = a_courier(broken)
    courier.put(MESSAGE)
    wait_until(lambda: not broken.left, 10)
    courier.put(MESSAGE)
    wait_until(lambda: broken.pending == 2, 10)
    courier.close(0)
    assert "a log handler of the host's" in caplog.text


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # Python 3.12 warns of threads at a fork
def test_a_sender_in_a_forked_child_has_an_account_of_its_own() -> None:
    sender = HostSender(away())
    sender.send(DECISION)
    if not (pid := os.fork()):
        signal.alarm(20)  # a lock that somebody held at the fork is held here for ever
        status = 1
        try:
            fresh = sender.account == Account()
            sender.send(DECISION)
            status = 0 if fresh and sender.account.made == 1 else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert sender.account == Account(1, 0, {}, 1)
    sender.close(0)
