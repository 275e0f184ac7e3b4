"""The one place that configures librdkafka."""

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from typing import Final, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from ol0.config import KafkaConfig
from ol0.errors import ConfigError
from ol0.kafka.messages import BATCH_OVERHEAD_BYTES, broker_errors, error_of
from ol0.kafka.rights import SEEING
from ol0.observability.log_throttle import LogThrottle
from ol0.secrets import without_secrets
from ol0.wire.topics import Topics

Client = TypeVar("Client")
Options = dict[str, str | int | float | bool]
OnError = Callable[[KafkaError], None]

TRANSACTION_TIMEOUT_MS: Final = 5_000
"""A killed writer holds back every read_committed reader of its partitions for so long."""
SESSION_TIMEOUT_MS: Final = 6_000
"""The least that brokers take by default: a lost member's partitions move on after it."""
METADATA_MS: Final = 5_000
"""How soon a group sees that a topic has more partitions: until they have an owner, nothing in them has happened."""
HOST_METADATA_MS: Final = 300_000
"""Hosts write to new partitions when they have had an owner for long: this is librdkafka's own pace."""
DELIVERY_TIMEOUT_MS: Final = 120_000
"""An outage of a minute loses nothing; one of hours must not fill the memory of a host application."""
QUEUE_MESSAGES: Final = 50_000
QUEUE_KBYTES: Final = 65_536
"""Bounds of a producer's memory."""
EXPECTED: Final = "property and will be ignored by this"
"""In a warning for each option of producers or consumers: ``kafka.options`` are for every client."""
PRODUCER_GUARANTEES: Final[Options] = {
    "enable.idempotence": True,  # a retry after a lost reply writes nothing twice
    "acks": "all",
    "partitioner": "murmur2_random",  # what Java clients use, so that their keys and ours agree
}
CONSUMER_GUARANTEES: Final[Options] = {
    "enable.auto.commit": False,  # offsets belong to what was made of the records, not to having read them
    "isolation.level": "read_committed",
    "group.protocol": "classic",  # the other one leaves timeouts and static members to the broker
}


