"""The hand-written Avro against fastavro's, and what other writers may do that ours does not."""

import dataclasses
import io
import json
from dataclasses import replace
from importlib.resources import files

import pytest
from fastavro import parse_schema, schemaless_writer
from hypothesis import given
from hypothesis import strategies as st

from examples import CANDIDATE, DECISION, EXAMPLES, SNAPSHOT, TOOL_FEEDBACK, USER_FEEDBACK
from ol0.errors import ContractError
from ol0.records import Record, UserFeedback
from ol0.streaming.codec import HEADER, Codec
from ol0.streaming.reading import INT_BITS, LONG_BITS, Readers
from ol0.streaming.writing import Write, Writers

CODEC = Codec()
LONG, INT = (Readers().of(name, int) for name in ("long", "int"))
WRITE_LONG, WRITE_INT = (Writers().of(name, int) for name in ("long", "int"))


def as_fastavro_writes_it(record: Record) -> bytes:
    name = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in type(record).__name__)[1:]
    schema = json.loads((files("ol0") / "schemas" / f"{name}.avsc").read_text("utf-8"))
    stream = io.BytesIO()
    schemaless_writer(stream, parse_schema(schema), dataclasses.asdict(record), disable_tuple_notation=True)
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
    [b"\x02\x06\x02\x00\x00", b"\x01\x02\x06\x02\x00\x00", b"\x03\x04\x06\x00\x00", b"\x82\x00\x06\x02\x00\x00"],
    ids=["two blocks", "first with its size", "one of two with its size", "an overlong count"],
)
def test_another_writer_may_cut_an_array_into_blocks(blocks: bytes) -> None:
    payload = CODEC.encode(replace(DECISION, greedy_base=None, greedy_live=None, greedy_staged=None))
    whole = b"\x04\x06\x00\x00"  # the action: one block of two
    assert payload.count(whole) == 1
    record = CODEC.decode(payload.replace(whole, blocks))
    assert record == replace(DECISION, greedy_base=None, greedy_live=None, greedy_staged=None)


@pytest.mark.parametrize(
    ("record", "there", "instead", "reason"),
    [
        (TOOL_FEEDBACK, b"pytest\x00", b"pytest\x02", "2 is no boolean"),
        (TOOL_FEEDBACK, b"\x0cpytest", b"\x0bpytest", "a length of -6"),
        (SNAPSHOT, b"\x0e\x00state\xff", b"\x0d\x00state\xff", "a length of -7"),
        (USER_FEEDBACK, b"\x02\x04\x04\x00\x00", b"\x02\x03\x03\x04\x00\x00", "a block of -2 bytes"),
        (USER_FEEDBACK, b"\x02\x04\x04\x00\x00", b"\x04\x04\x04\x00\x00", "branch 4 of a union of two"),
        (CANDIDATE, b"\x0csigned", b"\xfe\xff\xff\xff\x0fsigned", "are missing"),
    ],
)
def test_bytes_that_no_writer_makes_are_refused(record: Record, there: bytes, instead: bytes, reason: str) -> None:
    payload = CODEC.encode(record)
    assert payload.count(there) == 1
    with pytest.raises(ContractError, match=reason):
        CODEC.decode(payload.replace(there, instead))
