"""What may happen to the Kafka of a host, each with its end: a broker of one's own, and outages by name."""

import os
import shutil
import signal
import struct
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public, but not marked as such for mypy
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from pydantic import SecretStr

from ol0.config import KafkaConfig, ServingConfig, Settings
from ol0.errors import StreamError
from ol0.kafka import topic_admin
from ol0.kafka.lineage import Lineage
from ol0.kafka.sending.record_sender import RecordSender
from ol0.stacks.kafka import Cluster, Kafka
from ol0.stacks.ports import LOOPBACK
from testbed.serving_states import BASE, a_state
from testbed.unwritable import set_option
from testbed.waiting import wait_until

WITHIN_S: Final = 60.0
KEY: Final = SecretStr("of a test")
LOGS: Final = ("decisions", "feedback.user")
"""What a host writes."""
HEADER_BYTES: Final = 12
"""Of a batch in a log: its first offset and its length."""
AUTHORIZER: Final = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "true",
}


@dataclass(frozen=True)
class Place:
    """A broker of its own that knows permissions, and a lineage on it."""

    kafka: Kafka
    root: Path
    settings: Settings

    @property
    def lineage(self) -> Lineage:
        return Lineage.of(self.settings.kafka)

    @property
    def admin(self) -> AdminClient:
        return self.lineage.clients.admin()

    def with_options(self, options: Mapping[str, str | int | float | bool]) -> Settings:
        """The settings of a host with options of its own."""
        kafka = self.settings.kafka.model_copy(update={"options": dict(options)})
        return self.settings.model_copy(update={"kafka": kafka})

    def make_topics(self, sequence: int) -> None:
        """The topics, and a first serving state."""
        topic_admin.apply(self.settings, topic_admin.plan(self.settings))
        self.release(sequence)

    def release(self, sequence: int) -> None:
        RecordSender(self.lineage).send_all([replace(a_state(), sequence=sequence)], WITHIN_S)

    def records(self) -> int:
        """What the topics that a host writes hold."""
        topics, clients = self.lineage.topics, self.lineage.clients
        return sum(
            end - first
            for name in LOGS
            for first, end in clients.bounds(topics.full(name), range(topics.spec(name).partitions), WITHIN_S).values()
        )


@contextmanager
def a_place(root: Path) -> Iterator[Place]:
    """Starts the broker, and stops it whatever state it is left in."""
    kafka = Kafka(root, Cluster.of(1), heap_mb=400, cache=None, settings=AUTHORIZER)
    (root / "base.safetensors").parent.mkdir(parents=True, exist_ok=True)
    (root / "base.safetensors").write_bytes(BASE.heads)
    settings = Settings(
        kafka=KafkaConfig(
            bootstrap_servers=f"{LOOPBACK}:{kafka.port}",
            topic_prefix=f"t{uuid.uuid4().hex[:8]}",
            partitions=dict.fromkeys(("decisions", "feedback.user", "feedback.tool", "feedback.implicit"), 1),
        ),
        serving=ServingConfig(base=root / "base.safetensors", arm_key=KEY, user_key=KEY),
    )
    kafka.start()
    try:
        place = Place(kafka, root, settings)
        place.make_topics(1)
        yield place
    finally:
        os.kill(kafka.pid, signal.SIGCONT)
        kafka.stop()


Outage = Callable[[Place, int], Callable[[], None]]
"""Begins at a place, whose next serving state has that sequence; gives back what ends it."""


def killed(place: Place, sequence: int) -> Callable[[], None]:
    os.kill(place.kafka.pid, signal.SIGKILL)

    def end() -> None:
        place.kafka.stop()
        place.kafka.start()
        place.release(sequence)

    return end


def paused(place: Place, sequence: int) -> Callable[[], None]:
    os.kill(place.kafka.pid, signal.SIGSTOP)

    def end() -> None:
        os.kill(place.kafka.pid, signal.SIGCONT)
        place.release(sequence)

    return end


def emptied(place: Place, sequence: int) -> Callable[[], None]:
    """The broker comes back with nothing: another cluster, which has the old one's name."""
    os.kill(place.kafka.pid, signal.SIGKILL)

    def end() -> None:
        place.kafka.stop()
        shutil.rmtree(place.root / "data")
        place.kafka.start()
        place.make_topics(sequence)

    return end


