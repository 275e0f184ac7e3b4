"""Sending many messages at a time, and knowing that all are there."""

from collections.abc import Sequence
from typing import Final

import structlog
from confluent_kafka import KafkaError, KafkaException, Message

from ol0.errors import StreamError
from ol0.streaming.lineage import Lineage

ACKNOWLEDGED_S: Final = 10.0


class PileSender:
    """Sends piles of encoded records to one topic. Waits for each pile, so its memory is that of one.

    librdkafka gets a pile in one call: a third of the time that ``RecordSender`` takes, one record after the other.
    """

    def __init__(self, name: str, lineage: Lineage, timeout_s: float = ACKNOWLEDGED_S) -> None:
        """Connects nothing yet.

        Args:
            name: logical name of the topic.
            lineage: where it is.
            timeout_s: how long a pile may take.
        """
        self._topic = lineage.topics.full(name)
        self._producer = lineage.clients.producer()
        self._timeout_s = timeout_s

    def send(self, messages: Sequence[tuple[bytes, bytes]]) -> None:
        """Sends (key, value) pairs and waits until the broker has all of them.

        Raises:
            StreamError: one is not there. Some others may be: what is sent again must be recognisable.
        """
        pile = [{"key": key, "value": value} for key, value in messages]
        receipt = _Receipt()
        try:
            queued = self._producer.produce_batch(self._topic, pile, on_delivery=receipt.count)
        except (BufferError, KafkaException) as error:
            raise StreamError(f"{self._topic} takes none of {len(pile)} records: {error}") from error
        self._producer.flush(self._timeout_s)
        if receipt.delivered < len(pile):
            waiting = queued - receipt.delivered - receipt.failed
            raise StreamError(
                f"not all of {len(pile)} records were acknowledged within {self._timeout_s:g} s: "
                f"{len(pile) - queued} found the queue full, {waiting} are under way, {receipt.failed} failed "
                f"{receipt.reason}; is the broker up and the topic there (`ol0 topics diff`)?"
            )


class _Receipt:
    """What became of one pile. Of its own, for an earlier one that took too long may still be delivered."""

    def __init__(self) -> None:
        self.delivered = self.failed = 0
        self.reason = ""
        self._log = structlog.get_logger("ol0.sender")

    def count(self, error: KafkaError | None, message: Message) -> None:
        """One message is there, or will never be."""
        if error is None:
            self.delivered += 1
            return
        self.failed += 1
        self.reason = f"({error.str()})"
        self._log.error("a record was not delivered", topic=message.topic(), reason=error.str())
