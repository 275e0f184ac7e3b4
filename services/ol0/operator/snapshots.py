"""Where a person looks at the snapshots of the services, and deletes one that cannot be continued from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ol0.config import Settings
from ol0.errors import ConfigError
from ol0.kafka.lineage import Lineage
from ol0.kafka.sending.record_sender import RecordSender
from ol0.kafka.snapshots import is_part, part_key
from ol0.kafka.topic_readers.compacted_reader import CompactedReader
from ol0.kafka.transactional_writer import READ_TIMEOUT_S, STATE
from ol0.records import Snapshot

KEPT: Final = "release"
"""What was released, rejected and barred, and how far every order was obeyed: no other record has all of it."""


@dataclass(frozen=True, slots=True)
class Held:
    """A snapshot on the state topic.

    Attributes:
        key: the service, or ``learner/DIGEST`` of a candidate that may be rolled back to.
        time_ms: event time at which it was taken; None: no reader can read it.
        size: bytes, with its parts.
        parts: keys of the records that hold pieces of it.
    """

    key: str
    time_ms: int | None
    size: int
    parts: tuple[str, ...] = ()


def held_snapshots(settings: Settings) -> dict[str, Held]:
    """Every snapshot by its key.

    Raises:
        StreamError: Kafka does not answer, or the topic is missing.
    """
    unreadable = dict[str, Held]()
    lineage = Lineage.of(settings.kafka)
    with CompactedReader(STATE, lineage, lambda key, _: unreadable.update({key: Held(key, None, 0)})) as reader:
        table = {key: it for key, it in reader.read_to_end(READ_TIMEOUT_S).items() if isinstance(it, Snapshot)}
    heads = {key: _held(key, table) for key, it in table.items() if not is_part(it)}
    return dict(sorted((unreadable | heads).items()))


def _held(key: str, table: Mapping[str, Snapshot]) -> Held:
    parts = list[str]()
    while (name := part_key(key, len(parts))) in table and is_part(table[name]):
        parts.append(name)
    return Held(key, table[key].time_ms, sum(len(table[name].body) for name in (key, *parts)), tuple(parts))


def chosen(held: Mapping[str, Held], key: str) -> Held:
    """The snapshot that may be deleted.

    Raises:
        ConfigError: there is none of this key, or the lineage cannot do without it.
    """
    if key == KEPT:
        raise ConfigError(
            f"the snapshot {KEPT} holds what was released, rejected and barred, and no other record has all of it: "
            "restore the topic from its backup instead"
        )
    if key not in held:
        raise ConfigError(f"there is no snapshot {key!r:.100}; there are: {', '.join(held) or 'none'}")
    return held[key]


def delete(settings: Settings, snapshot: Held) -> None:
    """Deletes a snapshot with its parts, the head first: without it no part is read.

    Raises:
        StreamError: Kafka did not acknowledge it.
    """
    RecordSender(Lineage.of(settings.kafka)).delete(STATE, [snapshot.key, *snapshot.parts])
