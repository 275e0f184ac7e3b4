"""Transactions without a source topic: the learner's, whose source is the replay store."""

from collections.abc import Iterable, Sequence
from typing import Final

from ol0.errors import ContractError, StreamError
from ol0.records import Record, Snapshot
from ol0.streaming.lineage import Lineage
from ol0.streaming.messages import Outgoing, to_message
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
        topic = self._lineage.topics.full(STATE)
        written = [to_message(record, self._lineage.topics, self._lineage.codec) for record in records]
        self._commit([*written, *(Outgoing(topic, key.encode(), None) for key in forget)])

    def read_snapshots(self, prefix: str) -> dict[str, Snapshot]:
        """The newest snapshots whose keys begin with ``prefix``, by key.

        Raises:
            StreamError: one of them cannot be read, or the topic was not read to its end in time.
        """
        return read_snapshots(prefix, self._lineage)

    def _commit(self, messages: Sequence[Outgoing]) -> None:
        if messages:
            retry_aborted(lambda: self._transactor.commit(messages), lambda: None)


def read_snapshots(prefix: str, lineage: Lineage) -> dict[str, Snapshot]:
    """The newest snapshots whose keys begin with ``prefix``, by key.

    Raises:
        StreamError: one of them cannot be read, or the topic was not read to its end in time.
    """

    def refuse(key: str, error: ContractError) -> None:
        """An older snapshot would not fit the offsets that were committed with this one."""
        if key.startswith(prefix):
            raise StreamError(f"the snapshot of {key} cannot be read: {error}; start the version that wrote it")

    with CompactedReader(STATE, lineage, refuse) as reader:
        table = reader.read_to_end(READ_TIMEOUT_S)
    return {key: value for key, value in table.items() if isinstance(value, Snapshot) and key.startswith(prefix)}
