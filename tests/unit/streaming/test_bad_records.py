import pytest

from ol0.errors import StreamError
from ol0.streaming.bad_records import BadRecordShare


def test_a_burst_below_the_share_stops_nothing() -> None:
    share = BadRecordShare(0.2)
    share.count(good=0, bad=200)
    share.count(good=999, bad=0)


def test_one_more_than_the_share_stops() -> None:
    share = BadRecordShare(0.2)
    share.count(good=500, bad=200)
    with pytest.raises(StreamError, match=r"201 of the last 1,000 records .* 20%"):
        share.count(good=0, bad=1)


def test_what_is_a_thousand_records_old_is_forgotten() -> None:
    share = BadRecordShare(0.2)
    share.count(good=0, bad=200)
    share.count(good=1000, bad=0)
    share.count(good=0, bad=200)
