"""Where each service loop is in its sources, by the snapshots that the loops write themselves."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ol0.kafka.snapshots import assemble_if_whole, next_offsets
from ol0.records import Partition, Record, Snapshot

FEEDBACK: Final = "feedback"
"""Its places are in the store, beside the data."""
LEARNER: Final = "learner"
"""It reads the store and no topic of records."""
LOOPS: Final = ("canary", "drift", "release", "evaluator")


@dataclass(frozen=True, slots=True)
class LoopPlace:
    """One loop: the next offset of each partition that it reads, and when it wrote that (None: it has not yet)."""

    service: str
    written_ms: int | None
    offsets: Mapping[Partition, int]


class Places:
    """Keeps where every loop is, by its newest head."""

    def __init__(self) -> None:
        self._table: dict[str, Record] = {}
        self._places = {service: LoopPlace(service, None, {}) for service in LOOPS}
        self.learner_ms: int | None = None

    def add(self, snapshot: Snapshot) -> None:
        """Takes a head or a part, in the order of the topic. The learner's parts are passed over: they are large."""
        if snapshot.service == LEARNER:
            self.learner_ms = snapshot.time_ms
        elif snapshot.service.partition("/")[0] in LOOPS:
            self._table[snapshot.service] = snapshot
            if snapshot.service in LOOPS:
                self._read_head(snapshot)

    def places(self) -> tuple[LoopPlace, ...]:
        """Every loop, in the order of ``LOOPS``."""
        return tuple(self._places.values())

    def _read_head(self, head: Snapshot) -> None:
        """A head comes after its parts. Where compaction has left fewer, the loop is where it was."""
        stored = assemble_if_whole(head.service, self._table)
        offsets = self._places[head.service].offsets
        if stored is not None and stored.where is not None:
            offsets = next_offsets(stored.where.topics)
        self._places[head.service] = LoopPlace(head.service, head.time_ms, offsets)
