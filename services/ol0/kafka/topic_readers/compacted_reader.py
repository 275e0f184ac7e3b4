"""Following a compacted topic: the newest record of each key is all that counts."""

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Generic, Self, TypeVar

from confluent_kafka import OFFSET_BEGINNING, KafkaError, Message, TopicPartition

from ol0.errors import ContractError, StreamError
from ol0.kafka.lineage import Lineage
from ol0.kafka.logs.identities import Identities
from ol0.kafka.messages import coordinates
from ol0.kafka.rights import missing_right
from ol0.records import Record

OnGarbage = Callable[[str, ContractError], None]
Change = tuple[str, Record | None]
"""A key and its newest record; None: deleted."""
R = TypeVar("R", bound=Record)
LOG: Final = logging.getLogger("ol0.kafka")
POLL_S: Final = 0.2
AGAIN_S: Final = 5.0
"""Pause before a topic that cannot be read is read again, from its beginning."""


def apply_changes(table: dict[str, Record], changes: Iterable[Change]) -> None:
    """Takes changes into a table, in their order."""
    for key, record in changes:
        if record is None:
            table.pop(key, None)
        else:
            table[key] = record


class CompactedReader:
    """Reads one compacted topic from its beginning, to its end and beyond. Needs no broker to be made.

    The end is where the broker says so: commit markers take offsets, so the last record may be anywhere before it.
    Where reading fails (librdkafka may come back from that after minutes, or never), or the topic was recreated under
    the same name, it begins again.

    Args:
        name: logical name of the topic.
        lineage: where it is and how its records are written.
        on_garbage: called with key and error where a record cannot be decoded; by default it is logged. It may raise.
            Where it does not, the key keeps its last good record.
        wanted: which keys are read; by default all. The records of others are not decoded.
        batch: messages in memory at a time.
    """

    def __init__(
        self,
        name: str,
        lineage: Lineage,
        on_garbage: OnGarbage | None = None,
        *,
        wanted: Callable[[str], bool] = lambda _: True,
        batch: int = 100,
    ) -> None:
        self._wanted, self._batch = wanted, batch
        self._spec = lineage.topics.spec(name)
        self._topic = lineage.topics.full(name)
        self._reader = f"reader.{name}"
        self._group = lineage.clients.group(self._reader)
        self._codec = lineage.codec
        self._on_garbage = on_garbage or self._log_garbage
        self._clients = lineage.clients
        self._notes = lineage.clients.notes
        self._partitions = range(self._spec.partitions)
        self._identities = Identities([self._topic], lineage.clients)
        self._begin()

    def _begin(self) -> None:
        self._consumer = self._clients.assigned_consumer(self._reader, reset="earliest")
        self._ended: set[int] = set()
        self._next: dict[int, int] = {}
        self._again_at_s = math.inf
        self._consumer.assign([TopicPartition(self._topic, n, OFFSET_BEGINNING) for n in self._partitions])

    @property
    def caught_up(self) -> bool:
        """Whether every partition has been read to its end once; a transaction that is open ends it for a while."""
        return len(self._ended) == len(self._partitions)

    @property
    def known_at_s(self) -> float | None:
        """When the broker was last asked which topic this is, by ``time.monotonic``; None: not yet, or it failed."""
        return self._identities.answered_at_s if self._again_at_s == math.inf else None

    def poll(self, timeout_s: float) -> list[Change]:
        """What has changed since the last call, in the order of the log; waits at most ``timeout_s`` for the first.

        Where it begins again, what is not deleted is there once more.
        """
        if time.monotonic() >= self._again_at_s:
            self._consumer.close()
            self._begin()
        first = self._consumer.consume(1, timeout_s)
        messages = first + self._consumer.consume(self._batch, 0) if first else []
        changes = [change for message in messages if (change := self._change(message)) is not None]
        if self._identities.changed():
            self._again_at_s = 0.0
            LOG.warning("%s was recreated; reading it from its beginning", self._topic)
        return changes

    def read_to_end(self, timeout_s: float) -> dict[str, Record]:
        """Everything that the topic holds at this moment: key -> newest record.

        Raises:
            StreamError: the end was not reached in time.
        """
        table: dict[str, Record] = {}
        for changes in self.changes_to_end(timeout_s):
            apply_changes(table, changes)
        return table

    def changes_to_end(self, timeout_s: float) -> Iterator[list[Change]]:
        """What the topic holds at this moment, in the order of the log.

        Waits for transactions that are open: what was committed after one of them began is not to be read before it
        ends, so the end that a reader sees may lie before the newest committed record.

        Raises:
            StreamError: the end was not reached in time.
        """
        deadline = time.monotonic() + timeout_s
        bounds = self._clients.bounds(self._topic, self._partitions, timeout_s)
        ends = {number: end for number, (_, end) in bounds.items()}
        while any(self._next.get(number, -1) < end for number, end in ends.items()):
            if time.monotonic() > deadline:
                raise StreamError(
                    f"{self._topic}: read to {self._next} within {timeout_s:g} s of {ends} (partition: "
                    "offset); a transaction that stays open holds readers back, `kafka-transactions.sh` names it"
                )
            yield self.poll(POLL_S)

    def close(self) -> None:
        """Gives the connection back."""
        self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _change(self, message: Message) -> Change | None:
        if (fault := message.error()) is not None:
            self._note(fault, message)
            return None
        _, partition, offset = coordinates(message)
        self._next[partition] = offset + 1
        key = (message.key() or b"").decode(errors="replace")
        if not self._wanted(key):
            return None
        value = message.value()
        if value is None:
            return key, None
        try:
            return key, self._codec.decode_from(self._spec, value)
        except ContractError as error:
            self._on_garbage(key, type(error)(f"{self._topic}[{partition}] at {offset}, key {key[:80]!r}: {error}"))
            return None

    def _note(self, error: KafkaError, message: Message) -> None:
        """How far a partition is read; anything else is logged, for readers outlive outages."""
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - librdkafka's own codes begin so
            # Past the last record there may be a commit marker, which no record shows. On a busy topic the end is
            # hardly ever seen, but then there are records, and they show how far one is.
            _, partition, offset = coordinates(message)
            self._ended.add(partition)
            self._next[partition] = offset
        else:
            self._again_at_s = min(self._again_at_s, time.monotonic() + AGAIN_S)
            name = self._topic if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED else self._group
            operation = "Read" if name == self._topic else "Describe"
            reason = f"{error.str()}{missing_right(error, operation, [name])}"
            self._notes.note("cannot read", f"{self._topic}: {reason}")

    def _log_garbage(self, key: str, error: ContractError) -> None:
        self._notes.note("skipped a record", f"the last good one of {key[:80]!r} stays: {error}", logging.ERROR)


