"""The history of every checkpoint, read from the topics."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final

from ol0.config import Settings
from ol0.errors import ConfigError
from ol0.kafka.topic_readers.log_reader import LogReader
from ol0.records import Candidate, Digest, Record, ServingState, Transition, Verdict

READ_S: Final = 30.0
SHORTEST: Final = 4
"""Shortest prefix of a digest that is accepted: a shorter one is a typing error."""


@dataclass
class History:
    """What was read, each in the order of its topic."""

    transitions: list[Transition] = field(default_factory=list)
    candidates: list[Candidate] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    state: ServingState | None = None

    def take(self, record: Record) -> None:
        """Puts a record where it belongs."""
        match record:
            case Transition():
                self.transitions.append(record)
            case Candidate():
                self.candidates.append(record)
            case Verdict():
                self.verdicts.append(record)
            case ServingState():
                self.state = record

    def digests(self) -> set[Digest]:
        """Every checkpoint that is spoken of."""
        records: tuple[Transition | Candidate | Verdict, ...] = (*self.transitions, *self.candidates, *self.verdicts)
        return {record.digest for record in records}


def read_history(settings: Settings, names: Sequence[str]) -> History:
    """Reads topics of a lineage to their end.

    Raises:
        StreamError: Kafka does not answer, or not to the end in time.
    """
    history = History()
    with closing(LogReader(settings, names)) as reader:
        for record in reader.to_the_end(READ_S):
            history.take(record)
    return history


def find_digest(digests: set[Digest], start: str) -> Digest:
    """The one digest that begins so.

    Raises:
        ConfigError: no checkpoint matches, or more than one.
    """
    found = sorted(digest for digest in digests if digest.startswith(start.lower()))
    if len(start) < SHORTEST or not found:
        raise ConfigError(f"no checkpoint in this lineage matches {start}; `ol0 releases list` shows their names")
    if len(found) > 1:
        names = ", ".join(digest[: len(start) + SHORTEST] for digest in found[:SHORTEST])
        raise ConfigError(f"{start} may be {names}: use more characters")
    return found[0]
