"""Topics that take nothing more."""

from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public, but not marked as such for mypy
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from ol0.kafka.lineage import Lineage
from testbed.waiting import wait_until

TIMEOUT_S = 30.0
TINY = "100"
"""Bytes: no dead letter fits, the marker that ends a transaction does."""


def set_option(lineage: Lineage, topic: str, name: str, value: str) -> None:
    """Alters a topic and waits until the broker says so."""
    admin = lineage.clients.admin()
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin.incremental_alter_configs([resource])[resource].result(TIMEOUT_S)
    asked = ConfigResource(ResourceType.TOPIC, topic)
    wait_until(lambda: admin.describe_configs([asked])[asked].result(TIMEOUT_S)[name].value == value, TIMEOUT_S)


def make_unwritable(lineage: Lineage, topic: str, how: str) -> None:
    """``too small`` is refused for good, ``deleted`` is tried again for as long as a producer tries."""
    if how == "too small":
        set_option(lineage, topic, "max.message.bytes", TINY)
        return
    admin = lineage.clients.admin()
    admin.delete_topics([topic])[topic].result(TIMEOUT_S)
    wait_until(lambda: topic not in admin.list_topics(timeout=TIMEOUT_S).topics, TIMEOUT_S)
