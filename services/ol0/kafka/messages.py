"""Messages as Kafka has them, before they are records and after."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from ol0.errors import Fenced, RangeError, StreamError
from ol0.kafka.rights import Denied, is_denied, missing_right
from ol0.records import Chunk, Partition, Record
from ol0.wire.codec import Codec
from ol0.wire.topics import Topics

Headers = list[tuple[str, str | bytes | None]]
LOST: Final = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE})  # noqa: SLF001 - same
"""What a consumer says of an offset that the log does not have."""
OnDelivery = Callable[[KafkaError | None, Message], None]

GATHER_S: Final = 0.01
"""How long a batch that has begun waits for more: long enough to spare transactions, too short to be felt."""
BATCH_OVERHEAD_BYTES: Final = 65_536
"""What key, headers and framing may add to the largest value."""
ENVELOPE_BYTES: Final = 512
"""What a broker counts towards a message's size beside its value: batch header, key and headers."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Bytes on their way to a topic. ``partition`` None: the key's hash chooses. ``value`` None: a tombstone."""

    topic: str
    key: bytes | None
    value: bytes | None
    partition: int | None = None
    headers: Headers | None = None


def write(producer: Producer, message: Outgoing, on_delivery: OnDelivery | None = None) -> None:
    """Puts a message into the producer's queue.

    Raises:
        BufferError: the queue is full.
        KafkaException: the producer refuses it.
    """
    producer.produce(
        message.topic,
        message.value,
        message.key,
        partition=-1 if message.partition is None else message.partition,
        on_delivery=on_delivery,
        headers=message.headers,
    )


def is_usable(message: Message, group: str) -> bool:
    """Whether a message holds a record; false for the end of a partition and for faults that pass by themselves.

    Args:
        message: what a consumer gave.
        group: the consumer's.

    Raises:
        Fenced: another process with this member name has taken its place.
        StreamError: the log has a hole, or the topic is missing, or reading it is not allowed.
    """
    error = message.error()
    if error is None:
        return True
    where = f"{message.topic()}[{message.partition()}] at {message.offset()}"
    match error.code():
        case KafkaError._FATAL if "fenced" in error.str():  # noqa: SLF001 - librdkafka keeps the cause in the text only
            raise Fenced(f"a newer process has this one's group.instance.id; this one stops ({error.str()})")
        case KafkaError._FATAL:  # noqa: SLF001 - librdkafka names its own errors so
            raise StreamError(f"{error.str()}; only a new consumer can continue")
        case KafkaError._AUTO_OFFSET_RESET | KafkaError.OFFSET_OUT_OF_RANGE:  # noqa: SLF001 - same
            raise StreamError(
                f"{where}: the log has no such offset ({error.str()}): records were deleted before they were read. "
                "`ol0 topics diff` shows retention; `ol0 replay rebuild` starts again from what the log still has"
            )
        case KafkaError.UNKNOWN_TOPIC_OR_PART | KafkaError._UNKNOWN_PARTITION | KafkaError._UNKNOWN_TOPIC:  # noqa: SLF001
            raise StreamError(f"{where}: no such topic or partition; `ol0 topics apply` makes it")
        case KafkaError.TOPIC_AUTHORIZATION_FAILED:
            raise Denied(f"{where}: {error.str()}{missing_right(error, 'Read', [str(message.topic())])}")
        case KafkaError.GROUP_AUTHORIZATION_FAILED:
            raise Denied(f"group {group}: {error.str()}{missing_right(error, 'Read', [group])}")
    return False


def coordinates(message: Message) -> tuple[str, int, int]:
    """Topic, partition and offset, which every consumed message has."""
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None
    assert partition is not None
    assert offset is not None
    return topic, partition, offset


def by_partition(messages: Iterable[Message]) -> dict[tuple[str, int], list[Message]]:
    """Messages by topic and partition, each partition in its order."""
    groups: dict[tuple[str, int], list[Message]] = {}
    for message in messages:
        topic, partition = message.topic(), message.partition()
        assert topic is not None
        assert partition is not None
        groups.setdefault((topic, partition), []).append(message)
    return groups


def error_of(exception: KafkaException) -> KafkaError:
    """The error inside librdkafka's exception."""
    (error,) = exception.args
    assert isinstance(error, KafkaError)
    return error


def is_fatal(error: KafkaError) -> bool:
    """Whether only a new client can continue."""
    return error.fatal() or error.code() == KafkaError._FATAL  # noqa: SLF001 - librdkafka names its own errors so


@contextmanager
def broker_errors(what: str, operation: str = "", *names: str) -> Iterator[None]:
    """Turns librdkafka's exceptions, and an answer that did not come in time, into ours.

    Args:
        what: was asked.
        operation: which right that takes, where it is one.
        names: what that right is on.

    Raises:
        StreamError: the broker did not do what was asked.
    """
    try:
        yield
    except KafkaException as exception:
        error = error_of(exception)
        right = missing_right(error, operation, names) if names else ""
        if is_denied(error) and right:
            raise Denied(f"{what}: {error.str()}{right}") from exception
        raise StreamError(
            f"{what}: {error.str()}{right}; is the broker up at kafka.bootstrap_servers, and was `ol0 topics apply` "
            "run?"
        ) from exception
    except TimeoutError as error:
        raise StreamError(f"{what}: no answer in time; is the broker up at kafka.bootstrap_servers?") from error


def to_message(record: Record, topics: Topics, codec: Codec) -> Outgoing:
    """A record as the message that carries it to its topic; a chunk without data as the tombstone of its name.

    Raises:
        ContractError: no reader would take it: a value is not allowed, or it is too long for its topic.
    """
    route = topics.route(record)
    if isinstance(record, Chunk) and not record.data:
        return Outgoing(route.topic, route.key, None, route.partition)
    value = codec.encode(record)
    limit = topics.spec(topics.logical(route.topic)).max_message_bytes - ENVELOPE_BYTES
    if len(value) > limit:
        raise RangeError(f"{type(record).__name__}: {len(value)} bytes; {route.topic} takes {limit}")
    return Outgoing(route.topic, route.key, value, route.partition)


def cached_lag(consumer: Consumer, next_offsets: Mapping[Partition, int]) -> int:
    """Records from these offsets to the ends of their logs, by what the last fetches said: asks no broker."""
    lag = 0
    for (topic, number), offset in next_offsets.items():
        try:
            bounds = consumer.get_watermark_offsets(TopicPartition(topic, number), cached=True)
        except KafkaException:  # not fetched from yet
            continue
        lag += max(0, bounds[1] - offset) if bounds is not None else 0
    return lag
