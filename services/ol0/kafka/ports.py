"""What a consume loop feeds: the replay store as ``ConsumeLoop`` sees it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from ol0.pending import Pending
from ol0.records import Partition, Record


@dataclass(frozen=True, slots=True)
class Log:
    """What the broker says of a partition's log.

    Attributes:
        topic_id: of its topic: another one where the topic was recreated under its name; empty where there are none.
        first_offset: that the log still has.
        end: offset of the next record that will be written.
    """

    topic_id: str
    first_offset: int
    end: int


class SourceRecord(NamedTuple):
    """A decoded record with its place in the log and the broker's clock when it was appended.

    Attributes:
        offset: in the partition.
        append_time_ms: the broker's clock.
        record: decoded and checked.
        logged: the same, framed, as it lies in the log; None where it has no such bytes.
        is_stamped: whether that clock is the broker's; else the topic was CreateTime, and it is the writer's.
    """

    offset: int
    append_time_ms: int
    record: Record
    logged: bytes | None = None
    is_stamped: bool = True


class Sink(Protocol):
    """Takes records in, together with the offsets that they came from.

    All calls come from one thread. What ``apply`` returns has been waited for before the next ``apply`` of the same
    partition, and before any ``claim`` or ``release``; ``idle`` may be called in between. All may block for as long as
    the sink needs, below ``max.poll.interval.ms`` (five minutes). Any ``StoreError`` but ``Gap`` stops the process.
    """

    def claim(self, partition: Partition, log: Log) -> int:
        """Makes this process the owner of the partition and says which offset comes next.

        One that the sink does not know begins at ``log.first_offset``.

        Raises:
            Fenced: a newer owner has it.
            StoreError: the topic was recreated since the sink has read of it.
        """
        ...

    def apply(self, partition: Partition, records: Sequence[SourceRecord], next_offset: int) -> Pending[bool]:
        """Begins to take in what lies between the offset that was expected and ``next_offset``, all of it or nothing.

        ``records`` may be empty: dead letters and transaction markers take offsets too.

        Returns:
            Whether it was taken in. False means full: the same call comes again later.

        Raises:
            Fenced: from the result: a newer owner has the partition.
            Gap: from the result: the sink expects another offset; the loop claims again and seeks there.
        """
        ...

    def skip(self, partition: Partition, log: Log) -> int:
        """The log no longer has the offset that comes next: says where to continue, and counts what is passed over.

        That is where the log begins, if what comes next has expired, or where it ends, if it was cut.

        Raises:
            Fenced: a newer owner has the partition.
        """
        ...

    def release(self, partition: Partition) -> None:
        """Forgets the partition; another process may have it already."""
        ...

    def idle(self) -> bool:
        """Called after every round of polling, with or without records: the place for work that time brings.

        Returns:
            Whether it should be called again before long, without waiting for a whole batch of records.
        """
        ...

    def finish(self) -> None:
        """Called at an orderly end, while the partitions are still owned: waits for what is under way."""
        ...


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
            ContractError: this version cannot read the body. The service stops.
        """
        ...
