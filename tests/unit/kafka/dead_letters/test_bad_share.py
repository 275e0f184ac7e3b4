from collections.abc import Callable, Mapping

import pytest
from structlog.testing import capture_logs

from ol0.config import KafkaConfig
from ol0.errors import ContractError, SignatureError, StreamError
from ol0.kafka.dead_letters.bad_share import BadRecords
from ol0.kafka.dead_letters.writer import DeadLetter
from ol0.kafka.lineage import Lineage
from testbed.waiting import ManualClock

TOPICS = Lineage.of(KafkaConfig(topic_prefix="lin")).topics
DECISIONS, USER, CANDIDATES = (TOPICS.full(name) for name in ("decisions", "feedback.user", "candidates"))


def letters(topic: str, count: int, error: ContractError | None = None) -> list[DeadLetter]:
    error = error or ContractError("first byte 103")
    return [DeadLetter(topic, 1, offset, None, b"garbage", "feedback", "decode", error) for offset in range(count)]


def alarms(count: Callable[[], None]) -> list[Mapping[str, object]]:
    with capture_logs() as said:
        count()
    return list(said)


def test_a_burst_below_the_share_says_nothing() -> None:
    records = BadRecords(TOPICS, 0.2)
    assert alarms(lambda: records.count({DECISIONS: 800}, letters(DECISIONS, 200))) == []
    assert alarms(lambda: records.count({}, letters(USER, 20))) == []


def test_above_the_share_of_its_own_topic_an_error_names_topic_place_and_command() -> None:
    records = BadRecords(TOPICS, 0.2)
    records.count({DECISIONS: 10_000, USER: 790}, [])
    assert alarms(lambda: records.count({DECISIONS: 10_000, USER: 20}, letters(USER, 200))) == []
    (alarm,) = alarms(lambda: records.count({DECISIONS: 10_000}, letters(USER, 1)))
    assert (alarm["log_level"], alarm["topic"], alarm["share"]) == ("error", USER, "201 of the last 1,000")
    assert (alarm["first"], alarm["reason"]) == (f"{USER}[1]@0", "first byte 103")
    assert "`ol0 dlq list`" in str(alarm["event"])
    assert "bad_record_share = 0.2" in str(alarm["allowed"])


def test_while_there_are_few_the_share_is_one_of_a_hundred() -> None:
    records = BadRecords(TOPICS, 0.2)
    assert alarms(lambda: records.count({}, letters(USER, 20))) == []
    assert len(alarms(lambda: records.count({}, letters(USER, 1)))) == 1


def test_what_is_a_thousand_records_old_is_forgotten() -> None:
    records = BadRecords(TOPICS, 0.2)
    assert alarms(lambda: records.count({USER: 800}, letters(USER, 200))) == []
    records.count({USER: 1_000}, [])
    assert alarms(lambda: records.count({}, letters(USER, 200))) == []


def test_an_alarm_that_lasts_is_repeated_once_a_minute() -> None:
    clock = ManualClock()
    records = BadRecords(TOPICS, 0.2, clock)
    assert len(alarms(lambda: records.count({}, letters(USER, 100)))) == 1
    assert alarms(lambda: records.count({}, letters(USER, 100))) == []
    clock.now_s += 60
    assert len(alarms(lambda: records.count({}, letters(USER, 1)))) == 1


@pytest.mark.parametrize("topic", [USER, CANDIDATES])
def test_one_topic_that_is_all_bad_stops_nobody(topic: str) -> None:
    clock = ManualClock()
    records = BadRecords(TOPICS, 0.2, clock)
    for _ in range(100):
        records.count({}, letters(topic, 1_000))
        clock.now_s += 60


def test_of_decisions_nothing_right_for_a_minute_and_a_thousand_records_is_an_end() -> None:
    clock = ManualClock()
    records = BadRecords(TOPICS, 0.2, clock)
    clock.now_s += 3_600  # a quiet hour says nothing
    for _ in range(59):
        records.count({}, letters(DECISIONS, 1_000))  # nor does a flood in which nobody else has said anything yet
        clock.now_s += 1
    records.count({USER: 5}, letters(DECISIONS, 1))
    clock.now_s += 1
    with pytest.raises(StreamError, match=rf"not one of 59,002 records of {DECISIONS} in 60 s .*first byte.*dlq list`"):
        records.count({USER: 5}, letters(DECISIONS, 1))


def test_but_a_minute_alone_is_none_and_one_good_decision_begins_it_again() -> None:
    clock = ManualClock()
    records = BadRecords(TOPICS, 0.2, clock)
    for good in (0, 1, 0, 1):
        records.count({DECISIONS: good}, letters(DECISIONS, 999))
        clock.now_s += 3_600
        records.count({DECISIONS: good}, [])
    records.count({}, letters(DECISIONS, 1_000))


def test_what_nobody_signed_does_not_count() -> None:
    records = BadRecords(TOPICS, 0.0)
    forged = letters(CANDIDATES, 5_000, SignatureError("nobody signed it"))
    assert alarms(lambda: records.count({}, forged)) == []
    assert len(alarms(lambda: records.count({}, letters(CANDIDATES, 1)))) == 1