def tail_lost(place: Place, sequence: int) -> Callable[[], None]:
    """It comes back without the second half of what it had acknowledged: a disk that did not sync."""
    os.kill(place.kafka.pid, signal.SIGKILL)

    def end() -> None:
        place.kafka.stop()
        for name in LOGS:
            cut_in_half(place.root / "data" / f"{place.lineage.topics.full(name)}-0")
        for name in ("recovery-point-offset-checkpoint", "replication-offset-checkpoint"):
            (place.root / "data" / name).unlink(missing_ok=True)
        place.kafka.start()
        place.release(sequence)

    return end


def recreated(place: Place, sequence: int) -> Callable[[], None]:
    """The topics that a host reads and writes are deleted and recreated under their names."""
    names = [place.lineage.topics.full(name) for name in (*LOGS, "releases")]
    admin = place.admin
    for future in admin.delete_topics(names).values():
        future.result(WITHIN_S)

    def end() -> None:
        wait_until(lambda: not set(names) & set(admin.list_topics(timeout=WITHIN_S).topics), WITHIN_S)
        place.make_topics(sequence)

    return end


def denied(place: Place, sequence: int) -> Callable[[], None]:
    """No permission to write: new producers get no id, which ends them for good; old ones have each record refused."""
    denials = [
        permission(ResourceType.BROKER, "kafka-cluster", AclOperation.IDEMPOTENT_WRITE, AclPermissionType.DENY),
        permission(ResourceType.TOPIC, "*", AclOperation.WRITE, AclPermissionType.DENY),
    ]
    everything = [
        permission(ResourceType.BROKER, "kafka-cluster", AclOperation.ALL, AclPermissionType.ALLOW),
        permission(ResourceType.TOPIC, "*", AclOperation.ALL, AclPermissionType.ALLOW),
    ]
    admin = place.admin
    for bindings in (everything, denials):
        for future in admin.create_acls(bindings).values():
            future.result(WITHIN_S)

    def end() -> None:
        for bindings in (denials, everything):
            for deleted in admin.delete_acls(list(map(as_filter, bindings))).values():
                deleted.result(WITHIN_S)
        wait_until(lambda: may_release(place, sequence), WITHIN_S)

    return end


def too_large(place: Place, sequence: int) -> Callable[[], None]:
    """The topic takes no record any more: somebody has lowered its limit."""
    topics = [place.lineage.topics.full(name) for name in LOGS]
    for topic in topics:
        set_option(place.lineage, topic, "max.message.bytes", "100")

    def end() -> None:
        for topic in topics:
            set_option(place.lineage, topic, "max.message.bytes", "1048588")
        place.release(sequence)

    return end


OUTAGES: Final[Mapping[str, Outage]] = {
    outage.__name__: outage for outage in (killed, paused, emptied, tail_lost, recreated, denied, too_large)
}


def permission(kind: ResourceType, name: str, operation: AclOperation, way: AclPermissionType) -> AclBinding:
    return AclBinding(kind, name, ResourcePatternType.LITERAL, "User:ANONYMOUS", "*", operation, way)


def as_filter(binding: AclBinding) -> AclBindingFilter:
    return AclBindingFilter(
        binding.restype,
        binding.name,
        binding.resource_pattern_type,
        binding.principal,
        binding.host,
        binding.operation,
        binding.permission_type,
    )


def may_release(place: Place, sequence: int) -> bool:
    try:
        place.release(sequence)
    except (KafkaException, StreamError):
        return False
    return True


def cut_in_half(partition: Path) -> None:
    """Takes the second half of a log's batches away, and everything that the broker knows beside the log."""
    log = partition / "00000000000000000000.log"
    data, ends, at = log.read_bytes(), [0], 0
    while at + HEADER_BYTES <= len(data):
        (length,) = struct.unpack_from(">i", data, at + 8)
        at += HEADER_BYTES + length
        ends.append(at)
    os.truncate(log, ends[len(ends) // 2])
    for beside in (*partition.glob("*.snapshot"), *partition.glob("*index")):
        beside.unlink()