class Clients:
    """Makes every client of a lineage. ``kafka.options`` goes over the defaults, but not over a guarantee.

    Attributes:
        notes: what librdkafka and its users have to say beside the calls goes here: a line a minute.
    """

    def __init__(self, kafka: KafkaConfig, topics: Topics) -> None:
        self._kafka, self._topics = kafka, topics
        largest = max(spec.max_message_bytes for spec in topics.specs.values())
        self._message_bytes = largest + BATCH_OVERHEAD_BYTES
        self._prefix = topics.prefix
        self.notes = LogThrottle(logging.getLogger("ol0.kafka"))

    def producer(self, metadata_ms: int = HOST_METADATA_MS) -> Producer:
        """Idempotent, for records that need no transaction; sees ``metadata_ms`` later that a topic has grown."""
        defaults: Options = {
            **self._producer(),
            "message.timeout.ms": DELIVERY_TIMEOUT_MS,
            "topic.metadata.refresh.interval.ms": metadata_ms,
        }
        config = self._config(defaults, PRODUCER_GUARANTEES)
        return self._made(Producer, config, logger=_Log(self.notes), error_cb=self.log_error)

    @property
    def servers(self) -> str:
        """``kafka.bootstrap_servers``."""
        return self._kafka.bootstrap_servers

    @property
    def largest_queue(self) -> tuple[int, int]:
        """Messages, and bytes of them, that a producer takes before it says that it is full."""
        options = {**self._producer(), **self._kafka.options}
        return (
            int(options["queue.buffering.max.messages"]),
            1024 * int(options["queue.buffering.max.kbytes"]),
        )

    def group(self, name: str) -> str:
        """A consumer group as the broker knows it."""
        return f"{self._prefix}.{name}"

    def transactional_id(self, service: str) -> str:
        """What the broker knows the one writer of a service by."""
        return f"{self._prefix}.{service}"

    def transactional_producer(self, service: str, on_error: OnError) -> Producer:
        """Writes transactions as the one writer of ``service`` in this lineage; fences the one before it."""
        fixed: Options = {
            **PRODUCER_GUARANTEES,
            "transactional.id": self.transactional_id(service),
            "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS,
        }
        return self._made(Producer, self._config(self._producer(), fixed), logger=_Log(self.notes), error_cb=on_error)

    def assigned_consumer(self, group: str, reset: str = "error") -> Consumer:
        """Reads partitions that its user assigns, and says where they end.

        Args:
            group: the group whose offsets are read and, in transactions, written.
            reset: what an offset that the log no longer holds does: ``error``, or ``earliest`` for compacted topics,
                whose newest records are all that counts.
        """
        fixed: Options = {
            **CONSUMER_GUARANTEES,
            "group.id": self.group(group),
            "auto.offset.reset": reset,
            "enable.partition.eof": True,
        }
        return self._made(Consumer, self._config({}, fixed), logger=_Log(self.notes), error_cb=self.log_error)

    def group_consumer(self, group: str, member: str | None) -> Consumer:
        """Shares the partitions with the other members. ``member`` names this process across its restarts.

        A member with a name that comes back within the session timeout gets its partitions back at once, without a
        rebalance; that is also how long its partitions wait when it does not come back. A second process of one name
        would throw the first one out, so a name is for those who see to it that there is one of each. A member without
        a name shares with any number of others; it leaves when it closes.
        """
        defaults: Options = {
            "session.timeout.ms": SESSION_TIMEOUT_MS,
            "heartbeat.interval.ms": 1_000,
            "topic.metadata.refresh.interval.ms": METADATA_MS,
        }
        name: Options = {} if member is None else {"group.instance.id": f"{self._prefix}.{group}.{member}"}
        fixed: Options = {
            **CONSUMER_GUARANTEES,
            **name,
            "group.id": self.group(group),
            "partition.assignment.strategy": "cooperative-sticky",
            "auto.offset.reset": "error",  # a hole in the log must be seen
        }
        return self._made(Consumer, self._config(defaults, fixed), logger=_Log(self.notes), error_cb=self.log_error)

    def admin(self, on_error: OnError | None = None) -> AdminClient:
        """Makes and alters topics, and asks what the cluster is; ``poll`` passes errors to ``on_error``."""
        # It is not polled, so a logger would never be told. What it would write to the terminal, twenty lines a second
        # while no broker is there, its calls raise.
        config = self._config({"log_level": 0}, {})
        return self._made(AdminClient, config if on_error is None else {**config, "error_cb": on_error})

    def check(self) -> None:
        """Makes every client once. Talks to no broker.

        Raises:
            ConfigError: one cannot be made with these options.
        """
        nowhere = Clients(self._kafka.model_copy(update={"bootstrap_servers": ""}), self._topics)
        nowhere.admin()  # first: an option that all of them refuse causes no log line of librdkafka
        nowhere.producer()
        nowhere.transactional_producer("check", self.log_error)
        for consumer in (nowhere.assigned_consumer("check"), nowhere.group_consumer("check", "0")):
            consumer.close()

    def bounds(self, topic: str, partitions: Iterable[int], timeout_s: float) -> dict[int, tuple[int, int]]:
        """First offset that the log still has, and the next one to be written, open transactions included.

        Raises:
            StreamError: the broker does not answer, or the topic is missing.
        """
        config = self._config({}, {"group.id": self.group("bounds"), "isolation.level": "read_uncommitted"})
        with (
            closing(self._made(Consumer, config, logger=_Log(self.notes), error_cb=self.log_error)) as consumer,
            broker_errors(f"offsets of {topic}", SEEING, topic),
        ):
            return {n: consumer.get_watermark_offsets(TopicPartition(topic, n), timeout_s) for n in partitions}

    def log_error(self, error: KafkaError) -> None:
        """What librdkafka says beside the calls: it continues by itself, or the next call raises."""
        self.notes.note(error.name(), error.str())

    def _producer(self) -> Options:
        return {
            "compression.type": "lz4",  # features hardly shrink, and lz4 costs the least
            "linger.ms": 5,
            "message.max.bytes": self._message_bytes,
            "queue.buffering.max.messages": QUEUE_MESSAGES,
            "queue.buffering.max.kbytes": QUEUE_KBYTES,
        }

    def _made(self, kind: Callable[..., Client], config: Mapping[str, object], **callbacks: object) -> Client:
        """A client of librdkafka.

        Raises:
            ConfigError: it refuses an option, and would at every start.
        """
        try:
            return kind(config, **callbacks)
        except KafkaException as exception:
            reason = error_of(exception).str().strip()
        except (TypeError, ValueError, AttributeError) as error:
            reason = f"{error}, which no file can hold: take it out"
        raise ConfigError(
            f"kafka.options: {without_secrets(reason, self._kafka.options)}; see librdkafka's CONFIGURATION.md"
        ) from None

    def _config(self, defaults: Options, fixed: Options) -> dict[str, str | int | float | bool]:
        """Defaults, then ``kafka.options``, then what must not be changed.

        Raises:
            ConfigError: an option contradicts a guarantee.
        """
        options = self._kafka.options
        _refuse_contradictions(options, fixed)
        _refuse_tokens_from_nowhere(options)
        servers: Options = {"bootstrap.servers": self._kafka.bootstrap_servers}
        return {**servers, **defaults, **options, **fixed}


def _refuse_contradictions(options: Mapping[str, str | int | float | bool], fixed: Options) -> None:
    for name, value in fixed.items():
        given = options.get(name, value)
        if str(given).lower() != str(value).lower():
            raise ConfigError(f"kafka.options.{name} = {given!r}: OL0's guarantees rest on {value!r}; take it out")


def _refuse_tokens_from_nowhere(options: Mapping[str, object]) -> None:
    """Without this, librdkafka waits for a function of the application that brings tokens, and never connects."""
    mechanism = options.get("sasl.mechanisms", options.get("sasl.mechanism"))
    if mechanism != "OAUTHBEARER" or options.get("enable.sasl.oauthbearer.unsecure.jwt"):
        return
    if "oauth_cb" in options or str(options.get("sasl.oauthbearer.method", "default")).lower() == "default":
        raise ConfigError(
            'kafka.options: OAUTHBEARER needs "sasl.oauthbearer.method" = "oidc", with sasl.oauthbearer.client.id, '
            "client.secret and token.endpoint.url: settings cannot hold a function (oauth_cb) that brings tokens. "
            "Where the broker takes no such tokens (MSK IAM), use SASL/SCRAM or TLS certificates"
        )


class _Log:
    """Receives librdkafka's log lines as if it were a ``logging.Logger``."""

    def __init__(self, notes: LogThrottle) -> None:
        self._notes = notes

    def log(self, level: int, template: str, kind: str, *values: object) -> None:
        """A line of librdkafka: its kind, such as FAIL, the client, the text."""
        if level >= logging.WARNING and EXPECTED not in str(values[-1:]):
            self._notes.note(kind, " ".join(map(str, values)), level)
        else:  # in full: asked for by a ``debug`` among kafka.options
            logging.getLogger("ol0.librdkafka").log(min(level, logging.INFO), template, kind, *values)
