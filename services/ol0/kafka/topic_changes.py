"""How a broker's topics differ from their declaration, one difference at a time; printed, it says what will be done."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CreateTopic:
    """A topic that is missing."""

    topic: str
    partitions: int
    replication: int
    config: Mapping[str, str]

    def __str__(self) -> str:
        config = ", ".join(f"{name}={value}" for name, value in self.config.items())
        return f"create {self.topic}: {self.partitions} partitions x {self.replication}, {config}"


@dataclass(frozen=True, slots=True)
class AddPartitions:
    """A topic that has fewer partitions than declared."""

    topic: str
    found: int
    declared: int

    def __str__(self) -> str:
        return (
            f"add partitions to {self.topic}: {self.found} -> {self.declared} "
            "(keys move: sessions that are open now may lose their order)"
        )


@dataclass(frozen=True, slots=True)
class AlterConfig:
    """Settings of a topic that differ: name -> found and declared."""

    topic: str
    values: Mapping[str, tuple[str | None, str]]

    def __str__(self) -> str:
        values = ", ".join(f"{name} {found} -> {declared}" for name, (found, declared) in self.values.items())
        return f"alter {self.topic}: {values}"


@dataclass(frozen=True, slots=True)
class MorePartitions:
    """A topic that has more partitions than declared. Kafka cannot take partitions away, so this one is only said."""

    topic: str
    found: int
    declared: int

    def __str__(self) -> str:
        return (
            f"leave {self.topic}: it has {self.found} partitions, {self.declared} are declared; "
            f"set kafka.partitions to {self.found} to agree"
        )


Change = CreateTopic | AddPartitions | AlterConfig | MorePartitions
