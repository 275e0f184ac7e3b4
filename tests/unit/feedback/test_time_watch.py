from dataclasses import dataclass, replace

import pytest
from structlog.testing import capture_logs

from ol0.feedback.time_watch import KEPT_NAMES, SAY_EVERY_S, TimeWatch
from ol0.kafka.ports import SourceRecord
from ol0.records import Partition, Record, Tick
from support.examples import DECISION, TIME_MS, USER_FEEDBACK

PLACE = Partition("t.feedback.user.v1", 1)
HOUR_MS = 3_600_000


@dataclass
class Clock:
    now_s: float = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def batch(*records: Record, append_ms: int = TIME_MS) -> list[SourceRecord]:
    return [SourceRecord(number, append_ms, record) for number, record in enumerate(records)]


def said(watch: TimeWatch, records: list[SourceRecord], **counts: int) -> list[str]:
    with capture_logs() as lines:
        watch.arrived(PLACE, records, counts)
    return [" ".join(map(str, line.values())) for line in lines]


@pytest.mark.parametrize(
    ("shift_ms", "reason", "words"),
    [
        (-HOUR_MS, "decisions_late", ["20 of 20, 100%", "-3,600 s", "behind the broker's"]),
        (600_000, "decisions_future", ["20 of 20, 100%", "+600 s", "ahead of the broker's"]),
        (0, "decisions_late", ["20 of 20", "their own times are right"]),
    ],
)
def test_a_host_whose_clock_is_off_is_named_with_how_far_and_the_cause(
    shift_ms: int, reason: str, words: list[str]
) -> None:
    records = batch(*[replace(DECISION, time_ms=TIME_MS + shift_ms)] * 20)

    (line,) = said(TimeWatch(), records, **{reason: 20})

    assert all(word in line for word in [*words, PLACE.topic])


def test_feedback_that_is_off_names_its_source() -> None:
    seconds = replace(USER_FEEDBACK, time_ms=TIME_MS // 1_000, source="bridge")

    (line,) = said(TimeWatch(), batch(*[seconds] * 15, *[USER_FEEDBACK] * 85), feedback_late=15)

    assert "15 of 100, 15%" in line
    assert "15 of source bridge in partition 1" in line
    assert "are they in milliseconds" in line


def test_a_line_a_minute_with_everything_since_the_last_one() -> None:
    clock = Clock()
    watch, late = TimeWatch(clock), batch(*[replace(DECISION, time_ms=TIME_MS - HOUR_MS)] * 20)
    assert len(said(watch, late, decisions_late=20)) == 1

    assert said(watch, late, decisions_late=20) == []
    clock.now_s += SAY_EVERY_S
    (line,) = said(watch, late, decisions_late=20)
    assert "40 of 40" in line


def test_stragglers_are_not_worth_a_line() -> None:
    watch = TimeWatch()
    late = replace(DECISION, time_ms=TIME_MS - HOUR_MS)

    assert said(watch, batch(*[late] * 9), decisions_late=9) == []
    assert said(watch, batch(late, *[DECISION] * 2_000), decisions_late=1) == []


def test_feedback_before_its_decision_is_found_when_windows_close() -> None:
    with capture_logs() as lines:
        TimeWatch().closed({"feedback_early": 30, "feedback_used": 70})

    assert [line["share"] for line in lines] == ["30 of 100, 30%"]


def test_a_process_whose_clock_differs_from_the_brokers_is_told_after_some_ticks() -> None:
    watch = TimeWatch()
    off = batch(Tick(TIME_MS - HOUR_MS))
    lines = [line for _ in range(10) for line in said(watch, off)]

    assert len(lines) == 1
    assert "-3,600 s" in lines[0]
    watch = TimeWatch()
    assert [line for _ in range(20) for line in said(watch, off) + said(watch, batch(Tick(TIME_MS)))] == []


def test_records_with_their_writers_times_are_told_with_the_command_that_helps() -> None:
    (line,) = said(TimeWatch(), [SourceRecord(0, TIME_MS, DECISION, None, is_stamped=False)])

    assert "`ol0 topics apply`" in line


def test_ten_thousand_sources_take_the_memory_of_few() -> None:
    clock = Clock()
    watch = TimeWatch(clock)
    said(watch, batch(*[replace(DECISION, time_ms=TIME_MS - HOUR_MS)] * 10), decisions_late=10)
    for number in range(1_000):
        one = replace(USER_FEEDBACK, time_ms=TIME_MS - HOUR_MS, source=f"source-{number}")
        said(watch, batch(one), feedback_late=1)

    tally = watch._tallies[PLACE.topic]
    assert tally.dropped == 1_000
    assert len(tally.places) <= KEPT_NAMES
    assert len(tally.off_ms) <= 256
