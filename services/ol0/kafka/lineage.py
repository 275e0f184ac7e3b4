"""What everything here needs, built once per process."""

from dataclasses import dataclass
from typing import Self

from ol0.config import KafkaConfig
from ol0.kafka.clients import Clients
from ol0.wire.codec import Codec
from ol0.wire.topics import Topics


@dataclass(frozen=True, slots=True)
class Lineage:
    """One lineage as seen from Kafka: its topics, how to reach them, and how its records are written."""

    topics: Topics
    clients: Clients
    codec: Codec

    @classmethod
    def of(cls, kafka: KafkaConfig) -> Self:
        """The lineage that the settings name. Talks to no broker.

        Raises:
            ConfigError: an override names no topic.
        """
        topics = Topics(kafka.topic_prefix, kafka.partitions)
        return cls(topics, Clients(kafka, topics), Codec())
