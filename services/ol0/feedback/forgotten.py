"""Who was forgotten: the tombstones on the operator topic, which outlive the store."""

from collections.abc import Iterable
from typing import Final

from ol0.kafka.topic_readers.compacted_reader import CompactedReader
from ol0.records import OperatorCommand, OperatorKind, Record

READ_S: Final = 30.0


class ForgottenUsers:
    """The pseudonyms of forgotten users, as the operator topic has them: one key each, so compaction keeps them all."""

    def __init__(self, reader: CompactedReader) -> None:
        self._reader = reader

    def read(self) -> set[str]:
        """Everybody who was forgotten until now.

        Raises:
            StreamError: the topic was not read to its end in time.
        """
        return _users(self._reader.read_to_end(READ_S).values())

    def poll(self) -> set[str]:
        """Who was forgotten since the last call. Waits for nothing."""
        return _users(record for _, record in self._reader.poll(0))


def _users(records: Iterable[Record | None]) -> set[str]:
    orders = (record for record in records if isinstance(record, OperatorCommand))
    return {order.value for order in orders if order.kind is OperatorKind.FORGET and order.value}
