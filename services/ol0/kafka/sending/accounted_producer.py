"""A producer that is replaced when it is lost, and an account of every message that it was given."""

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Producer

from ol0.errors import ConfigError
from ol0.kafka.messages import Outgoing, error_of, is_fatal, write
from ol0.kafka.sending.acknowledgements import Acknowledgements
from ol0.observability.log_throttle import LogThrottle

BACK_OFF_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0)
"""Waits before a new producer, the last one for as long as none of them delivers anything."""
RETIRE_S: Final = 0.5
"""How long a lost producer may take to report on its messages."""

PURGED: Final = frozenset({KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})  # noqa: SLF001 - librdkafka's names
"""What becomes of the messages of a producer that is given up."""


class AccountedProducer:
    """Gives messages to a producer and accounts for each. For one thread at a time; others may read the counts.

    After a fatal error (no permission to write, a log that lost its end) librdkafka's producer refuses everything for
    ever. Here it is given up, what it had is counted, and after a pause there is another one. Nothing calls ``flush``:
    it keeps calling back while an error is pending, where ``poll`` stops at the first.

    Args:
        make: makes a producer.
        notes: logs what was lost.
    """

    def __init__(self, make: Callable[[], Producer], notes: LogThrottle) -> None:
        self._make, self._notes = make, notes
        self._producer: Producer | None = None
        self._reports = Acknowledgements()
        self._given = 0  # to this producer
        self._delivered_before = 0  # delivered by those before it
        self._failures: dict[str, int] = {}
        self._failed = 0
        self._reason = ""
        self._losses, self._again_at_s = 0, 0.0

    @property
    def delivered(self) -> int:
        """Messages that the broker has."""
        return self._delivered_before + self._reports.delivered

    @property
    def failed(self) -> int:
        """Messages that it will never have, or whose fate is unknown."""
        return self._failed

    @property
    def failures(self) -> Mapping[str, int]:
        """The same by librdkafka's name of the reason."""
        return dict(self._failures)

    @property
    def reason(self) -> str:
        """Why the last one that failed did; empty where none did."""
        return self._reason

    @property
    def pending(self) -> int:
        """Messages that are on their way."""
        return self._given - self._reports.delivered - len(self._reports.errors)

    def put(self, message: Outgoing) -> bool:
        """Takes a message over; false where there is no room, or no producer, at this moment."""
        producer = self._living()
        if producer is None:
            return False
        try:
            write(producer, message, self._reports.take)
        except BufferError:
            return False
        except KafkaException as exception:
            error = error_of(exception)
            if is_fatal(error):
                self._retire(error)
                return False
            self._fail([error])
            return True
        self._given += 1
        return True

    def poll(self, timeout_s: float) -> None:
        """Takes in delivery reports; waits at most ``timeout_s``, below .2 s, for the first."""
        if self._producer is None:
            time.sleep(timeout_s)
            return
        try:
            self._producer.poll(timeout_s)
        except KafkaException as exception:
            self._retire(error_of(exception))
        else:
            self._settle()

    def close(self) -> None:
        """Gives the producer back; what is pending is given up."""
        self._producer, self._again_at_s = None, math.inf

    def _living(self) -> Producer | None:
        """The producer: made when the first message comes, and replaced when it was lost long enough ago."""
        if self._producer is None and time.monotonic() >= self._again_at_s:
            try:
                self._producer = self._make()
            except (ConfigError, KafkaException) as error:
                self._pause(str(error))
        return self._producer

    def _retire(self, error: KafkaError) -> None:
        """Gives the producer up. What it had and does not report any more counts as failed."""
        producer, self._producer = self._producer, None
        assert producer is not None
        deadline_s = time.monotonic() + RETIRE_S
        producer.purge()
        while self.pending and time.monotonic() < deadline_s:
            try:
                producer.poll(0.05)
            except KafkaException:
                continue  # it says once more what is known
        reports = self._reports
        reports.errors += [error] * self.pending
        reports.errors = [error if one.code() in PURGED else one for one in reports.errors]
        self._settle()
        if reports.delivered:
            self._losses = 0
        self._delivered_before += reports.delivered
        self._reports, self._given = Acknowledgements(), 0
        self._pause(f"{error.name()}: {error.str()}")

    def _pause(self, reason: str) -> None:
        wait_s = BACK_OFF_S[min(self._losses, len(BACK_OFF_S) - 1)]
        self._losses += 1
        self._again_at_s = time.monotonic() + wait_s
        self._notes.note("the producer was lost", f"{reason}; a new one in {wait_s:g} s", logging.ERROR)

    def _settle(self) -> None:
        """Counts what was reported as failed."""
        reports = self._reports
        if not reports.errors:
            return
        errors, reports.errors = reports.errors, []
        self._given -= len(errors)
        self._fail(errors)

    def _fail(self, errors: Sequence[KafkaError]) -> None:
        self._failed += len(errors)
        texts = {error.name(): self._reports.words_of(error) for error in errors}
        for name, count in Counter(error.name() for error in errors).items():
            self._failures[name] = self._failures.get(name, 0) + count
            self._reason = texts[name]
            self._notes.note("records were not delivered", f"{name}: {texts[name]}", logging.ERROR, count)
