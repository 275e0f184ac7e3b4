"""Records that cannot be used, put aside with where they came from and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from confluent_kafka import Message

from ol0.errors import ContractError, StreamError
from ol0.kafka.lineage import Lineage
from ol0.kafka.messages import Headers, Outgoing, coordinates
from ol0.kafka.sending.acknowledgements import send_all
from ol0.wire.topics import Topics

MAX_REASON: Final = 1_000
"""Characters of an error message that travel along."""
MAX_KEY_BYTES: Final = 1_024
"""Of a key that travels along: four times what a key of OL0 may have, and far below what its topic leaves for it."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One unusable record, as it was read, and what is wrong with it. ``stage``: decode, check or handle."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    service: str
    stage: str
    error: ContractError

    @classmethod
    def of(cls, message: Message, *, service: str, stage: str, error: ContractError) -> "DeadLetter":
        """The dead letter of a message that was consumed."""
        topic, partition, offset = coordinates(message)
        value = message.value() or b""
        return cls(topic, partition, offset, message.key(), value, service, stage, error)

    @property
    def place(self) -> str:
        """Position of the record."""
        return f"{self.topic}[{self.partition}]@{self.offset}"

    def headers(self) -> Headers:
        """Source coordinates, by which repeats are recognised, and the reason."""
        return [
            ("source_topic", self.topic),
            ("source_partition", str(self.partition)),
            ("source_offset", str(self.offset)),
            ("service", self.service),
            ("stage", self.stage),
            ("error_class", type(self.error).__name__),
            # An error may quote what cannot be encoded: half a surrogate.
            ("message", str(self.error)[:MAX_REASON].encode(errors="backslashreplace").decode()),
        ]


def outgoing(letter: DeadLetter, topics: Topics) -> Outgoing:
    """The message of a dead letter.

    A value above the topic's size can only come out of a compressed batch, and no producer would take it; the same is
    true of a key without end. Of either, only the beginning is kept, and one more header says how long it was.
    """
    name = topics.logical(letter.topic)
    limit = topics.spec(name).max_message_bytes
    headers = letter.headers()
    if len(letter.value) > limit:
        headers.append(("truncated_from", str(len(letter.value))))
    if letter.key is not None and len(letter.key) > MAX_KEY_BYTES:
        headers.append(("key_truncated_from", str(len(letter.key))))
    key = None if letter.key is None else letter.key[:MAX_KEY_BYTES]
    return Outgoing(topics.dead_letter(name), key, letter.value[:limit], headers=headers)


class DeadLetters:
    """Writes dead letters and waits until the broker has them. For loops that write no transactions."""

    def __init__(self, lineage: Lineage, timeout_s: float = 10.0) -> None:
        self._producer = lineage.clients.producer()
        self._topics = lineage.topics
        self._timeout_s = timeout_s

    def write(self, letters: Sequence[DeadLetter]) -> None:
        """Writes all of them.

        Raises:
            StreamError: not every one was acknowledged in time. None may be given up, so nothing may go past them.
        """
        outgoing_letters = (outgoing(letter, self._topics) for letter in letters)
        sent, found = send_all(self._producer, outgoing_letters, self._timeout_s)
        if found.delivered < sent:
            reason = found.reason or f"no acknowledgement within {self._timeout_s:g} s"
            raise StreamError(f"{_where(letters, self._topics)}: {reason}")


def _where(letters: Sequence[DeadLetter], topics: Topics) -> str:
    first = letters[0]
    topic = topics.dead_letter(topics.logical(first.topic))
    return f"dead letter of {first.topic}[{first.partition}] at {first.offset} did not get into {topic}"
