"""Sending records outside of transactions, with an account of their delivery."""

import logging
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from ol0.errors import StreamError
from ol0.kafka.lineage import Lineage
from ol0.kafka.messages import Outgoing, to_message
from ol0.kafka.sending.accounted_producer import AccountedProducer
from ol0.records import Record, Tick

ACKNOWLEDGED_S: Final = 10.0
POLL_S: Final = 0.01


@dataclass(frozen=True, slots=True)
class Deliveries:
    """The account so far. ``dropped`` never entered the queue, ``failed`` was not acknowledged."""

    delivered: int = 0
    failed: int = 0
    dropped: int = 0


class RecordSender:
    """Sends records to their topics, each written once however often librdkafka has to retry.

    Its memory is bounded: when the queue is full a record waits ``full_wait_s`` and is then dropped and counted. For
    services and commands, which look after it themselves; in a host ``ProducerThread`` does. May be used from several
    threads.
    """

    def __init__(self, lineage: Lineage, full_wait_s: float = 0.1) -> None:
        self._notes = lineage.clients.notes
        lineage.clients.producer()  # a wrong option fails here, not at the first record
        self._outbox = AccountedProducer(lineage.clients.producer, self._notes)
        self._topics = lineage.topics
        self._codec = lineage.codec
        self._full_wait_s = full_wait_s
        self._dropped = 0
        self._lock = threading.Lock()

    @property
    def deliveries(self) -> Deliveries:
        """The account; up to date as of the last call of any method."""
        return Deliveries(self._outbox.delivered, self._outbox.failed, self._dropped)

    @property
    def pending(self) -> int:
        """Records that are on their way; the producer's own count would have log lines and errors in it."""
        return self._outbox.pending

    def send(self, record: Record) -> bool:
        """Sends a record to the topic where it belongs; returns at once whether it is on its way.

        Raises:
            ContractError: no reader would take it.
        """
        return self._send(to_message(record, self._topics, self._codec))

    def send_to(self, record: Record, topic: str, partition: int) -> bool:
        """Sends a record, without key, to one partition of a topic by its full name: how ticks travel.

        Raises:
            ContractError: no reader would take it.
        """
        return self._send(Outgoing(topic, None, self._codec.encode(record), partition))

    def send_all(self, records: Sequence[Record], timeout_s: float = ACKNOWLEDGED_S) -> None:
        """Sends records and waits until the broker has all of them.

        Raises:
            ContractError: no reader would take one of them.
            StreamError: one is not there. Some others may be: what is sent again must be recognisable.
        """
        self._send_all([to_message(record, self._topics, self._codec) for record in records], timeout_s)

    def delete(self, topic: str, keys: Sequence[str]) -> None:
        """Deletes records of a compacted topic, by its logical name and their keys, as ``send_all`` sends.

        Raises:
            StreamError: as ``send_all``.
        """
        name = self._topics.full(topic)
        self._send_all([Outgoing(name, key.encode(), None) for key in keys], ACKNOWLEDGED_S)

    def send_ticks(self, tick: Tick, places: Iterable[tuple[str, int]]) -> None:
        """``send_all`` for one tick into many partitions, by full topic name and number.

        Raises:
            StreamError: as ``send_all``.
        """
        value = self._codec.encode(tick)
        self._send_all([Outgoing(topic, None, value, number) for topic, number in places], ACKNOWLEDGED_S)

    def _send_all(self, messages: Sequence[Outgoing], timeout_s: float) -> None:
        before = self.deliveries
        queued = [self._send(message) for message in messages]
        waiting = self.flush(timeout_s)
        after = self.deliveries
        if waiting or not all(queued) or after.failed > before.failed:
            why = f" ({self._outbox.reason})" if after.failed > before.failed else ""
            raise StreamError(
                f"not all of {len(messages)} records were acknowledged within {timeout_s:g} s: "
                f"{queued.count(False)} found the queue full, {waiting} are in flight, "
                f"{after.failed - before.failed} failed{why}; is the broker up and the topic there (`ol0 topics diff`)?"
            )

    def poll(self) -> None:
        """Takes in what was delivered. Every call of ``send`` does; a quiet sender may do it now and then."""
        with self._lock:
            self._outbox.poll(0)

    def flush(self, timeout_s: float) -> int:
        """Waits until everything is delivered or failed; returns how many are still on their way."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            with self._lock:
                self._outbox.poll(POLL_S)
            if not self.pending or time.monotonic() >= deadline_s:
                return self.pending

    def _send(self, message: Outgoing) -> bool:
        deadline_s = time.monotonic() + self._full_wait_s
        while True:
            with self._lock:
                taken = self._outbox.put(message)
                # A full queue too: what is in it may have been delivered long ago, and only this takes it out.
                self._outbox.poll(0)
                taken = taken or self._outbox.put(message)
            if taken:
                return True
            if time.monotonic() >= deadline_s:
                return self._drop(message)
            time.sleep(POLL_S)

    def _drop(self, message: Outgoing) -> bool:
        with self._lock:
            self._dropped += 1
        self._notes.note(
            "records were dropped", f"{message.topic}: the queue is full, or has no producer", logging.ERROR
        )
        return False
