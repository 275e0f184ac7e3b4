"""One writer of Kafka transactions."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Timer
from typing import Final

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from ol0.errors import Fenced, StreamError
from ol0.kafka.broker_probe import require_broker
from ol0.kafka.clients import Clients
from ol0.kafka.messages import Outgoing, error_of, is_fatal, write
from ol0.kafka.rights import missing_right

HUNG_S: Final = 30.0
"""What a step may take beyond its time before it is no longer waited for."""
STEP_TIMEOUT_S: Final = 8.0
"""Longest wait for one step of a transaction: below the ten seconds in which a service leaves."""
INIT_TIMEOUT_S: Final = 30.0
"""At start the coordinator may still be loading, and a killed predecessor's transaction has to time out."""
RETRY_S: Final = 0.1
BACK_OFF_S: Final = (0.1, 0.2, 0.4, 0.8, 1.6)
"""Waits between attempts at an aborted transaction; after the last one the service stops."""
FENCED_CODES: Final = frozenset(
    {
        KafkaError._FENCED,  # noqa: SLF001 - librdkafka's own codes begin so
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.TRANSACTION_COORDINATOR_FENCED,
    }
)
VAGUE_CODES: Final = frozenset({KafkaError._FATAL, KafkaError._STATE, KafkaError._PURGE_QUEUE})  # noqa: SLF001 - same
"""What a call says after a fatal error. The error itself is what counts, and comes with the next poll."""
FATAL_WAIT_S: Final = 1.0


class Aborted(StreamError):  # noqa: N818 - a state of the world, as Fenced and Gap are
    """The transaction was aborted: nothing of it is visible, and it may be tried again."""


class TooLarge(Aborted):
    """It was aborted because of one message that its topic does not take: again only without such a one."""

    def __init__(self, reason: str, topic: str, size: int) -> None:
        super().__init__(reason)
        self.topic, self.size = topic, size


