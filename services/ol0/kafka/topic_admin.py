"""Making the topics what ``schemas/topics.toml`` declares: adds and alters, never shrinks or deletes."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public, but not marked as such for mypy
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)
from confluent_kafka.cimpl import NewPartitions, NewTopic

from ol0.config import Settings
from ol0.errors import StreamError
from ol0.kafka.lineage import Lineage
from ol0.kafka.logs.identities import source_logs
from ol0.kafka.logs.questions import Asker, Described, describe
from ol0.kafka.messages import BATCH_OVERHEAD_BYTES, broker_errors, error_of
from ol0.kafka.ports import Log
from ol0.kafka.rights import missing_right
from ol0.kafka.topic_changes import AddPartitions, AlterConfig, Change, CreateTopic, MorePartitions
from ol0.records import Partition
from ol0.wire.topics import DAY_MS, TopicSpec

if TYPE_CHECKING:
    from concurrent.futures import Future

TIMEOUT_S: Final = 15.0
AGAIN_S: Final = 0.2
FENCED: Final = "All brokers are currently fenced"
"""The code that comes with it is the one of a cluster that has too few brokers."""
DEAD_LETTER_DAYS: Final = 7
DURABLE_REPLICATION: Final = 3
"""From here on two replicas must have a record before it counts: one may then be lost with all it has."""
COMPACTION: Final = {
    "min.cleanable.dirty.ratio": "0.1",  # readers start at the beginning: keep it near
    "segment.bytes": str(64 * 1024 * 1024),
    "segment.ms": str(DAY_MS // 24),  # an open segment is never compacted
}


RIGHTS: Final[Mapping[type[Change], str]] = {
    CreateTopic: "Create",
    AddPartitions: "Alter",
    AlterConfig: "AlterConfigs",
    MorePartitions: "",
}
"""Which right each change takes, on its topic."""
STAMPS: Final = "message.timestamp.type"
BY_BROKER: Final = "LogAppendTime"


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One topic as it should be."""

    topic: str
    partitions: int
    config: Mapping[str, str]


def plan(settings: Settings) -> list[Change]:
    """What differs between the broker and the declaration, in the order of topics.toml. Changes nothing.

    Raises:
        StreamError: the broker does not answer.
    """
    lineage = Lineage.of(settings.kafka)
    wanted = _wanted(lineage, settings.kafka.replication)
    admin = lineage.clients.admin()
    with broker_errors("list of topics"):
        found = {name: len(topic.partitions) for name, topic in admin.list_topics(timeout=TIMEOUT_S).topics.items()}
    configs = _describe(admin, [topic.topic for topic in wanted if topic.topic in found])
    changes: list[Change] = []
    for topic in wanted:
        if topic.topic in found:
            changes += _differences(topic, found[topic.topic], configs[topic.topic])
        else:
            changes.append(CreateTopic(topic.topic, topic.partitions, settings.kafka.replication, topic.config))
    return changes


def apply(settings: Settings, changes: Sequence[Change]) -> None:
    """Carries out what ``plan`` found. Doing it twice, or two at the same time, does no harm.

    Raises:
        StreamError: the broker does not answer or refuses; says which change.
    """
    admin = Lineage.of(settings.kafka).clients.admin()
    for change in changes:
        _carry_out(admin, change)
    changed = {change.topic for change in changes if _is_due(change)}
    deadline = time.monotonic() + TIMEOUT_S
    # Brokers learn of each other's changes a moment later; a service that starts next may ask any of them.
    while left := [change for change in plan(settings) if change.topic in changed and _is_due(change)]:
        if time.monotonic() > deadline:
            raise StreamError(f"{left[0]}: accepted, but not to be seen after {TIMEOUT_S:g} s")
        time.sleep(0.1)


def source_partitions(settings: Settings, names: Iterable[str]) -> dict[Partition, Log]:
    """Every partition that these topics have, with its log: what a store registers.

    Raises:
        StreamError: the broker does not answer, or a topic is missing.
    """
    lineage = Lineage.of(settings.kafka)
    asker = Asker(lineage.clients.admin)
    topics = [lineage.topics.full(name) for name in names]
    described = describe(asker.admin, topics, TIMEOUT_S)
    return source_logs(
        asker, [Partition(topic, number) for topic in topics for number in _numbers(described, topic)], TIMEOUT_S
    )


def check_stamps(lineage: Lineage, names: Iterable[str]) -> None:
    """Refuses topics whose records carry their writers' clocks alone: one that is ahead would close every window.

    Raises:
        StreamError: one is CreateTime, or the broker does not answer.
    """
    topics = [lineage.topics.full(name) for name in names]
    try:
        configs = _describe(lineage.clients.admin(), topics)
    except StreamError as error:
        structlog.get_logger("ol0.kafka").warning("settings of the topics cannot be looked at", reason=str(error))
        return  # describing settings takes a permission; what is wrong with a record is seen on the record
    wrong = [topic for topic, config in configs.items() if config.get(STAMPS) != BY_BROKER]
    if wrong:
        raise StreamError(
            f"{', '.join(wrong)}: {STAMPS} has to be {BY_BROKER}: else one host whose clock is ahead would close "
            "all windows; `ol0 topics apply` sets it"
        )


