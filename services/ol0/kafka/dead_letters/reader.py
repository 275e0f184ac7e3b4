"""Reading the dead-letter topics: each letter parsed, with a mark where its headers are not what OL0 writes."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition

from ol0.errors import StreamError
from ol0.kafka.lineage import Lineage
from ol0.kafka.messages import broker_errors, coordinates, is_usable
from ol0.wire.topics import Topics

Header = tuple[str, bytes | None]

TIMEOUT_S: Final = 15.0
READER: Final = "dlq"
"""Names the consumer group."""
WAIT_S: Final = 0.25
BATCH: Final = 100
"""Messages at once: with the largest there may be, about 100 MB."""
REQUIRED: Final = (
    "source_topic",
    "source_partition",
    "source_offset",
    "service",
    "stage",
    "error_class",
    "message",
)
MAX_DIGITS: Final = 18
"""Of a partition or an offset: what Kafka's 64 bits hold in any case."""


@dataclass(frozen=True, slots=True)
class Place:
    """The position of a message, by the full name of its topic."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]@{self.offset}"


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter as it was found.

    Attributes:
        source: position of the bad record; None where the headers do not say.
        found_at: position of this letter in the dead-letter topic.
        time_ms: when the letter was written.
        truncated_from: bytes that the record had, if its value here is only their beginning.
        key_truncated_from: the same of its key.
        flaws: what is wrong with the headers; only OL0's services should write here.
    """

    source: Place | None
    found_at: Place
    time_ms: int
    key: bytes | None
    value: bytes
    service: str
    stage: str
    error_class: str
    message: str
    truncated_from: int | None
    key_truncated_from: int | None
    flaws: tuple[str, ...]
    headers: tuple[Header, ...]

    @property
    def cut(self) -> str:
        """What of it is only a beginning, in words; empty where it is whole."""
        if self.truncated_from is not None:
            return f"only the first {len(self.value):,} of its {self.truncated_from:,} bytes are here"
        if self.key_truncated_from is not None:
            return f"only the first {len(self.key or b''):,} of its key's {self.key_truncated_from:,} bytes are here"
        return ""

    def mentions(self, text: str) -> bool:
        """Whether ``text`` occurs in its coordinates, key, service, stage or error, in capitals or not."""
        key = (self.key or b"").decode(errors="replace")
        said = (str(self.source), key, self.service, self.stage, self.error_class, self.message)
        return text.casefold() in "\n".join(said).casefold()


def topics_with_letters(topics: Topics) -> list[str]:
    """Logical names of the topics that have dead letters."""
    return [name for name, spec in topics.specs.items() if spec.dead_letters]


def source_topic(topics: Topics, given: str) -> str:
    """The logical name of a topic with dead letters, from that name or the full one.

    Raises:
        StreamError: there is no such topic, or it has no dead letters.
    """
    name = given if given in topics.specs else _logical(topics, given)
    if not topics.spec(name).dead_letters:
        raise StreamError(
            f"{name} has no dead letters: a service stops where it cannot use a record of it. "
            f"Those that have some: {', '.join(topics_with_letters(topics))}"
        )
    return name


def _logical(topics: Topics, full: str) -> str:
    try:
        return topics.logical(full)
    except StreamError as error:
        raise StreamError(f"{error}; those with dead letters: {', '.join(topics_with_letters(topics))}") from error


def read_letters(lineage: Lineage, names: Iterable[str]) -> Iterator[Letter]:
    """The dead letters of these source topics, by logical name, each partition in its order; repeats included.

    Ends where the topics ended when it began, so that letters which the reader causes do not come back to it.

    Raises:
        StreamError: Kafka does not answer, or a dead-letter topic is missing.
    """
    consumer = lineage.clients.assigned_consumer(READER, reset="earliest")
    try:
        ends = {place: end for name in names for place, end in _ends(consumer, lineage, name).items()}
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for topic, number in ends])
        for message in _read_to(consumer, ends, lineage.clients.group(READER)):
            yield letter_of(message)
    finally:
        consumer.close()


def once(letters: Iterable[Letter]) -> Iterator[Letter]:
    """Each bad record once: several services may refuse it, and each writes its letter at least once.

    A letter that does not say where it is from has nothing that repeats could be told by, so it passes.
    """
    seen: dict[tuple[str, int], set[int]] = {}
    for letter in letters:
        if letter.source is not None:
            offsets = seen.setdefault((letter.source.topic, letter.source.partition), set())
            if letter.source.offset in offsets:
                continue
            offsets.add(letter.source.offset)
        yield letter


