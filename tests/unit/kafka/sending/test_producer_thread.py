import logging
import os
import signal
import threading
import time

import pytest

from ol0.kafka.messages import Outgoing
from ol0.kafka.sending.accounted_producer import AccountedProducer
from ol0.kafka.sending.host_sender import HostSender
from ol0.kafka.sending.producer_thread import CLOSED, FULL, GRACE_S, UNKNOWN, Account, ProducerThread
from ol0.observability.log_throttle import LogThrottle
from support.examples import DECISION
from testbed.waiting import wait_until
from unit.kafka.sending.test_record_sender import away

MESSAGE = Outgoing("topic", b"key", b"value")
THREADS, EACH = 50, 200


def a_thread(outbox: AccountedProducer | None = None, messages: int = 1_000, size: int = 1_000_000) -> ProducerThread:
    notes = LogThrottle(logging.getLogger("ol0.test"))
    return ProducerThread(outbox or AccountedProducer(away().clients.producer, notes), (messages, size), notes)


class Stuck(AccountedProducer):
    """One whose producer has the thread and does not give it back."""

    def __init__(self) -> None:
        super().__init__(away().clients.producer, LogThrottle(logging.getLogger("ol0.test")))
        self.release = threading.Event()

    def poll(self, timeout_s: float) -> None:  # noqa: ARG002 - that is what is wrong with it
        self.release.wait()


class Broken(AccountedProducer):
    """One that raises what nobody expects."""

    left = 3

    def poll(self, timeout_s: float) -> None:
        if self.left:
            self.left -= 1
            raise OSError("a log handler of the host's")
        super().poll(timeout_s)


def test_records_of_many_threads_are_delivered_or_counted_whatever_is_full() -> None:
    thread = a_thread(messages=300)
    threads = [threading.Thread(target=lambda: [thread.put(MESSAGE) for _ in range(EACH)]) for _ in range(THREADS)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    made = THREADS * EACH
    assert thread.account == Account(made, 0, {FULL: made - 300}, 300)
    thread.close(0.1)
    assert thread.account == Account(made, 0, {FULL: made - 300, UNKNOWN: 300}, 0)
    assert not thread.put(MESSAGE)
    assert thread.account.reasons[CLOSED] == 1


def test_what_waits_has_a_bound_in_bytes_too() -> None:
    stuck = Stuck()
    thread = a_thread(stuck, size=10 * len(b"value"))
    thread.put(MESSAGE)
    wait_until(lambda: stuck.pending == 1, 10)
    assert [thread.put(MESSAGE) for _ in range(11)] == [True] * 10 + [False]
    stuck.release.set()
    thread.close(0)


def test_closing_ends_in_time_though_the_producer_never_answers() -> None:
    stuck = Stuck()
    thread = a_thread(stuck)
    thread.put(MESSAGE)
    began_s = time.monotonic()
    thread.close(0.1)
    assert time.monotonic() - began_s < 0.1 + GRACE_S + 1
    assert thread.account == Account(1, 0, {UNKNOWN: 1}, 0)
    stuck.release.set()


def test_closing_without_a_record_takes_no_time() -> None:
    began_s = time.monotonic()
    a_thread().close(10)
    assert time.monotonic() - began_s < 1


def test_an_error_that_nobody_expects_does_not_end_the_thread(caplog: pytest.LogCaptureFixture) -> None:
    broken = Broken(away().clients.producer, LogThrottle(logging.getLogger("ol0.test")))
    thread = a_thread(broken)
    thread.put(MESSAGE)
    wait_until(lambda: not broken.left, 10)
    thread.put(MESSAGE)
    wait_until(lambda: broken.pending == 2, 10)
    thread.close(0)
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
