from dataclasses import replace

import pytest

from ol0.errors import ConfigError
from ol0.operator.store.selection import Selection
from ol0.replay.layout import NOBODY
from ol0.wire.codec import Codec
from ol0.wire.payloads import Payloads
from support.examples import DECISION

NOON_MS = 1_772_366_400_000


def test_a_user_is_meant_by_the_pseudonym_of_his_decisions() -> None:
    assert DECISION in Selection(pseudonym="5f2b9c")
    assert DECISION not in Selection(pseudonym="other")
    assert replace(DECISION, user=None) not in Selection(pseudonym="5f2b9c")


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        ("2026-03-01T12:00", "2026-03-01T12:00:01"),
        ("2026-03-01T13:00+01:00", "2026-03-01T12:00:01Z"),
        (str(NOON_MS), str(NOON_MS + 1_000)),
    ],
)
def test_a_time_is_meant_from_its_beginning_until_just_before_its_end(begin: str, end: str) -> None:
    selection = Selection.between(begin, end)

    meant = [shift for shift in (-1, 0, 999, 1_000) if replace(DECISION, time_ms=NOON_MS + shift) in selection]
    assert meant == [0, 999]


@pytest.mark.parametrize(
    ("begin", "end", "message"),
    [("noon", "2026-03-01", "'noon': a time is written as"), ("2026-03-01", "2026-03-01", "before the second")],
)
def test_a_time_that_is_none_is_refused(begin: str, end: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Selection.between(begin, end)


def test_payloads_are_matched_as_the_decisions_that_they_are() -> None:
    payloads = Payloads(Codec())
    matches = Selection(pseudonym="5f2b9c").matches(payloads)

    assert matches(payloads.pack(DECISION, NOBODY))
    assert not matches(payloads.pack(replace(DECISION, user="other"), NOBODY))
