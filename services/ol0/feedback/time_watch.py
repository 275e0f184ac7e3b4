"""Says when records are dropped for their times, which otherwise only a counter knows."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final

import structlog

from ol0.kafka.ports import SourceRecord
from ol0.records import Partition, Tick
from ol0.replay.counters import DECISIONS_DROPPED, FEEDBACK_DROPPED, DecisionDrop, FeedbackDrop

SAY_EVERY_S: Final = 60.0
ENOUGH: Final = 10
"""Drops between two lines, and the share of the records that they are: fewer are stragglers, as everybody has them."""
SHARE: Final = 0.01
APART_MS: Final = 60_000
"""Two clocks that are further apart are wrong, and not slow."""
KEPT_TIMES: Final = 256
KEPT_NAMES: Final = 64
SAID_NAMES: Final = 3

UNTIMELY: Final = (
    DECISIONS_DROPPED[DecisionDrop.LATE],
    DECISIONS_DROPPED[DecisionDrop.FUTURE],
    FEEDBACK_DROPPED[FeedbackDrop.LATE],
    FEEDBACK_DROPPED[FeedbackDrop.FUTURE],
)
EARLY: Final = FEEDBACK_DROPPED[FeedbackDrop.EARLY]
USED: Final = "feedback_used"


@dataclass(slots=True)
class _Tally:
    """What came of one topic since the last line about it. Bounded, whatever comes."""

    said_at: float
    records: int = 0
    dropped: int = 0
    off_ms: list[int] = field(default_factory=list)
    places: Counter[str] = field(default_factory=Counter)

    def note(self, source: SourceRecord, partition: Partition, off_ms: int) -> None:
        """A record whose time is far from the broker's."""
        if len(self.off_ms) < KEPT_TIMES:
            self.off_ms.append(off_ms)
        name = f"source {getattr(source.record, 'source', None) or 'host'} in partition {partition.number}"
        if name in self.places or len(self.places) < KEPT_NAMES:
            self.places[name] += 1


class TimeWatch:
    """Counts what is dropped for its time, and logs a line a minute about each topic with its likely cause.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tallies: dict[str, _Tally] = {}
        self._log = structlog.get_logger("ol0.time")

    def arrived(self, partition: Partition, records: Sequence[SourceRecord], counts: Mapping[str, int]) -> None:
        """A batch is in; ``counts`` says what was dropped of it."""
        tally = self._tally(partition.topic)
        tally.records += len(records)
        dropped = sum(counts.get(name, 0) for name in UNTIMELY)
        if dropped:
            self._look(tally, partition, records, dropped)
        if records:
            last = records[-1]
            if not last.is_stamped:
                self._unstamped(partition)
            elif isinstance(last.record, Tick) and last.record.time_ms is not None:
                self._tick(partition, last.record.time_ms - last.append_time_ms)

    def closed(self, counts: Mapping[str, int]) -> None:
        """Windows were judged: feedback that was said before its decision is found only now."""
        tally = self._tally("feedback")
        tally.records += counts.get(EARLY, 0) + counts.get(USED, 0)
        tally.dropped += counts.get(EARLY, 0)
        if self._is_due(tally):
            self._log.warning(
                "feedback is dropped because its time is before its decision",
                share=_share(tally),
                cause="the clock of its writer is behind that of the hosts that decide: set it right, or raise "
                "streaming.early_skew_s",
            )
            self._begin("feedback")

    def _look(self, tally: _Tally, partition: Partition, records: Sequence[SourceRecord], dropped: int) -> None:
        tally.dropped += dropped
        for source in records:
            time_ms = getattr(source.record, "time_ms", None)
            off_ms = 0 if time_ms is None else time_ms - source.append_time_ms
            if abs(off_ms) > APART_MS and not isinstance(source.record, Tick):
                tally.note(source, partition, off_ms)
        if self._is_due(tally):
            self._log.warning(
                "records are dropped for their times",
                topic=partition.topic,
                share=_share(tally),
                off=f"{median(tally.off_ms) / 1000:+,.0f} s" if tally.off_ms else "none",
                where=", ".join(f"{count} of {name}" for name, count in tally.places.most_common(SAID_NAMES)),
                cause=_cause(tally),
            )
            self._begin(partition.topic)

    def _tick(self, partition: Partition, off_ms: int) -> None:
        """A tick came back: two clocks saw the same moment. One may have waited for a broker that was away."""
        name = f"ticks of {partition.topic}"
        tally = self._tally(name)
        tally.records = tally.dropped = tally.dropped + 1 if abs(off_ms) > APART_MS else 0
        if self._is_due(tally):
            self._log.warning(
                "the clocks of a feedback process and of a broker differ",
                partition=str(partition),
                off=f"{off_ms / 1000:+,.0f} s",
                cause="event time follows the slower of the two, so nothing is lost; windows wait until both agree",
            )
            self._begin(name)

    def _unstamped(self, partition: Partition) -> None:
        name = f"stamps of {partition.topic}"
        tally = self._tally(name)
        tally.dropped = tally.records = ENOUGH
        if self._is_due(tally):
            self._log.warning(
                "records carry their writers' times in place of the broker's, and move no time",
                partition=str(partition),
                cause="the topic was set to message.timestamp.type=CreateTime: `ol0 topics apply` sets LogAppendTime; "
                "until then windows wait",
            )
            self._begin(name)

    def _is_due(self, tally: _Tally) -> bool:
        enough = tally.dropped >= max(ENOUGH, SHARE * tally.records)
        return enough and self._clock() >= tally.said_at + SAY_EVERY_S

    def _tally(self, name: str) -> _Tally:
        if name not in self._tallies:
            self._tallies[name] = _Tally(said_at=self._clock() - SAY_EVERY_S)
        return self._tallies[name]

    def _begin(self, name: str) -> None:
        self._tallies[name] = _Tally(said_at=self._clock())


def _share(tally: _Tally) -> str:
    return f"{tally.dropped:,} of {tally.records:,}, {tally.dropped / max(tally.records, 1):.0%}"


def _cause(tally: _Tally) -> str:
    if not tally.off_ms:
        return (
            "their own times are right, but their partition's had passed them by: they waited somewhere for longer "
            "than window and lateness, or clocks that move it were ahead"
        )
    if median(tally.off_ms) > 0:
        return "the clock of the host that writes them is ahead of the broker's, or the broker's is behind"
    return (
        "the clock of the host that writes them is behind the broker's, or they waited for that long before they were "
        "sent; are they in milliseconds since 1970?"
    )
