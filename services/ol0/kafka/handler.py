"""What a service is, inside: a pure handler of records."""

from collections.abc import Sequence
from typing import Protocol

from ol0.records import Record


class Handler(Protocol):
    """Takes records in, gives records out. No Kafka, no clock, no randomness that was not passed in.

    Same records in, same records out: after a crash or an aborted transaction the loop restores the last committed
    snapshot and hands over the same records again.
    """

    def handle(self, record: Record) -> Sequence[Record]:
        """Takes one record in and returns what follows from it, in the order in which it is to be written.

        Raises:
            ContractError: this record cannot be used; it becomes a dead letter. The state must be as before the call.
            OL0Error: any other one stops the service.
        """
        ...

    def snapshot(self) -> bytes:
        """The whole state, equal for equal states; together with the records that follow it yields the same again."""
        ...

    def restore(self, body: bytes) -> None:
        """Takes back a state that ``snapshot`` returned, of this or of an earlier version of the service.

        Raises:
            ContractError: the body is none that this version reads. The service stops.
        """
        ...
