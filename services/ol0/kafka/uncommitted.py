"""What a transactional loop has made since its last transaction."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from ol0.errors import ContractError
from ol0.kafka.dead_letters.writer import DeadLetter, outgoing
from ol0.kafka.lineage import Lineage
from ol0.kafka.messages import Outgoing, to_message
from ol0.kafka.transactions import size_of
from ol0.records import Record

LARGEST_BYTES: Final = 8 * 1024 * 1024
"""What may wait: a flood of dead letters must not fill the memory."""


@dataclass
class Uncommitted:
    """Outputs and dead letters that wait for the next transaction. What no topic would take is dropped and counted.

    A service that dies of what it cannot write dies of it again at every start, and everything behind it waits. So one
    record is lost, with a line in the log, and the rest continues.

    Attributes:
        messages: in the order in which they were made.
        size: their bytes.
        dropped: what was left out since the process began.
    """

    service: str
    lineage: Lineage
    messages: list[Outgoing] = field(default_factory=list)
    size: int = 0
    dropped: int = 0
    _limits: dict[str, int] = field(default_factory=dict)

    @property
    def flooded(self) -> bool:
        """Whether so much waits that it must go out now."""
        return self.size > LARGEST_BYTES

    def add(self, outputs: Sequence[Record], letters: Sequence[DeadLetter]) -> None:
        """Takes in what one round has made."""
        for record in outputs:
            try:
                self._put(to_message(record, self.lineage.topics, self.lineage.codec))
            except ContractError as error:
                self._drop(f"a {type(record).__name__} that no reader would take", str(error))
        for letter in letters:
            self._put(outgoing(letter, self.lineage.topics))

    def refuse(self, topic: str, size: int) -> None:
        """A topic does not take so many bytes, whatever it was declared to take: from now on they are dropped."""
        self._limits[topic] = min(size, self._limits.get(topic, size))

    def clear(self) -> None:
        """All of it is written, or the loop has gone back to before it was made."""
        self.messages, self.size = [], 0

    def _put(self, message: Outgoing) -> None:
        size = size_of(message.key, message.value)
        if size >= self._limits.get(message.topic, size + 1):
            self._drop(f"a message for {message.topic}", f"{size} bytes; its max.message.bytes is less")
            return
        self.messages.append(message)
        self.size += size

    def _drop(self, what: str, reason: str) -> None:
        self.dropped += 1
        structlog.get_logger("ol0.loop").error(
            f"dropped {what}; it is lost", service=self.service, reason=reason, dropped=self.dropped
        )
