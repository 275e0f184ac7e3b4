"""Transactions without a source topic: the learner's, whose source is the replay store."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from ol0.errors import ContractError, StreamError
from ol0.records import Record, Snapshot
from ol0.streaming.lineage import Lineage
from ol0.streaming.messages import Outgoing, to_message
from ol0.streaming.snapshots import (
    PART_BYTES,
    Stored,
    Whereabouts,
    assemble,
    head_of,
    is_part,
    part_count,
    part_key,
    parts_of,
)
from ol0.streaming.table import CompactedReader
from ol0.streaming.transactor import Transactor, retry_aborted

STATE: Final = "state"
READ_TIMEOUT_S: Final = 30.0


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
            StreamError: Kafka refuses; what became of the transaction shows in ``read_snapshots`` after a restart.
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
        table = _read_table(prefix, self._lineage)
        found = _assemble_all(table)
        self._parts |= {key: stored.parts for key, stored in found.items()}
        return {key: Snapshot(key, it.time_ms, it.body) for key, it in found.items()}

    def _commit(self, messages: Sequence[Outgoing]) -> None:
        if messages:
            retry_aborted(lambda: self._transactor.commit(messages), lambda: None)


def read_snapshots(prefix: str, lineage: Lineage) -> dict[str, Snapshot]:
    """The newest snapshots whose keys begin with ``prefix``, by key, each put together from its parts.

    Raises:
        StreamError: one of them cannot be read, or the topic was not read to its end in time.
    """
    found = _assemble_all(_read_table(prefix, lineage))
    return {key: Snapshot(key, it.time_ms, it.body) for key, it in found.items()}


def read_stored(service: str, lineage: Lineage) -> Stored | None:
    """The newest snapshot of a loop, with where it was; None: there is none.

    Raises:
        StreamError: it cannot be read, or the topic was not read to its end in time.
    """
    return _assemble(service, _read_table(service, lineage))


def _in_pieces(record: Record, parts: dict[str, int]) -> Sequence[Record]:
    """A snapshot that is too large for a record in parts and head, anything else as it is; notes how many parts."""
    if not isinstance(record, Snapshot):
        return [record]
    if len(record.body) <= PART_BYTES:
        parts[record.service] = 0
        return [record]
    parts[record.service] = part_count(record.body)
    head = head_of(record.service, record.time_ms, record.body, Whereabouts({}, None))
    return [*parts_of(record.service, record.time_ms, record.body), head]


def _assemble_all(table: Mapping[str, Snapshot]) -> dict[str, Stored]:
    stored = {key: _assemble(key, table) for key, value in table.items() if not is_part(value)}
    return {key: it for key, it in stored.items() if it is not None}


def _assemble(service: str, table: Mapping[str, Snapshot]) -> Stored | None:
    try:
        return assemble(service, table)
    except ContractError as error:
        raise _unreadable(service, error) from error


def _read_table(prefix: str, lineage: Lineage) -> dict[str, Snapshot]:
    def refuse(key: str, error: ContractError) -> None:
        """An older snapshot would not fit the positions that were written with this one."""
        if key.startswith(prefix):
            raise _unreadable(key, error)

    with CompactedReader(STATE, lineage, refuse) as reader:
        table = reader.read_to_end(READ_TIMEOUT_S)
    return {key: value for key, value in table.items() if isinstance(value, Snapshot) and key.startswith(prefix)}


def _unreadable(key: str, error: ContractError) -> StreamError:
    return StreamError(f"the snapshot of {key} cannot be read: {error}; start the version that wrote it")
