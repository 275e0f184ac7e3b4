"""Transactions without a source topic: the learner's, whose source is the replay store."""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from ol0.errors import ContractError, StreamError
from ol0.kafka.lineage import Lineage
from ol0.kafka.messages import Outgoing, to_message
from ol0.kafka.snapshots import (
    PART_BYTES,
    Positions,
    Stored,
    assemble,
    head_of,
    is_part,
    part_count,
    part_key,
    parts_of,
)
from ol0.kafka.topic_readers.compacted_reader import POLL_S, CompactedReader, apply_changes
from ol0.kafka.transactions import Transactor, retry_aborted
from ol0.records import Record, Snapshot

STATE: Final = "state"
READ_TIMEOUT_S: Final = 30.0
HEAD_TIMEOUT_S: Final = 5.0
"""The rest of a transaction follows right behind its beginning."""


class TransactionalWriter:
    """Writes records of one service, a transaction at a time, as the only one in its lineage.

    Call ``init`` first, then ``read_snapshots``: only a fenced predecessor cannot write one more snapshot meanwhile.
    """

    def __init__(self, service: str, lineage: Lineage) -> None:
        self._lineage = lineage
        self._transactor = Transactor(service, lineage.clients)
        self._parts: dict[str, int] = {}  # of each snapshot on the topic, by key; none where it is one record

    def init(self) -> None:
        """Fences the predecessor and ends the transaction that it left open.

        Raises:
            StreamError: the broker does not answer.
        """
        self._transactor.init()

    def write(self, records: Sequence[Record], forget: Iterable[str] = ()) -> None:
        """Writes all records, and deletes the snapshots of these keys; or nothing of it.

        Raises:
            ContractError: no reader would take one of them.
            Fenced: another process writes for this service now.
            StreamError: Kafka refuses; the fate of the transaction shows in ``read_snapshots`` after a restart.
        """
        before, now = self._parts, dict(self._parts)
        pieces = [piece for record in records for piece in _in_pieces(record, now)]
        gone = list[str]()
        for key in forget:
            gone += [key, *(part_key(key, number) for number in range(now.pop(key, 0)))]
        gone += [part_key(key, n) for key, count in now.items() for n in range(count, before.get(key, 0))]
        topic = self._lineage.topics.full(STATE)
        written = [to_message(piece, self._lineage.topics, self._lineage.codec) for piece in pieces]
        self._commit([*written, *(Outgoing(topic, key.encode(), None) for key in gone)])
        self._parts = now

    def read_snapshots(self, prefix: str) -> dict[str, Snapshot]:
        """The newest snapshots whose keys begin with ``prefix``, by key.

        Raises:
            StreamError: one of them cannot be read, or the topic was not read to its end in time.
        """
        found = _read(prefix, self._lineage)
        self._parts |= {key: stored.parts for key, stored in found.items()}
        return {key: Snapshot(key, it.time_ms, it.body) for key, it in found.items()}

    def _commit(self, messages: Sequence[Outgoing]) -> None:
        if messages:
            retry_aborted(lambda: self._transactor.commit(messages))


def read_snapshots(prefix: str, lineage: Lineage) -> dict[str, Snapshot]:
    """The newest snapshots whose keys begin with ``prefix``, by key, each put together from its parts.

    Raises:
        StreamError: one of them cannot be read, or the topic was not read to its end in time.
    """
    return {key: Snapshot(key, it.time_ms, it.body) for key, it in _read(prefix, lineage).items()}


def read_stored(service: str, lineage: Lineage) -> Stored | None:
    """The newest snapshot of a loop, with where it was; None without one.

    Raises:
        StreamError: it cannot be read, or the topic was not read to its end in time.
    """
    return _read(service, lineage).get(service)


def _in_pieces(record: Record, parts: dict[str, int]) -> Sequence[Record]:
    """A snapshot that is too large for a record in parts and head, anything else as it is; notes how many parts."""
    if not isinstance(record, Snapshot):
        return [record]
    if len(record.body) <= PART_BYTES:
        parts[record.service] = 0
        return [record]
    parts[record.service] = part_count(record.body)
    head = head_of(record.service, record.time_ms, record.body, Positions({}, None))
    return [*parts_of(record.service, record.time_ms, record.body), head]


def _read(prefix: str, lineage: Lineage) -> dict[str, Stored]:
    """Reads to the end; where that is in the middle of a transaction, on to its head."""

    def refuse(key: str, error: ContractError) -> None:
        """An older snapshot would not fit the positions that were written with this one."""
        if key.startswith(prefix):
            raise _unreadable(key, error)

    with CompactedReader(STATE, lineage, refuse) as reader:
        table = reader.read_to_end(READ_TIMEOUT_S)
        deadline = time.monotonic() + HEAD_TIMEOUT_S
        while True:
            try:
                return _assemble_all(prefix, table)
            except ContractError as error:
                if time.monotonic() > deadline:
                    raise _unreadable(prefix, error) from error
            apply_changes(table, reader.poll(POLL_S))


def _assemble_all(prefix: str, table: Mapping[str, Record]) -> dict[str, Stored]:
    keys = [key for key, it in table.items() if key.startswith(prefix) and isinstance(it, Snapshot) and not is_part(it)]
    stored = {key: assemble(key, table) for key in keys}
    return {key: it for key, it in stored.items() if it is not None}


def _unreadable(key: str, error: ContractError) -> StreamError:
    return StreamError(f"the snapshot of {key} cannot be read: {error}; start the version that wrote it")
