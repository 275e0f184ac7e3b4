"""The hand-written Avro against fastavro's, and what other writers may do that ours does not."""

import dataclasses
import functools
import io
import json
from dataclasses import replace
from importlib.resources import files
from typing import Any

import pytest
from fastavro import parse_schema, schemaless_reader, schemaless_writer
from hypothesis import given
from hypothesis import strategies as st

from ol0.errors import ContractError
from ol0.records import Record, UserFeedback
from ol0.wire.avro_reader import INT_BITS, LONG_BITS, READERS
from ol0.wire.avro_writer import WRITERS, Write
from ol0.wire.codec import HEADER, Codec
from ol0.wire.schema_walk import SchemaWalk
from support.examples import CANDIDATE, DECISION, EXAMPLES, SNAPSHOT, TICK, TIME_MS, TOOL_FEEDBACK, USER_FEEDBACK

CODEC = Codec()
LONG, INT = (SchemaWalk(READERS).of(name, int) for name in ("long", "int"))
WRITE_LONG, WRITE_INT = (SchemaWalk(WRITERS).of(name, int) for name in ("long", "int"))
UNTRIED = replace(DECISION, greedy_base=None, greedy_live=None, greedy_staged=None)
LONGER_TIME = WRITE_LONG(TIME_MS + 2)[:-1] + bytes([WRITE_LONG(TIME_MS + 2)[-1] | 128, 0])


def schema_of(record_type: type[Record]) -> Any:  # noqa: ANN401 - JSON
    name = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in record_type.__name__)[1:]
    return json.loads((files("ol0") / "schemas" / f"{name}.avsc").read_text("utf-8"))


def as_fastavro_writes_it(record: Record) -> bytes:
    stream = io.BytesIO()
    schemaless_writer(
        stream, parse_schema(schema_of(type(record))), dataclasses.asdict(record), disable_tuple_notation=True
    )
    return stream.getvalue()


@pytest.mark.parametrize("record", EXAMPLES, ids=lambda record: type(record).__name__)
def test_the_bytes_are_those_that_fastavro_writes(record: Record) -> None:
    assert CODEC.encode(record)[HEADER.size :] == as_fastavro_writes_it(record)


@given(value=st.integers(-(2**63), 2**63 - 1))
def test_every_long_comes_back(value: int) -> None:
    written = WRITE_LONG(value)
    assert LONG(written, 0) == (value, len(written))


# Two bytes and six are read by formulas of their own: numbers below 2^13, and times.
@given(value=st.integers(-(2**63), 2**63 - 1) | st.integers(-(2**42), 2**42) | st.integers(-(2**14), 2**14))
def test_every_long_of_a_record_comes_back(value: int) -> None:
    record = replace(USER_FEEDBACK, time_ms=value)
    assert CODEC.decode_valid(UserFeedback, CODEC.encode_valid(record)) == record


@pytest.mark.parametrize(("write", "bits"), [(WRITE_INT, INT_BITS), (WRITE_LONG, LONG_BITS)])
def test_a_number_that_has_too_many_bits_is_not_written(write: Write, bits: int) -> None:
    for value in (2 ** (bits - 1), -(2 ** (bits - 1)) - 1):
        with pytest.raises(OverflowError):
            write(value)


def test_a_number_that_has_too_many_bits_is_not_read() -> None:
    assert INT(WRITE_LONG(2**31 - 1), 0)[0] == 2**31 - 1
    with pytest.raises(ValueError, match="more than 32 bits"):
        INT(WRITE_LONG(2**31), 0)
    for endless in (b"\xff" * 9 + b"\x02", b"\xff" * 40):
        with pytest.raises(ValueError, match="more than 64 bits"):
            LONG(endless, 0)


@pytest.mark.parametrize(
    "blocks",
    [b"\x02\x06\x02\x00\x00", b"\x01\x02\x06\x02\x00\x00", b"\x03\x04\x06\x00\x00"],
    ids=["two blocks", "first with its size", "one of two with its size"],
)
def test_another_writer_may_cut_an_array_into_blocks(blocks: bytes) -> None:
    payload = CODEC.encode(UNTRIED)
    whole = b"\x04\x06\x00\x00"  # the action: one block of two
    assert payload.count(whole) == 1
    record = CODEC.decode(payload.replace(whole, blocks))
    assert record == UNTRIED


