"""What a loop's last transaction left, and what the next one changes of it."""

from dataclasses import dataclass
from typing import Self

from confluent_kafka import TopicPartition

from ol0.kafka.snapshots import Positions, next_offsets, part_count, part_key


@dataclass(frozen=True, slots=True)
class Committed:
    """The handler's state, where the sources were, and how many parts of it are on the state topic."""

    body: bytes
    where: Positions
    parts: int

    @classmethod
    def of(cls, body: bytes, where: Positions) -> Self:
        """What a transaction is about to leave."""
        return cls(body, where, part_count(body))


def surplus(service: str, before: Committed, after: Committed) -> list[str]:
    """Keys of the parts that a smaller state has no more."""
    return [part_key(service, number) for number in range(after.parts, before.parts)]


def moved_offsets(before: Committed, after: Committed) -> list[TopicPartition]:
    """What Kafka is told of the group, for tools that show lag; nothing is read by it while there is a snapshot."""
    was, now = next_offsets(before.where.topics), next_offsets(after.where.topics)
    return [
        TopicPartition(partition.topic, partition.number, offset)
        for partition, offset in now.items()
        if was.get(partition) != offset
    ]
