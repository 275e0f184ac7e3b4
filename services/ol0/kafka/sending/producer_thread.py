"""The one thread of a host's process that owns a producer, and the queue in which others leave messages for it."""

import logging
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from ol0.kafka.messages import Outgoing
from ol0.kafka.sending.accounted_producer import AccountedProducer
from ol0.observability.log_throttle import LogThrottle

BATCH: Final = 500
"""Messages that are taken out of the queue at once."""
BUSY_S: Final = 0.01
"""Longest look at what was delivered while something is under way."""
IDLE_S: Final = 1.0
"""Longest sleep where nothing is under way; a message ends it."""
GRACE_S: Final = 2.0
"""What ``close`` may take beyond its time: for a producer that is being given up."""
FULL: Final = "queue full"
CLOSED: Final = "after close"
UNKNOWN: Final = "not acknowledged before close"


@dataclass(frozen=True, slots=True)
class Account:
    """The account of a host's records: made = delivered + dropped + waiting, and nothing waits after ``close``.

    Attributes:
        made: records that the host has made.
        delivered: the broker has them.
        reasons: the lost ones by reason: one of this module, or librdkafka's name of an error, such as
            ``_MSG_TIMED_OUT``. What was not acknowledged when it was given up may still have arrived.
        waiting: on their way.
    """

    made: int = 0
    delivered: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    waiting: int = 0

    @property
    def dropped(self) -> int:
        """Records that are lost, as far as is known."""
        return sum(self.reasons.values())


class ProducerThread:
    """Takes messages from any thread and never waits; a thread of its own brings them to the producer.

    No other thread touches the producer, so no call can meet an error of it, and whatever the broker does costs the
    host a place in a bounded queue. The thread begins with the first message.

    Args:
        outbox: has the producer.
        largest_queue: messages that may wait, here and in the producer together, and bytes of them that wait here.
        notes: logs what was lost.
    """

    def __init__(self, outbox: AccountedProducer, largest_queue: tuple[int, int], notes: LogThrottle) -> None:
        self._outbox, self._notes = outbox, notes
        self._largest_messages, self._largest_bytes = largest_queue
        self._queue: deque[Outgoing] = deque()
        self._bytes = self._made = self._told = 0
        self._refused = {FULL: 0, CLOSED: 0}
        self._lock = threading.Lock()
        self._work, self._ended = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._deadline_s: float | None = None  # set by close()
        self._over = False

    @property
    def account(self) -> Account:
        """The account so far."""
        with self._lock:
            made, reasons = self._made, {name: count for name, count in self._refused.items() if count}
        failures, delivered = self._outbox.failures, self._outbox.delivered
        waiting = max(made - sum(reasons.values()) - sum(failures.values()) - delivered, 0)
        if self._over and waiting:
            reasons[UNKNOWN], waiting = waiting, 0
        return Account(made, delivered, {**reasons, **failures}, waiting)

    def put(self, message: Outgoing) -> bool:
        """Whether the message is on its way; the others are counted."""
        size = len(message.value or b"")
        with self._lock:
            self._made += 1
            if (reason := self._refusal(size)) is not None:
                self._refused[reason] += 1
                return False
            self._queue.append(message)
            self._bytes += size
            if self._thread is None:
                self._start()
        if not self._work.is_set():
            self._work.set()
        return True

    def flush(self, timeout_s: float) -> int:
        """Waits until nothing is on its way; returns how much is."""
        deadline_s = time.monotonic() + timeout_s
        while (waiting := self.account.waiting) and time.monotonic() < deadline_s:
            time.sleep(BUSY_S)
        return waiting

    def close(self, timeout_s: float) -> None:
        """Takes nothing more, waits for what is on its way, and counts the rest as lost.

        Returns within ``timeout_s`` and two seconds, whatever broker and producer do.
        """
        with self._lock:
            if self._deadline_s is None:
                self._deadline_s = time.monotonic() + timeout_s
            running = self._thread is not None
        self._work.set()
        if running:
            self._ended.wait(timeout_s + GRACE_S)
        self._over = True
        self._tell()
        self._notes.tell()

    def _refusal(self, size: int) -> str | None:
        if self._deadline_s is not None:
            return CLOSED
        under_way = self._made - 1 - self._refused[FULL] - self._outbox.delivered - self._outbox.failed
        if under_way >= self._largest_messages or self._bytes + size > self._largest_bytes:
            return FULL
        return None

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="ol0-records", daemon=True)
        with suppress(RuntimeError):  # no more threads at this moment: the next message tries again
            thread.start()
            self._thread = thread

    def _run(self) -> None:
        batch: deque[Outgoing] = deque()
        while not self._finished():
            try:
                self._round(batch)
            except Exception as error:  # noqa: BLE001 - a log handler of the host's for one: the next records go out
                with suppress(Exception):
                    self._notes.note("cannot send for a moment", f"{type(error).__name__}: {error}", logging.ERROR)
                time.sleep(BUSY_S)
        self._ended.set()
        self._outbox.close()

    def _round(self, batch: deque[Outgoing]) -> None:
        """Hands over what there is room for, and takes in what was delivered."""
        if not batch:
            self._take(batch)
        while batch and self._outbox.put(batch[0]):
            batch.popleft()
        busy = batch or self._queue or self._outbox.pending
        if not busy:
            self._work.clear()
            if not self._queue:  # what comes from here on sets it again
                self._work.wait(IDLE_S)
        self._outbox.poll(BUSY_S if batch or (busy and not self._queue) else 0)
        if self._notes.due:
            self._tell()

    def _take(self, batch: deque[Outgoing]) -> None:
        with self._lock:
            while self._queue and len(batch) < BATCH:
                message = self._queue.popleft()
                self._bytes -= len(message.value or b"")
                batch.append(message)

    def _finished(self) -> bool:
        """After ``close``: whether nothing is left to do, or no time to do it."""
        if self._deadline_s is None:
            return False
        return not self.account.waiting or time.monotonic() >= self._deadline_s

    def _tell(self) -> None:
        """Of those that never got as far as a producer; of the others the outbox tells."""
        refused = sum(self._refused.values())
        if lost := refused - self._told:
            self._told = refused
            reason = "the queue is full" if self._deadline_s is None else "the queue was full, or closed"
            self._notes.note("records were dropped", reason, logging.ERROR, lost)
