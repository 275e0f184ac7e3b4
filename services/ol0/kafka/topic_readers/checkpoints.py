"""Opening checkpoints whose records only name their chunks: the chunks are on a topic of their own."""

from collections import OrderedDict
from collections.abc import Collection
from typing import Final

from ol0.controller.checkpoint import read_checkpoint
from ol0.controller.chunks import Reference, is_reference, join
from ol0.controller.controller import Controller
from ol0.errors import CheckpointError
from ol0.kafka.lineage import Lineage
from ol0.kafka.topic_readers.compacted_reader import CompactedReader
from ol0.records import Chunk, Digest, brief

READ_S: Final = 60.0
"""Longest wait for the end of ``tensors``: base, live, trial and history of the largest at 100 Mbit/s."""
KEPT: Final = 3
"""Base, live and staged: what a serving state has, and more than any service compares at a time."""


class CheckpointReader:
    """An ``Opener`` for a lineage. Used by one thread at a time; talks to no broker before it has to.

    Keeps the last few that it opened of chunks: most changes of what serves bring one checkpoint that is new.
    """

    def __init__(self, lineage: Lineage) -> None:
        self._lineage = lineage
        self._kept: OrderedDict[bytes, Controller] = OrderedDict()

    def __call__(self, heads: bytes, expected: Digest | None = None) -> Controller:
        """Verifies and opens what a record holds, or names.

        Raises:
            CheckpointError: as ``read_checkpoint`` and ``join``; a chunk that is not there by the end of the topic is
                missing.
            StreamError: Kafka does not answer.
        """
        if not is_reference(heads):
            return read_checkpoint(heads, expected)
        reference = Reference.unpack(heads)
        if expected is not None and reference.digest != expected:
            raise CheckpointError(
                f"checkpoint is {brief(reference.digest)}, not {brief(expected)}: its bytes were changed"
            )
        if heads not in self._kept:  # not its digest: another reference to the same must open by itself
            found = read_chunks(self._lineage, set(reference.chunks))
            self._kept[heads] = read_checkpoint(join(heads, found.get), reference.digest)
        self._kept.move_to_end(heads)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return self._kept[heads]


def read_chunks(lineage: Lineage, names: Collection[Digest], timeout_s: float = READ_S) -> dict[Digest, bytes]:
    """Those of these chunks that are on the topic, deleted ones too as long as compaction has left them.

    Stops where all are found. Else it reads to the end, with the transactions that are open there: what was written in
    one transaction with a record that is seen is found.

    Raises:
        StreamError: the end was not reached in time.
    """
    found: dict[Digest, bytes] = {}
    with CompactedReader("tensors", lineage, wanted=frozenset(names).__contains__, batch=16) as reader:
        for changes in reader.changes_to_end(timeout_s):
            found |= {record.digest: record.data for _, record in changes if isinstance(record, Chunk)}
            if found.keys() >= set(names):
                break
    return found