def letter_of(message: Message) -> Letter:
    """The dead letter that a message is, whatever its headers hold."""
    found_at = Place(*coordinates(message))
    headers, flaws = _headers(message)
    texts = {name: (value or b"").decode(errors="backslashreplace") for name, value in reversed(headers)}
    flaws += [f"no header {name}" for name in REQUIRED if name not in texts]
    source = _source(texts, found_at.topic, flaws)
    return Letter(
        source=source,
        found_at=found_at,
        time_ms=message.timestamp()[1],
        key=message.key(),
        value=message.value() or b"",
        service=texts.get("service", ""),
        stage=texts.get("stage", ""),
        error_class=texts.get("error_class", ""),
        message=texts.get("message", ""),
        truncated_from=_optional_number("truncated_from", texts, flaws),
        key_truncated_from=_optional_number("key_truncated_from", texts, flaws),
        flaws=tuple(flaws),
        headers=tuple(headers),
    )


def _headers(message: Message) -> tuple[list[Header], list[str]]:
    """The headers as they are, and what is wrong with them as a whole."""
    try:
        found = message.headers() or []
    except (UnicodeDecodeError, SystemError) as error:  # confluent-kafka reads names as UTF-8
        return [], [f"headers that are not text: {error}"]
    return [(pair[0], pair[1].encode() if isinstance(pair[1], str) else pair[1]) for pair in found], []


def _source(texts: Mapping[str, str], found_in: str, flaws: list[str]) -> Place | None:
    """The coordinates in the headers, if they are a place in the topic whose dead letters these are.

    Otherwise a client that may write dead letters could have any bytes sent to any topic when they are replayed.
    """
    if not {"source_topic", "source_partition", "source_offset"} <= texts.keys():
        return None
    topic = texts["source_topic"]
    if found_in != f"{topic}.dlq":
        flaws.append(f"source_topic {topic!r}: its dead letters would not be in {found_in}")
        return None
    partition = _number("source_partition", texts["source_partition"], flaws)
    offset = _number("source_offset", texts["source_offset"], flaws)
    return None if partition is None or offset is None else Place(topic, partition, offset)


def _optional_number(name: str, texts: Mapping[str, str], flaws: list[str]) -> int | None:
    return _number(name, texts[name], flaws) if name in texts else None


def _number(name: str, text: str, flaws: list[str]) -> int | None:
    if text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS:
        return int(text)
    flaws.append(f"{name} {text[:40]!r}: expected a number")
    return None


def _ends(consumer: Consumer, lineage: Lineage, name: str) -> dict[tuple[str, int], int]:
    """Where each partition with letters ends at this moment."""
    topic = lineage.topics.dead_letter(name)
    with broker_errors(f"partitions of {topic}"):
        numbers = sorted(consumer.list_topics(topic, TIMEOUT_S).topics[topic].partitions)
    if not numbers:
        raise StreamError(f"no topic {topic}; `ol0 topics apply` makes it")
    bounds = lineage.clients.bounds(topic, numbers, TIMEOUT_S)
    return {(topic, number): end for number, (first, end) in bounds.items() if first < end}


def _read_to(consumer: Consumer, ends: Mapping[tuple[str, int], int], group: str) -> Iterator[Message]:
    """Messages before these ends. Commit markers and open transactions may end a partition earlier."""
    left, idle_s = dict(ends), 0.0
    while left:
        messages = consumer.consume(BATCH, WAIT_S)
        idle_s = 0.0 if messages else idle_s + WAIT_S
        if idle_s > TIMEOUT_S:
            unread = ", ".join(f"{topic}[{number}]" for topic, number in left)
            raise StreamError(f"{unread}: nothing came for {TIMEOUT_S:g} s before the end; is the broker up?")
        for message in messages:
            error = message.error()
            if error is not None and error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - librdkafka's own
                left.pop(coordinates(message)[:2], None)
            elif is_usable(message, group):
                topic, number, offset = coordinates(message)
                if offset < ends[topic, number]:
                    yield message
                if offset >= ends[topic, number] - 1:
                    left.pop((topic, number), None)
