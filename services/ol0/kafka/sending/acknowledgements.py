"""What the broker says of messages, counted; and sending messages until it has said so of all of them."""

import time
from collections.abc import Iterable

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from ol0.kafka.messages import Outgoing, error_of, write
from ol0.kafka.rights import missing_right

FULL_S = 0.05
"""How long one look at a full queue lasts."""


class Acknowledgements:
    """Counts delivery reports; ``take`` is the callback of every message that is to be counted.

    It calls nothing. Where an error of the producer itself is being raised, librdkafka may keep reporting, and then
    every call from here fails after it was made: a lock would stay taken.
    """

    __slots__ = ("delivered", "errors", "refused")

    def __init__(self) -> None:
        self.delivered = 0
        self.errors: list[KafkaError] = []
        self.refused: Message | None = None  # the last one

    def take(self, error: KafkaError | None, message: Message) -> None:
        """One message is at the broker, or will never be."""
        if error is None:
            self.delivered += 1
        else:
            self.errors += [error]
            self.refused = message

    @property
    def reason(self) -> str:
        """The first error as text; empty where there was none."""
        return self.words_of(self.errors[0]) if self.errors else ""

    def words_of(self, error: KafkaError) -> str:
        """An error as text, with the right that was missing where it is that."""
        topic = None if self.refused is None else self.refused.topic()
        return f"{error.str()}{missing_right(error, 'Write', [topic or 'of these records'])}"


def send_all(producer: Producer, messages: Iterable[Outgoing], timeout_s: float) -> tuple[int, Acknowledgements]:
    """Sends messages and waits for all acknowledgements; while the queue is full, it waits for room.

    Returns:
        How many messages there were, and what the broker said of them by then. Raises nothing of Kafka's.
    """
    found, sent = Acknowledgements(), 0
    for message in messages:
        sent += 1
        try:
            _send(producer, message, found, timeout_s)
        except KafkaException as exception:
            found.errors += [error_of(exception)]
    if found.delivered + len(found.errors) < sent:
        producer.flush(timeout_s)
    return sent, found


def _send(producer: Producer, message: Outgoing, found: Acknowledgements, timeout_s: float) -> None:
    deadline_s = time.monotonic() + timeout_s
    while True:
        try:
            write(producer, message, found.take)
        except BufferError:
            if time.monotonic() > deadline_s:
                raise KafkaException(KafkaError(KafkaError._QUEUE_FULL)) from None  # noqa: SLF001 - librdkafka's names
            producer.poll(FULL_S)
        else:
            producer.poll(0)
            return
