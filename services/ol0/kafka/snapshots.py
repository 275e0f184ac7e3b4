"""How the state of a loop is kept on the state topic: a head, which says where the loop was, and a body in parts.

The head has the service's key, the parts are ``service/0``, ``service/1`` and so on. All are written in one
transaction, the head last; parts that have not changed are not written again, and the head names them by their digest.
So no state is too large for a record, and where a loop continues never depends on what Kafka remembers of its group.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Self

from confluent_kafka import TopicPartition
from pydantic import TypeAdapter, ValidationError

from ol0.errors import ContractError
from ol0.records import Partition, Record, Snapshot

HEAD: Final = b"OL0 head 1\n"
PART: Final = b"OL0 part 1\n"
PART_BYTES: Final = 1_000_000
"""With its envelope a part stays below the 1 MiB that brokers take by default."""


@dataclass(frozen=True, slots=True)
class TopicPlace:
    """Where a loop is in one topic: the id of the topic, and the next offset of each partition."""

    topic_id: str
    offsets: Mapping[int, int]


def next_offsets(places: Mapping[str, TopicPlace]) -> dict[Partition, int]:
    """The next offset of every partition of these topics, by full name."""
    return {Partition(topic, n): offset for topic, place in places.items() for n, offset in place.offsets.items()}


@dataclass(frozen=True, slots=True)
class Positions:
    """Where a loop is: its places by full topic name, and the newest append time of the broker it knows of, ms."""

    topics: Mapping[str, TopicPlace]
    append_ms: int | None


@dataclass(frozen=True, slots=True)
class Stored:
    """A snapshot that was put together. ``where`` None: an earlier version wrote it, in one record and without."""

    time_ms: int
    body: bytes
    where: Positions | None
    parts: int


@dataclass(frozen=True, slots=True)
class _Head:
    sha256: str
    parts: int
    where: Positions


_ADAPTER: Final = TypeAdapter(_Head)


def parts_of(service: str, time_ms: int, body: bytes) -> list[Snapshot]:
    """The body in records of ``PART_BYTES`` at most, in order."""
    digest = sha256(body).digest()
    pieces = [body[at : at + PART_BYTES] for at in range(0, len(body), PART_BYTES)]
    return [Snapshot(part_key(service, number), time_ms, PART + digest + piece) for number, piece in enumerate(pieces)]


def head_of(service: str, time_ms: int, body: bytes, where: Positions) -> Snapshot:
    """The head of a body whose parts are on the topic, or come before it in the same transaction."""
    head = _Head(sha256(body).hexdigest(), part_count(body), where)
    return Snapshot(service, time_ms, HEAD + _ADAPTER.dump_json(head))


def part_count(body: bytes) -> int:
    """Number of parts of a body; 0 if it is empty."""
    return -(-len(body) // PART_BYTES)


def part_key(service: str, number: int) -> str:
    """The message key of one part."""
    return f"{service}/{number}"


def is_part(snapshot: Snapshot) -> bool:
    """Whether this is only a piece of a snapshot."""
    return snapshot.body.startswith(PART)


def assemble(service: str, table: Mapping[str, Record]) -> Stored | None:
    """The snapshot of a service out of the newest record of each key; None: it has none.

    Raises:
        ContractError: its head cannot be read, or parts are missing or of another moment. That is normal between the
            parts of one transaction and its head, and an error at the end of the topic.
    """
    snapshot = table.get(service)
    if not isinstance(snapshot, Snapshot):
        return None
    if not snapshot.body.startswith(HEAD):
        return Stored(snapshot.time_ms, snapshot.body, None, 0)
    try:
        head = _ADAPTER.validate_json(snapshot.body[len(HEAD) :])
    except ValidationError as error:
        raise ContractError(f"the head of {service} cannot be read: {error.error_count()} errors") from None
    pieces = [_piece(table.get(part_key(service, number)), head) for number in range(head.parts)]
    missing = [number for number, piece in enumerate(pieces) if piece is None]
    if missing:
        raise ContractError(f"the head of {service} names {head.parts} parts; of them {_few(missing)} are not there")
    return Stored(snapshot.time_ms, b"".join(piece for piece in pieces if piece is not None), head.where, head.parts)


def assemble_if_whole(service: str, table: Mapping[str, Record]) -> Stored | None:
    """``assemble`` for a follower of the topic: None also where compaction has left less than the head names."""
    with suppress(ContractError):
        return assemble(service, table)
    return None


def _piece(record: Record | None, head: _Head) -> bytes | None:
    start = PART + bytes.fromhex(head.sha256)
    if isinstance(record, Snapshot) and record.body.startswith(start):
        return record.body[len(start) :]
    return None


def _few(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:5]))
    return shown if len(numbers) <= 5 else f"{shown} and {len(numbers) - 5} more"  # noqa: PLR2004 - as shown


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
    """The offsets committed for the group, for tools that show lag; nothing is read by it while there is a snapshot."""
    was, now = next_offsets(before.where.topics), next_offsets(after.where.topics)
    return [
        TopicPartition(partition.topic, partition.number, offset)
        for partition, offset in now.items()
        if was.get(partition) != offset
    ]
