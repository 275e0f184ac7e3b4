"""Dead letters by kind, with what helps: the newest of each represents its kind."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

from ol0.kafka.dead_letters.reader import Letter, once, read_letters, topics_with_letters
from ol0.kafka.lineage import Lineage
from ol0.kafka.logs.questions import Asker, Which
from ol0.operator.dead_letter_text import remedy
from ol0.records import Partition
from ol0.wire.topics import Topics

DEAD_LETTER: Final = ".dlq"
MOST_LETTERS: Final = 20_000
"""Letters that are looked at: more of a kind say nothing new, and a flood must not hold up the page."""
ENDS_S: Final = 5.0
UNREADABLE: Final = "unreadable headers"


@dataclass(frozen=True, slots=True)
class LetterKind:
    """Letters of one topic with one error.

    Attributes:
        topic: logical name of the source.
        error: class of the error, or that the headers are none of OL0's.
        count: how many there are.
        newest_ms: when the newest was written.
        text: what the newest says.
        command: opens the newest.
        remedy: what helps.
    """

    topic: str
    error: str
    count: int
    newest_ms: int
    text: str
    command: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Letters:
    """All kinds, most letters first. ``is_whole`` is false where there are more than were looked at."""

    kinds: tuple[LetterKind, ...] = ()
    is_whole: bool = True


class LettersReader:
    """Reads the dead letters of all topics, where there are others than the last time."""

    def __init__(self, lineage: Lineage) -> None:
        self._lineage, self._names = lineage, topics_with_letters(lineage.topics)
        self._asker = Asker(lineage.clients.admin)
        self._places = [
            Partition(lineage.topics.dead_letter(name), number)
            for name in self._names
            for number in range(lineage.topics.spec(name).partitions)
        ]
        self._bounds: list[Mapping[Partition, int]] = []
        self._letters = Letters()

    def read(self) -> Letters:
        """The letters now.

        Raises:
            StreamError: Kafka does not answer, or a dead-letter topic is missing.
        """
        bounds = self._ask_bounds()
        if bounds != self._bounds:
            letters = read_letters(self._lineage, self._names)
            self._letters = kinds_of(islice(letters, MOST_LETTERS + 1), self._lineage.topics)
            self._bounds = bounds
        return self._letters

    def _ask_bounds(self) -> list[Mapping[Partition, int]]:
        """Where the logs begin and end."""
        asked = [self._asker.offsets(which, self._places, ENDS_S) for which in (Which.FIRST, Which.END)]
        return [it.offsets() for it in asked]


def kinds_of(letters: Iterable[Letter], topics: Topics) -> Letters:
    """The kinds of these letters; each bad record counts once."""
    newest: dict[tuple[str, str], Letter] = {}
    counts: dict[tuple[str, str], int] = {}
    looked_at = 0

    def counted() -> Iterable[Letter]:
        nonlocal looked_at
        for letter in letters:
            looked_at += 1
            yield letter

    for letter in once(counted()):
        kind = (topics.logical(letter.found_at.topic.removesuffix(DEAD_LETTER)), _error(letter))
        counts[kind] = counts.get(kind, 0) + 1
        if kind not in newest or letter.time_ms >= newest[kind].time_ms:
            newest[kind] = letter
    kinds = [_kind(*kind, counts[kind], letter) for kind, letter in newest.items()]
    return Letters(tuple(sorted(kinds, key=lambda one: (-one.count, one.topic))), looked_at <= MOST_LETTERS)


def _error(letter: Letter) -> str:
    return UNREADABLE if letter.flaws else letter.error_class


def _kind(topic: str, error: str, count: int, newest: Letter) -> LetterKind:
    text = "; ".join(newest.flaws) if newest.flaws else newest.message
    return LetterKind(topic, error, count, newest.time_ms, text, _opening(topic, newest), remedy(newest))


def _opening(topic: str, letter: Letter) -> str:
    place, ending = (letter.source, "") if letter.source else (letter.found_at, DEAD_LETTER)
    return f"ol0 dlq show {topic}{ending} {place.partition} {place.offset}"