class Transactor:
    """Writes transactions as the one writer of a service in its lineage.

    Args:
        service: whose writer it is.
        clients: of the lineage.
        on_delivered: called for every message that a broker has acknowledged.
    """

    def __init__(
        self, service: str, clients: Clients, on_delivered: Callable[[Message], None] = lambda _: None
    ) -> None:
        self._service = service
        self._on_delivered = on_delivered
        self._fatal: KafkaError | None = None
        self._undelivered = ""  # the first message of this transaction that its topic did not take, and why
        self._too_large: tuple[str, int] | None = None  # topic and bytes of a message that was refused for its size
        self._clients = clients
        self._topics: set[str] = set()  # that this transaction writes to
        self._group = ""  # whose offsets it writes
        self._producer = clients.transactional_producer(service, clients.log_error)

    def init(self) -> None:
        """Becomes the writer: fences the one before and ends the transaction that it left open.

        Raises:
            StreamError: the broker does not answer.
        """
        require_broker(self._clients)  # in seconds; the step itself would take half a minute to give up
        self._step("init_transactions", lambda: self._producer.init_transactions(STEP_TIMEOUT_S), INIT_TIMEOUT_S)

    def commit(
        self, messages: Sequence[Outgoing], consumer: Consumer | None = None, offsets: Sequence[TopicPartition] = ()
    ) -> None:
        """Writes messages, and the offsets of ``consumer``'s group, in one transaction: all of them or nothing.

        Raises:
            TooLarge: nothing was written; it may be tried again without the message that is too large for its topic.
            Aborted: nothing was written; it may be tried again.
            Fenced: another process is the writer now.
            StreamError: the fate of the transaction is unknown; the next writer's ``init`` settles it.
        """
        self._undelivered, self._too_large = "", None
        self._topics = {message.topic for message in messages}
        self._step("begin_transaction", self._producer.begin_transaction)
        for message in messages:
            self._write(message)
        if consumer is not None and offsets:
            group = consumer.consumer_group_metadata()
            self._group = self._clients.group(self._service)
            self._step(
                "send_offsets_to_transaction",
                lambda: self._producer.send_offsets_to_transaction(list(offsets), group, STEP_TIMEOUT_S),
            )
        self._step("commit_transaction", lambda: self._producer.commit_transaction(STEP_TIMEOUT_S))

    def poll(self) -> None:
        """Takes in what librdkafka has to say between transactions.

        Raises:
            Fenced: another process is the writer now.
            StreamError: only a new producer can continue.
        """
        self._listen(0)
        if self._fatal is not None:
            self._refuse_fatal("poll", self._fatal)

    def _write(self, message: Outgoing) -> None:
        """Puts a message into the queue; a full queue drains while it waits."""
        deadline = time.monotonic() + STEP_TIMEOUT_S
        while True:
            try:
                return write(self._producer, message, self._note_delivery)
            except BufferError:
                self._listen(RETRY_S)
                if self._fatal is not None:
                    self._refuse_fatal("produce", self._fatal)
                if time.monotonic() > deadline:
                    self._abort(f"produce: the queue stayed full for {STEP_TIMEOUT_S:g} s")
            except KafkaException as exception:
                error = error_of(exception)
                if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
                    self._note_too_large(message.topic, size_of(message.key, message.value))
                self._refuse_fatal("produce", error)
                self._abort(f"produce: {error.str()}")

    def _step(self, name: str, call: Callable[[], None], timeout_s: float = STEP_TIMEOUT_S) -> None:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                with must_return(f"{self._service}, {name}", STEP_TIMEOUT_S + HUNG_S):
                    return call()
            except KafkaException as exception:
                error = error_of(exception)
                self._refuse_fatal(name, error)
                if error.txn_requires_abort():
                    self._abort(f"{name}: {error.str()}{self._missing_right(error)}")
                if not error.retriable() or time.monotonic() > deadline:
                    raise StreamError(
                        f"{self._service}, {name}: {error.str()}{self._missing_right(error)}"
                    ) from exception
                time.sleep(RETRY_S)

    def _abort(self, reason: str) -> None:
        """Ends the transaction without effect; always raises."""
        self._step("abort_transaction", lambda: self._producer.abort_transaction(STEP_TIMEOUT_S))
        reason = f"{self._service}: transaction aborted, {reason}{self._undelivered}"
        if self._too_large is not None:
            raise TooLarge(reason, *self._too_large)
        raise Aborted(reason)

    def _refuse_fatal(self, name: str, error: KafkaError) -> None:
        """Raises where only a new producer can continue. Which error it was often comes after the call that fails."""
        if error.code() in VAGUE_CODES and self._fatal is None:
            self._listen(FATAL_WAIT_S)
        cause = self._fatal or error
        if cause.code() in FENCED_CODES:
            raise Fenced(
                f"{self._service}, {name}: another process writes for this service now, or this one stood still longer "
                f"than its transaction may last ({cause.str()}); it stops, and its restart takes over"
                f"{self._undelivered}"
            )
        if is_fatal(cause):
            hint = self._missing_right(cause) or "; only a new producer can continue"
            raise StreamError(f"{self._service}, {name}: {cause.str()}{hint}")

    def _missing_right(self, error: KafkaError) -> str:
        """For a topic, the broker does not say which of those in the transaction it was."""
        match error.code():
            case KafkaError.TOPIC_AUTHORIZATION_FAILED:
                return missing_right(error, "Write", self._topics)
            case KafkaError.GROUP_AUTHORIZATION_FAILED:
                return missing_right(error, "Read", [self._group])
            case _:
                return missing_right(error, "Write", [self._clients.transactional_id(self._service)])

    def _note_too_large(self, topic: str, size: int) -> None:
        """A broker refuses whole batches: of all that it names, the largest message is to blame."""
        if self._too_large is None or size > self._too_large[1]:
            self._too_large = (topic, size)

    def _listen(self, wait_s: float) -> None:
        """Serves callbacks. A fatal error does not come by callback: ``poll`` raises it, once."""
        try:
            self._producer.poll(wait_s)
        except KafkaException as exception:
            self._fatal = self._fatal or error_of(exception)

    def _note_delivery(self, error: KafkaError | None, message: Message) -> None:
        """Why a transaction ran out of time is not in its own error: a topic that is missing, or takes no more."""
        if error is None:
            self._on_delivered(message)
            return
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            self._note_too_large(str(message.topic()), size_of(message.key(), message.value()))
        if not self._undelivered:
            right = missing_right(error, "Write", [str(message.topic())])
            self._undelivered = f"; {message.topic()} did not take a message: {error.str()}{right}"


def size_of(key: str | bytes | None, value: str | bytes | None) -> int:
    """The bytes of a message that count towards what its topic takes."""
    return len(key or b"") + len(value or b"")


def retry_aborted(attempt: Callable[[], None]) -> None:
    """Calls ``attempt`` until its transaction is not aborted.

    Raises:
        Aborted: it was aborted too often in a row.
    """
    for pause_s in BACK_OFF_S:
        try:
            return attempt()
        except Aborted as aborted:
            structlog.get_logger("ol0.transactor").warning("trying again", reason=str(aborted), pause_s=pause_s)
            time.sleep(pause_s)
    return attempt()


@contextmanager
def must_return(call: str, within_s: float) -> Iterator[None]:
    """Ends the process where its body takes longer, so that its supervisor starts it again.

    For calls that have a limit of their own and were seen not to keep it: librdkafka's ``send_offsets_to_transaction``
    after all brokers had died. Nothing else helps: the thread that waits cannot be woken.

    Args:
        call: what it is, for the last line.
        within_s: well beyond the call's own limit, in seconds.
    """
    timer = Timer(
        within_s, _end, (f"ol0: {call}: did not come back within {within_s:g} s; ending, to be started again",)
    )
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _end(words: str) -> None:
    sys.stderr.write(f"{words}\n")
    sys.stderr.flush()
    os._exit(1)
