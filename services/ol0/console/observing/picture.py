"""Everything that is known of a lineage at one moment, and what is out of reach."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ol0.console.observing.knowledge import Known
from ol0.console.observing.letters import Letters
from ol0.records import Partition
from ol0.replay.stats import StoreStats


class Part(StrEnum):
    """What may be out of reach, each by itself."""

    BROKER = "broker"
    TOPICS = "topics"
    STORE = "store"
    LETTERS = "dead letters"


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something cannot be read since then (wall clock, ms), and the words of the error."""

    part: Part
    since_ms: int
    text: str


@dataclass(frozen=True, slots=True)
class Picture:
    """One moment. What cannot be read now stays as it was read last.

    Attributes:
        known: what the topics said.
        caught_up: whether they were read to their end once; before that ``known`` is an old state.
        stats: of the store; None: it was never read.
        holdups: why partitions hold event time back, by name.
        ends: where the logs end, for readers of what is committed; None: unknown.
        letters: dead letters; None: they were never read.
        troubles: what is out of reach.
    """

    known: Known = field(default_factory=Known)
    caught_up: bool = False
    stats: StoreStats | None = None
    holdups: Mapping[str, str] = field(default_factory=dict)
    ends: Mapping[Partition, int | None] = field(default_factory=dict)
    letters: Letters | None = None
    troubles: tuple[Trouble, ...] = ()

    def trouble(self, part: Part) -> Trouble | None:
        """Since when a part is out of reach; None where it is not."""
        return next((trouble for trouble in self.troubles if trouble.part is part), None)
