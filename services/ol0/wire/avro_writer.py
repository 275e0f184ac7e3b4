"""The dataclasses of ``ol0.records`` into Avro bytes; the inverse of ``avro_reader``.

A writer returns the bytes of one value. fastavro finds the branch of a union by trying the value on each of them; here
the only unions are with null, and None tells. An outcome has a dozen of them: a quarter of fastavro's time is left.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from operator import attrgetter
from typing import Final

from ol0.wire.avro_reader import DOUBLE, INT_BITS, LONG_BITS
from ol0.wire.schema_walk import Field, Makers

Write = Callable[..., bytes]

NULL, PRESENT, END = b"\0", b"\2", b"\0"
"""Branches of a union, as zigzag numbers, and what ends the blocks of an array or a map."""
SHORT: Final = 128
"""Non-negative integers below it are written so often that their bytes are kept."""


def _record(_kind: type, fields: Sequence[Field[Write]]) -> Write:
    steps = tuple((write, attrgetter(name)) for name, _, write in fields)

    def write_record(record: object) -> bytes:
        return b"".join([write(get(record)) for write, get in steps])

    return write_record


def _optional(write: Write) -> Write:
    return lambda value: NULL if value is None else PRESENT + write(value)


def _enum(symbols: Sequence[Enum]) -> Write:
    return {symbol: _long(index) for index, symbol in enumerate(symbols)}.__getitem__


def _array(write: Write) -> Write:
    def write_array(items: tuple[object, ...]) -> bytes:
        return _long(len(items)) + b"".join([write(item) for item in items]) + END if items else END

    return write_array


def _map(write: Write) -> Write:
    def write_map(items: Mapping[str, object]) -> bytes:
        pairs = [_string(key) + write(value) for key, value in items.items()]
        return _long(len(pairs)) + b"".join(pairs) + END if pairs else END

    return write_map


def _integer(value: int, bits: int) -> bytes:
    """Zigzag, seven bits a byte, the smallest first."""
    zigzag = value << 1 ^ value >> bits - 1
    if zigzag >> bits:
        raise OverflowError(f"{value} has more than {bits} bits")
    written = bytearray()
    while zigzag > 127:  # noqa: PLR2004 - seven bits
        written.append(zigzag & 127 | 128)
        zigzag >>= 7
    written.append(zigzag)
    return bytes(written)


INTEGERS: Final = tuple(_integer(value, INT_BITS) for value in range(SHORT))


def _int(value: int) -> bytes:
    return INTEGERS[value] if 0 <= value < SHORT else _integer(value, INT_BITS)


def _long(value: int) -> bytes:
    return INTEGERS[value] if 0 <= value < SHORT else _integer(value, LONG_BITS)


def _string(value: str) -> bytes:
    text = value.encode()
    return _long(len(text)) + text


def _bytes(value: bytes) -> bytes:
    return _long(len(value)) + value


PRIMITIVES: Final[Mapping[str, Write]] = {
    "int": _int,
    "long": _long,
    "string": _string,
    "bytes": _bytes,
    "double": DOUBLE.pack,
    "boolean": {True: b"\1", False: b"\0"}.__getitem__,
}
WRITERS: Final = Makers(PRIMITIVES, _optional, _record, _enum, _array, _map)
