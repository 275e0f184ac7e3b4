import pytest

from ol0.kafka.logs.holdups import End, reason


@pytest.mark.parametrize(
    ("next_offset", "end", "is_read", "words"),
    [
        (5, End(5, 5), True, ""),
        (5, End(5, 5), False, "no feedback process reads it"),
        (5, End(25, 25), True, "20 records behind"),
        (5, End(5, 25), True, "another producer's transaction is open at offset 5, and the 20 records"),
        (5, End(8, 25), True, "3 records behind"),  # first things first
    ],
)
def test_what_time_waits_for_has_one_of_three_reasons(
    next_offset: int,
    end: End,
    is_read: bool,  # noqa: FBT001
    words: str,
) -> None:
    assert words in reason(next_offset, end, is_read=is_read)
    assert bool(words) == bool(reason(next_offset, end, is_read=is_read))