class LatestValue(Generic[R]):
    """The newest record of one key: what serves, for the SDK and the learner.

    It follows the topic through whatever happens to it: where the reader begins again, it keeps the value that it has
    until the new end is reached.

    Args:
        name: logical name of the topic.
        lineage: where it is.
        key: whose newest record it is.
        record_type: what that record has to be.

    Attributes:
        current_at_s: the last moment, by ``time.monotonic``, at which ``value`` was the newest of a broker
            that answered; None: there was none.

    Raises:
        ConfigError: an option contradicts a guarantee, or librdkafka refuses it.
    """

    def __init__(self, name: str, lineage: Lineage, key: str, record_type: type[R]) -> None:
        self._key, self._record_type = key, record_type
        self._reader = CompactedReader(name, lineage)
        self._found: R | None = None
        self._value: R | None = None
        self.current_at_s: float | None = None

    @property
    def value(self) -> R | None:
        """The newest good one; None until the end of the topic was read, for the one so far may be old."""
        return self._value

    @property
    def caught_up(self) -> bool:
        """Whether the topic has been read to its end once: before that a record may be an old one."""
        return self._reader.caught_up

    def poll(self, timeout_s: float) -> bool:
        """Looks for a newer one; says whether there is. A deletion changes nothing: something has to serve."""
        for key, record in self._reader.poll(timeout_s):
            if key == self._key and isinstance(record, self._record_type):
                self._found = record
        if not self.caught_up:
            return False
        if self._reader.known_at_s is not None:
            self.current_at_s = self._reader.known_at_s
        newer, self._value = self._found is not self._value, self._found
        return newer

    def close(self) -> None:
        """Gives the connections back."""
        self._reader.close()
