"""Looking at what is on a topic, and putting bytes there."""

from confluent_kafka import OFFSET_BEGINNING, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public, but not marked as such for mypy
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from ol0.config import Settings
from ol0.errors import ContractError
from ol0.kafka import topic_admin
from ol0.kafka.lineage import Lineage
from ol0.kafka.logs.questions import describe
from ol0.records import Record
from testbed.waiting import wait_until


def read_messages(lineage: Lineage, topic: str) -> list[Message]:
    """All committed messages of a topic, by its full name, up to where a reader is let at this moment."""
    consumer = lineage.clients.assigned_consumer("test", reset="earliest")
    try:
        numbers = list(consumer.list_topics(topic, 10).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in numbers])
        messages: list[Message] = []
        while numbers:
            for message in consumer.consume(100, 0.2):
                error = message.error()
                if error is None:
                    messages.append(message)
                elif error.code() == KafkaError._PARTITION_EOF:
                    numbers.remove(message.partition())
        return messages
    finally:
        consumer.close()


def read_records(lineage: Lineage, name: str) -> list[Record]:
    """All committed records of a topic, by its logical name."""
    messages = read_messages(lineage, lineage.topics.full(name))
    return [lineage.codec.decode(message.value() or b"") for message in messages]


def put_bytes(lineage: Lineage, name: str, value: bytes, key: bytes = b"key") -> None:
    """Writes bytes as they are."""
    producer: Producer = lineage.clients.producer()
    producer.produce(lineage.topics.full(name), value, key)
    if producer.flush(10):
        raise ContractError("not delivered")


def alter(lineage: Lineage, name: str, config: dict[str, str]) -> None:
    """Changes settings of a topic, by its logical name, behind the back of its services."""
    entries = [ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in config.items()]
    resource = ConfigResource(ResourceType.TOPIC, lineage.topics.full(name), incremental_configs=entries)
    broker = lineage.clients.admin()  # where nothing holds it, its answers end with it
    for answer in broker.incremental_alter_configs([resource]).values():
        answer.result(10)


def make_anew(settings: Settings, name: str) -> None:
    """Deletes a topic, by its logical name, and makes another one under its name."""
    lineage = Lineage.of(settings.kafka)
    broker, topic = lineage.clients.admin(), lineage.topics.full(name)
    for answer in broker.delete_topics([topic]).values():
        answer.result(10)
    wait_until(lambda: not describe(broker, [topic], 10), 30)
    topic_admin.apply(settings, topic_admin.plan(settings))


def delete_records(lineage: Lineage, name: str, before: int) -> None:
    """Deletes what partition 0 of a topic has before an offset, as retention does."""
    place = TopicPartition(lineage.topics.full(name), 0, before)
    broker = lineage.clients.admin()
    for answer in broker.delete_records([place]).values():
        answer.result(10)
