"""How far behind each service loop is, in records."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from ol0.console.observing.picture import Picture
from ol0.console.observing.places import FEEDBACK, LEARNER, LoopPlace
from ol0.console.view.words import Tone, since
from ol0.operator.text import DASH, age, moment, plural
from ol0.records import Partition
from ol0.replay.stats import StoreStats

MARKER: Final = 1
"""A transaction ends with a marker, which takes an offset and is no record: of a log that is read, one may be left."""
FAR: Final = 1_000
"""Records behind which a loop is worth a look."""


@dataclass(frozen=True, slots=True)
class LoopRow:
    """One loop: how far it is behind, where, and when it wrote last."""

    service: str
    behind: str
    tone: Tone
    where: str
    written: str


@dataclass(frozen=True, slots=True)
class Loops:
    """All loops; the event time that has passed, and what holds it back."""

    rows: tuple[LoopRow, ...]
    event_time: str
    holdups: tuple[str, ...]


def loops(picture: Picture, clock_ms: int) -> Loops:
    """The table."""
    known, stats = picture.known, picture.stats
    feedback = LoopPlace(FEEDBACK, None, _source_offsets(stats))
    rows = [_row(it, picture.ends, clock_ms) for it in (feedback, *known.places)]
    rows.insert(1, _learner(known.learner_ms, clock_ms))
    holdups = tuple(f"{name}: {reason}" for name, reason in picture.holdups.items() if reason)
    return Loops(tuple(rows), _event_time(stats, clock_ms), holdups)


def _row(place: LoopPlace, ends: Mapping[Partition, int | None], clock_ms: int) -> LoopRow:
    behind = _behind(place, ends)
    total = None if behind is None else sum(behind.values())
    tone = Tone.QUIET if total is None else Tone.OPEN if total >= FAR else Tone.GOOD
    written = "with every batch" if place.service == FEEDBACK else since(place.written_ms, clock_ms)
    return LoopRow(place.service, DASH if total is None else f"{total:,}", tone, _where(place, behind), written)


def _behind(place: LoopPlace, ends: Mapping[Partition, int | None]) -> dict[Partition, int] | None:
    """Records that are left in each partition; None where the loop has written nothing, or the broker says nothing."""
    known = {it: end for it in place.offsets if (end := ends.get(it)) is not None}
    if not known:
        return None
    left = {it: end - place.offsets[it] for it, end in known.items()}
    return {it: count for it, count in left.items() if count > MARKER}


def _where(place: LoopPlace, behind: Mapping[Partition, int] | None) -> str:
    if not place.offsets:
        return "has written nothing yet" if place.written_ms is None else "its snapshot does not say where it is"
    if behind is None:
        return "the broker does not say where its logs end"
    if not behind:
        return f"all of {plural(len(place.offsets), 'partition')} read"
    worst, count = max(behind.items(), key=lambda it: it[1])
    return f"{worst}: {plural(count, 'record')}"


def _learner(written_ms: int | None, clock_ms: int) -> LoopRow:
    where = "reads the store; follows releases" if written_ms else "has written nothing yet"
    return LoopRow(LEARNER, DASH, Tone.QUIET, where, since(written_ms, clock_ms))


def _source_offsets(stats: StoreStats | None) -> dict[Partition, int]:
    return {} if stats is None else dict(_offsets(stats))


def _offsets(stats: StoreStats) -> Iterator[tuple[Partition, int]]:
    for state in stats.partitions:
        yield Partition.parse(state.name), state.next_offset


def _event_time(stats: StoreStats | None, clock_ms: int) -> str:
    if stats is None or not stats.watermark_ms:
        return "not known yet"
    behind_ms = clock_ms - stats.watermark_ms
    return moment(stats.watermark_ms) + (f", {age(behind_ms / 1000)} behind the clock" if behind_ms > 0 else "")
