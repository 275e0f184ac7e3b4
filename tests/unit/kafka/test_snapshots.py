from dataclasses import replace

import pytest

from ol0.errors import ContractError
from ol0.kafka.snapshots import (
    PART_BYTES,
    Positions,
    TopicPlace,
    assemble,
    assemble_if_whole,
    head_of,
    is_part,
    part_count,
    part_key,
    parts_of,
)
from ol0.records import Record, Snapshot
from support.examples import SNAPSHOT

WHERE = Positions({"ol0.outcomes.v1": TopicPlace("TeQuI8iLRb", {0: 12, 3: 7})}, 1_700_000_000_000)


def written(body: bytes) -> dict[str, Record]:
    """The newest records of the keys of a service after one transaction."""
    records = [*parts_of("drift", 5, body), head_of("drift", 5, body, WHERE)]
    return {record.service: record for record in records}


@pytest.mark.parametrize("size", [0, 1, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES])
def test_a_snapshot_of_any_size_comes_back_with_where_it_was(size: int) -> None:
    body = bytes(range(251)) * (size // 251 + 1)
    stored = assemble("drift", written(body[:size]))
    assert stored is not None
    assert (stored.body, stored.time_ms, stored.where) == (body[:size], 5, WHERE)
    assert stored.parts == part_count(body[:size]) == len(written(body[:size])) - 1


def test_a_head_may_go_on_without_its_parts_being_written_again() -> None:
    later = Positions({}, None)
    stored = assemble("drift", written(b"body") | {"drift": head_of("drift", 9, b"body", later)})
    assert stored is not None
    assert (stored.body, stored.time_ms, stored.where) == (b"body", 9, later)


def test_parts_of_another_moment_are_not_taken_for_those_of_the_head() -> None:
    body = bytes(2 * PART_BYTES)
    table = written(body) | {part_key("drift", 1): parts_of("drift", 5, body + b"x")[1]}
    with pytest.raises(ContractError, match="of them 1 are not there"):
        assemble("drift", table)
    assert assemble_if_whole("drift", table) is None
    assert assemble_if_whole("drift", written(body)) is not None


def test_an_earlier_version_has_one_record_and_no_places() -> None:
    earlier = replace(SNAPSHOT, service="drift", body=b'{"clock": 1}')
    stored = assemble("drift", {"drift": earlier})
    assert stored is not None
    assert (stored.body, stored.where, stored.parts) == (earlier.body, None, 0)
    assert assemble("canary", {"drift": earlier}) is None


def test_a_head_that_is_damaged_is_refused() -> None:
    head = head_of("drift", 5, b"body", WHERE)
    with pytest.raises(ContractError, match="the head of drift cannot be read"):
        assemble("drift", {"drift": replace(head, body=head.body[:-5])})


def test_a_part_is_no_snapshot_of_its_own() -> None:
    assert [is_part(record) for record in written(b"body").values() if isinstance(record, Snapshot)] == [True, False]