@pytest.mark.parametrize(
    ("record", "there", "instead", "reason"),
    [
        (TOOL_FEEDBACK, b"pytest\x00", b"pytest\x02", "2 is no boolean"),
        (TOOL_FEEDBACK, b"\x0cpytest", b"\x0bpytest", "a length of -6"),
        (SNAPSHOT, b"\x0e\x00state\xff", b"\x0d\x00state\xff", "a length of -7"),
        (USER_FEEDBACK, b"\x02\x04\x04\x00\x00", b"\x02\x03\x03\x04\x00\x00", "a block of -2 bytes"),
        (USER_FEEDBACK, b"\x02\x04\x04\x00\x00", b"\x04\x04\x04\x00\x00", "branch 4 of a union of two"),
        (CANDIDATE, b"\x0csigned", b"\xfe\xff\xff\xff\x0fsigned", "are missing"),
        (CANDIDATE, b"\x0asteps", b"\x04kl" + bytes(8) + b"\x0asteps", "'kl' is there twice"),
        # An integer of more bytes than it needs: by each of the formulas, and where a count or a size is read.
        (USER_FEEDBACK, b"\x12session-1", b"\x92\x00session-1", "more bytes than it needs"),
        (replace(TOOL_FEEDBACK, tool="t" * 64), b"\x80\x01t", b"\x80\x81\x00t", "more bytes than it needs"),
        (TOOL_FEEDBACK, WRITE_LONG(TIME_MS + 2), LONGER_TIME, "more bytes than it needs"),
        (replace(TICK, time_ms=1 << 33), WRITE_LONG(1 << 33), WRITE_LONG(1 << 33)[:-1] + b"\xc0\x00", "needs"),
        (replace(DECISION, serving_sequence=8_000), b"\x80\x7d", b"\x80\xfd\x00", "more bytes than it needs"),
        (replace(DECISION, serving_sequence=60), b"\x78", b"\xf8\x00", "more bytes than it needs"),
        (DECISION, b"\x04\x02\x18", b"\x84\x00\x02\x18", "more bytes than it needs"),  # turn
        (DECISION, b"\x04\x02\x18", b"\x04\x02\x98\x00", "more bytes than it needs"),  # size of the features
        (UNTRIED, b"\x04\x06\x00\x00", b"\x84\x00\x06\x00\x00", "more bytes than it needs"),  # parts of the action
        (UNTRIED, b"\x04\x06\x00\x00", b"\x04\x86\x00\x00\x00", "more bytes than it needs"),  # a part of it
    ],
)
def test_bytes_that_no_writer_makes_are_refused(record: Record, there: bytes, instead: bytes, reason: str) -> None:
    payload = CODEC.encode_valid(record)
    assert payload.count(there) == 1
    with pytest.raises(ContractError, match=reason):
        CODEC.decode(payload.replace(there, instead))


def as_fastavro_reads_it(record_type: type[Record], body: bytes) -> tuple[object, int]:
    stream = io.BytesIO(body)
    datum = schemaless_reader(stream, parse_schema(schema_of(record_type)), None)
    return datum, stream.tell()


def mutated(record: Record) -> st.SearchStrategy[bytes]:
    """Bodies of a record in which some bytes are others, more or fewer."""
    body = CODEC.encode_valid(record)[HEADER.size :]
    places = st.integers(0, len(body))
    change = st.tuples(places, st.integers(0, 2), st.binary(max_size=3))
    return st.lists(change, min_size=1, max_size=3).map(lambda changes: functools.reduce(change_bytes, changes, body))


def change_bytes(body: bytes, change: tuple[int, int, bytes]) -> bytes:
    at, count, instead = change
    return body[:at] + instead + body[at + count :]


@given(data=st.data(), record=st.sampled_from(EXAMPLES))
def test_what_is_read_of_any_bytes_is_what_fastavro_reads(data: st.DataObject, record: Record) -> None:
    kind = type(record)
    body = data.draw(mutated(record))
    try:
        read = CODEC.decode_valid(kind, CODEC.header(kind) + body)
    except ContractError:
        return
    theirs, end = as_fastavro_reads_it(kind, body)
    ours, _ = as_fastavro_reads_it(kind, CODEC.encode_valid(read)[HEADER.size :])
    assert end == len(body)
    assert repr(ours) == repr(theirs)  # NaN is not itself
