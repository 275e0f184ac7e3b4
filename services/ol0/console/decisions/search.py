"""Looking for one decision in the topics and the store, within bounds, and saying what was looked through."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final
from uuid import UUID

from ol0.clock import wall_clock_ms
from ol0.config import Settings
from ol0.console.observing.letters import MOST_LETTERS
from ol0.errors import ConfigError, OL0Error, StoreError
from ol0.kafka.dead_letters.reader import Letter, once, read_letters
from ol0.kafka.lineage import Lineage
from ol0.kafka.topic_readers.span_reader import Searched, Span, SpanReader
from ol0.operator.releases.history import read_history
from ol0.records import (
    Decision,
    DecisionId,
    ImplicitFeedback,
    Outcome,
    Record,
    ToolFeedback,
    Transition,
    UserFeedback,
)
from ol0.replay.connection import connect
from ol0.replay.layout import decision_key
from ol0.replay.stats import StoreStats, read_stats

HOUR_MS: Final = 3_600_000
MINUTE_MS: Final = 60_000
FEEDBACK: Final = ("feedback.user", "feedback.tool", "feedback.implicit")
LETTERS_OF: Final = ("decisions", *FEEDBACK, "outcomes")
SLACK_MS: Final = 5 * MINUTE_MS
"""How much earlier than its decision something may have been appended, for clocks differ."""
STORE_S: Final = 2.0

Said = UserFeedback | ToolFeedback | ImplicitFeedback


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far to look: hours back by the broker's clock, and seconds that it may take."""

    hours: float = 24.0
    within_s: float = 20.0


@dataclass(frozen=True, slots=True)
class Place:
    """What was looked through of one topic. ``is_enough``: it ended there because what it was for was found."""

    topic: str
    searched: Searched
    is_enough: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """Everything that was found of one decision.

    Attributes:
        decision_id: what was looked for.
        decision: as its host made it; copies are the same.
        outcome: the first that was published.
        said: feedback about it, as it was read.
        letters: dead letters that hold its id.
        life: transitions of the checkpoint that served it.
        stats: of the store; None: out of reach.
        places: what was looked through.
        bounds: how far.
        unread: what could not be read, in words.
    """

    decision_id: DecisionId
    bounds: Bounds
    decision: Decision | None = None
    outcome: Outcome | None = None
    said: tuple[Said, ...] = ()
    letters: tuple[Letter, ...] = ()
    life: tuple[Transition, ...] = ()
    stats: StoreStats | None = None
    places: tuple[Place, ...] = ()
    unread: tuple[str, ...] = ()

    @property
    def made(self) -> Decision | Outcome | None:
        """The decision, or what its outcome repeats of it."""
        return self.decision or self.outcome


def canonical(text: str) -> DecisionId:
    """A decision id in the form in which records hold it.

    Raises:
        ConfigError: it is no UUID.
    """
    try:
        return DecisionId(str(UUID(bytes=decision_key(text.strip().lower()))))
    except ValueError:
        raise ConfigError(f"{text[:80]!r} is no decision id: `prompt.decide` returns a UUID with each choice") from None


def search(settings: Settings, text: str, bounds: Bounds) -> Found:
    """Looks for a decision, then from its time on for what was said of it and what came of it.

    Raises:
        ConfigError: the text is no decision id.
        StreamError: Kafka does not answer.
    """
    found = Found(canonical(text), bounds)
    lineage, deadline_s = Lineage.of(settings.kafka), time.monotonic() + bounds.within_s
    now_ms = wall_clock_ms()
    span = Span(now_ms - round(bounds.hours * HOUR_MS), now_ms + HOUR_MS)
    first = SpanReader(lineage, ("decisions", "outcomes"), span, found.decision_id.encode())
    found = _take(found, _until_made(first.records(deadline_s)))
    found = replace(found, places=_places(first))
    if found.made is not None:
        found = _follow(settings, lineage, found, span.to_ms, deadline_s)
    return _beside(settings, lineage, found)


def _until_made(records: Iterator[Record]) -> Iterator[Record]:
    """Up to the first record of the decision: its time bounds the rest."""
    for record in records:
        yield record
        if isinstance(record, Decision | Outcome):
            return


def _follow(settings: Settings, lineage: Lineage, found: Found, to_ms: int, deadline_s: float) -> Found:
    """What came after the decision: feedback until its window has closed, and the outcome whenever it came."""
    assert found.made is not None
    made_ms, streaming = found.made.time_ms, settings.streaming
    open_ms = round(1000 * (streaming.reward_window_s + streaming.allowed_lateness_s))
    other = "outcomes" if found.outcome is None else "decisions"
    known = {place.topic: replace(place, is_enough=True) for place in found.places}
    for names, until_ms in ((FEEDBACK, made_ms + open_ms + HOUR_MS), ((other,), to_ms)):
        reader = SpanReader(lineage, names, Span(made_ms - SLACK_MS, until_ms), found.decision_id.encode())
        found = _take(found, reader.records(deadline_s))
        known |= {place.topic: place for place in _places(reader)}
    return replace(found, places=tuple(known.values()))


def _take(found: Found, records: Iterable[Record]) -> Found:
    """Sorts what was read; what only mentions the id elsewhere, such as in a session's name, is passed over."""
    for record in records:
        if getattr(record, "decision_id", None) != found.decision_id:
            continue
        match record:
            case Decision():
                found = replace(found, decision=found.decision or record)
            case Outcome():
                found = replace(found, outcome=found.outcome or record)
            case UserFeedback() | ToolFeedback() | ImplicitFeedback():
                found = replace(found, said=(*found.said, record))
            case _:
                pass
    return found


def _places(reader: SpanReader) -> tuple[Place, ...]:
    return tuple(Place(topic, searched) for topic, searched in reader.searched.items())


def _beside(settings: Settings, lineage: Lineage, found: Found) -> Found:
    """What store, dead letters and releases say; each may be out of reach by itself."""
    unread: list[str] = []
    try:
        found = replace(found, stats=_stats(settings))
    except StoreError as error:
        unread.append(f"store: {error}")
    try:
        found = replace(found, letters=tuple(_letters(lineage, found.decision_id)))
    except OL0Error as error:
        unread.append(f"dead letters: {error}")
    try:
        found = replace(found, life=_life(settings, found))
    except OL0Error as error:
        unread.append(f"transitions: {error}")
    return replace(found, unread=tuple(unread))


def _stats(settings: Settings) -> StoreStats:
    return read_stats(connect(settings.redis, retries=0, timeout_s=STORE_S), settings.kafka.topic_prefix)


def _letters(lineage: Lineage, decision: DecisionId) -> Iterator[Letter]:
    letters = once(islice(read_letters(lineage, LETTERS_OF), MOST_LETTERS))
    return (letter for letter in letters if decision.encode() in letter.value)


def _life(settings: Settings, found: Found) -> tuple[Transition, ...]:
    if found.made is None:
        return ()
    history = read_history(settings, ("transitions",))
    return tuple(move for move in history.transitions if move.digest == found.made.digest)
