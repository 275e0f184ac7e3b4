"""Avro bytes into the dataclasses of ``ol0.records``, without a dict in between.

A reader takes the bytes and a position, and returns the value that begins there and the position behind it. The reader
of a record is one function, whose source is put together once, from its Avro schema (what is on the wire) and its type
hints (what it becomes), as ``dataclasses`` does it: a call for every field would take half as long again.

Written by hand because two fifths of the feedback service's time were the codec's: fastavro makes a dict of lists and
strings, which then has to become a frozen dataclass of tuples and enums. docs/adr/0007 has the figures.

A slice beyond the end of the bytes is short and raises nothing. But positions only grow, so a reader at the end that
compares the last position with the length has seen it: ``Codec`` does.
"""

import struct
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final

from ol0.wire.avro_codegen import Read, record_reader
from ol0.wire.schema_walk import Makers

Value = tuple[object, int]

DOUBLE: Final = struct.Struct("<d")
INT_BITS: Final = 32
LONG_BITS: Final = 64
MORE: Final = 128
"""The eighth bit of a byte: more bytes of the same integer follow."""


def _optional(read: Read) -> Read:
    def read_optional(data: bytes, at: int) -> Value:
        branch = data[at]
        if branch == 0:
            return None, at + 1
        if branch != 2:  # noqa: PLR2004 - 1, zigzag
            raise ValueError(f"branch {branch} of a union of two")
        return read(data, at + 1)

    return read_optional


def _enum(symbols: Sequence[Enum]) -> Read:
    members = {2 * index: symbol for index, symbol in enumerate(symbols)}

    def read_enum(data: bytes, at: int) -> Value:
        return members[data[at]], at + 1

    return read_enum


def _array(read: Read) -> Read:
    def read_array(data: bytes, at: int) -> Value:
        items = []
        count, at = _block(data, at)
        while count:
            for _ in range(count):
                item, at = read(data, at)
                items.append(item)
            count, at = _block(data, at)
        return tuple(items), at

    return read_array


def _map(read: Read) -> Read:
    def read_map(data: bytes, at: int) -> Value:
        items: dict[object, object] = {}
        count, at = _block(data, at)
        while count:
            for _ in range(count):
                key, at = _string(data, at)
                if key in items:
                    raise ValueError(f"{str(key)[:40]!r} is there twice")
                items[key], at = read(data, at)
            count, at = _block(data, at)
        return items, at

    return read_map


def _block(data: bytes, at: int) -> tuple[int, int]:
    """Items of the next block of an array or a map. A negative count is followed by the block's size."""
    count, at = _integer(data, at, LONG_BITS)
    if count < 0:
        size, at = _integer(data, at, LONG_BITS)
        if size < 0:
            raise ValueError(f"a block of {size} bytes")
    return abs(count), at


def _integer(data: bytes, at: int, bits: int) -> tuple[int, int]:
    """Zigzag, seven bits a byte, the smallest first, in no more bytes than it needs: every number has one form."""
    zigzag = shift = 0
    while (byte := data[at]) >= MORE and shift < LONG_BITS:
        zigzag |= (byte & 127) << shift
        at += 1
        shift += 7
    if shift and not byte:
        raise ValueError("an integer of more bytes than it needs")
    zigzag |= byte << shift
    if zigzag >> bits:
        raise ValueError(f"an integer of more than {bits} bits")
    return (zigzag >> 1) ^ -(zigzag & 1), at + 1


def _length(data: bytes, at: int) -> tuple[int, int]:
    length, at = _integer(data, at, LONG_BITS)
    if length < 0:
        raise ValueError(f"a length of {length}")
    return length, at


def _int(data: bytes, at: int) -> Value:
    zigzag = data[at]
    return (zigzag >> 1 ^ -(zigzag & 1), at + 1) if zigzag < MORE else _integer(data, at, INT_BITS)


def _long(data: bytes, at: int) -> Value:
    zigzag = data[at]
    return (zigzag >> 1 ^ -(zigzag & 1), at + 1) if zigzag < MORE else _integer(data, at, LONG_BITS)


def _string(data: bytes, at: int) -> Value:
    length = data[at]
    if length & 129:  # more than one byte, or negative
        length, at = _length(data, at)
    else:
        length >>= 1
        at += 1
    end = at + length
    return data[at:end].decode(), end


def _bytes(data: bytes, at: int) -> Value:
    length, at = _length(data, at)
    end = at + length
    return data[at:end], end


def _double(data: bytes, at: int) -> Value:
    return DOUBLE.unpack_from(data, at)[0], at + 8


def _boolean(data: bytes, at: int) -> Value:
    if data[at] > 1:
        raise ValueError(f"{data[at]} is no boolean")
    return data[at] == 1, at + 1


PRIMITIVES: Final[Mapping[str, Read]] = {
    "int": _int,
    "long": _long,
    "string": _string,
    "bytes": _bytes,
    "double": _double,
    "boolean": _boolean,
}
READERS: Final = Makers(PRIMITIVES, _optional, record_reader, _enum, _array, _map)