def _numbers(described: Mapping[str, Described], topic: str) -> tuple[int, ...]:
    if topic not in described:
        raise StreamError(f"no topic {topic}; `ol0 topics apply` makes it")
    return described[topic].partitions


def _wanted(lineage: Lineage, replication: int) -> list[_Wanted]:
    """The declared topics, each followed by its dead letters."""
    durable = {"min.insync.replicas": "2"} if replication >= DURABLE_REPLICATION else {}
    wanted = []
    for name, spec in lineage.topics.specs.items():
        wanted.append(_Wanted(lineage.topics.full(name), spec.partitions, {**_config(spec), **durable}))
        if spec.dead_letters:
            config = {**_dead_letter_config(spec), **durable}
            wanted.append(_Wanted(lineage.topics.dead_letter(name), spec.partitions, config))
    return wanted


def _config(spec: TopicSpec) -> dict[str, str]:
    return {
        "cleanup.policy": "compact" if spec.compacted else "delete",
        "retention.ms": str(-1 if spec.retention_ms is None else spec.retention_ms),
        "max.message.bytes": str(spec.max_message_bytes),
        "message.timestamp.type": spec.timestamps,
        **(COMPACTION if spec.compacted else {}),
    }


def _dead_letter_config(spec: TopicSpec) -> dict[str, str]:
    """Takes whatever its source took, and the headers."""
    return {
        "cleanup.policy": "delete",
        "retention.ms": str(DEAD_LETTER_DAYS * DAY_MS),
        "max.message.bytes": str(spec.max_message_bytes + BATCH_OVERHEAD_BYTES),
        "message.timestamp.type": "CreateTime",
    }


def _describe(admin: AdminClient, topics: Sequence[str]) -> dict[str, dict[str, str | None]]:
    """Settings of topics that exist: topic -> name -> value."""
    if not topics:
        return {}
    with broker_errors("settings of topics", "DescribeConfigs", *topics):
        resources = [ConfigResource(ResourceType.TOPIC, topic) for topic in topics]
        answers = admin.describe_configs(resources, request_timeout=TIMEOUT_S)
        results = {resource.name: answer.result(TIMEOUT_S) for resource, answer in answers.items()}
    return {topic: {name: entry.value for name, entry in values.items()} for topic, values in results.items()}


def _differences(wanted: _Wanted, partitions: int, config: Mapping[str, str | None]) -> list[Change]:
    changes: list[Change] = []
    if partitions < wanted.partitions:
        changes.append(AddPartitions(wanted.topic, partitions, wanted.partitions))
    elif partitions > wanted.partitions:
        changes.append(MorePartitions(wanted.topic, partitions, wanted.partitions))
    values = {name: (config.get(name), value) for name, value in wanted.config.items() if config.get(name) != value}
    if values:
        changes.append(AlterConfig(wanted.topic, values))
    return changes


def _is_due(change: Change) -> bool:
    """Whether there is something to do about it."""
    return not isinstance(change, MorePartitions)


def _carry_out(admin: AdminClient, change: Change) -> None:
    """Waits for the broker's answer; that another client was faster is fine.

    A broker that was too busy for a heartbeat is fenced until its next one: nothing can be put on it for that long.
    """
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            for answer in _request(admin, change):
                answer.result(TIMEOUT_S)
        except KafkaException as exception:
            error = error_of(exception)
            if error.code() in (KafkaError.TOPIC_ALREADY_EXISTS, KafkaError.INVALID_PARTITIONS):
                return
            if FENCED not in error.str() or time.monotonic() > deadline:
                right = missing_right(error, RIGHTS[type(change)], [change.topic])
                raise StreamError(f"{change}: {error.str()}{right}") from exception
        except TimeoutError as error:
            raise StreamError(f"{change}: no answer within {TIMEOUT_S:g} s") from error
        else:
            return
        time.sleep(AGAIN_S)


def _request(admin: AdminClient, change: Change) -> Iterable["Future[object]"]:
    match change:
        case CreateTopic():
            topic = NewTopic(change.topic, change.partitions, change.replication, config=dict(change.config))
            return admin.create_topics([topic], operation_timeout=TIMEOUT_S).values()
        case AddPartitions():
            count = NewPartitions(change.topic, change.declared)
            return admin.create_partitions([count], operation_timeout=TIMEOUT_S).values()
        case AlterConfig():
            entries = [
                ConfigEntry(name, declared, incremental_operation=AlterConfigOpType.SET)
                for name, (_, declared) in change.values.items()
            ]
            resource = ConfigResource(ResourceType.TOPIC, change.topic, incremental_configs=entries)
            return admin.incremental_alter_configs([resource], request_timeout=TIMEOUT_S).values()
        case MorePartitions():
            return ()
