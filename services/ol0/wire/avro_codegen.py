"""The source text of a function that reads one kind of record.

What most fields are is written out in it: short strings, small integers, times, null, arrays of one number. Whatever
else a field may be is left to its own reader.
"""

import linecache
import struct
from collections.abc import Callable, Iterator, Sequence
from textwrap import indent
from typing import Final

from ol0.wire.schema_walk import Field

Read = Callable[[bytes, int], tuple[object, int]]
Case = tuple[str, str]
"""A condition on the bytes ``data`` from {first} on, and what sets ``value`` then, and ``at`` to what follows.

The last byte of a long integer is not 0: it would be written with a byte too many, which no case takes. ``^ 128 > 128``
asks whether a byte is from 1 to 127.
"""

NULL: Final[Case] = "data[at] == 0", "value = None\nat += 1\n"
SMALL_INTEGER: Final[Case] = (
    "(zigzag := data[{first}]) < 128",
    "value = zigzag >> 1 ^ -(zigzag & 1)\nat = {first} + 1\n",
)
TWO_BYTES: Final[Case] = (  # numbers below 8,192
    "data[{first}] > 127 and (more := data[{first} + 1]) ^ 128 > 128",
    "zigzag = data[{first}] & 127 | more << 7\nvalue = zigzag >> 1 ^ -(zigzag & 1)\nat = {first} + 2\n",
)
SIX_BYTES: Final[Case] = (  # milliseconds since 1970 take six, until the year 2039
    "(bits := int.from_bytes(data[{first} : {first} + 6], 'little')) & 0x808080808080 == 0x8080808080 and bits >> 40",
    """zigzag = (
    bits & 0x7F
    | bits >> 1 & 0x3F80
    | bits >> 2 & 0x1FC000
    | bits >> 3 & 0xFE00000
    | bits >> 4 & 0x7F0000000
    | bits >> 5 & 0x3F800000000
)
value = zigzag >> 1 ^ -(zigzag & 1)
at = {first} + 6
""",
)
SHORT_STRING: Final[Case] = (  # of less than 64 bytes; an odd length would be negative
    "not (size := data[{first}]) & 129",
    "end = {first} + 1 + (size >> 1)\nvalue = data[{first} + 1 : end].decode()\nat = end\n",
)
DIGEST: Final[Case] = (  # of less than 8,192 bytes
    "not (size := data[{first}]) & 1 and (more := data[{first} + 1]) ^ 128 > 128",
    "end = {first} + 2 + ((size & 127 | more << 7) >> 1)\nvalue = data[{first} + 2 : end].decode()\nat = end\n",
)
VECTOR: Final[Case] = (  # of 64 to 8,191 bytes
    "(size := data[{first}]) & 129 == 128 and (more := data[{first} + 1]) ^ 128 > 128",
    "end = {first} + 2 + ((size & 127 | more << 7) >> 1)\nvalue = data[{first} + 2 : end]\nat = end\n",
)
BOOLEAN: Final[Case] = "data[{first}] < 2", "value = data[{first}] == 1\nat = {first} + 1\n"
ONE_INTEGER: Final[Case] = (
    "data[{first}] == 2 and (zigzag := data[{first} + 1]) < 128 and data[{first} + 2] == 0",
    "value = (zigzag >> 1 ^ -(zigzag & 1),)\nat = {first} + 3\n",
)
ONE_DOUBLE: Final[Case] = (
    "data[{first}] == 2 and data[{first} + 9] == 0",
    "value = unpack_double(data, {first} + 1)\nat = {first} + 10\n",
)
USUAL: Final[dict[str, tuple[Case, ...]]] = {
    "int": (SMALL_INTEGER,),
    "long": (SMALL_INTEGER, TWO_BYTES, SIX_BYTES),
    "string": (SHORT_STRING, DIGEST),
    "bytes": (VECTOR,),
    "boolean": (BOOLEAN,),
    "array of int": (ONE_INTEGER,),
    "array of double": (ONE_DOUBLE,),
}


def record_reader(kind: type, fields: Sequence[Field[Read]]) -> Read:
    """A function that reads a record of this kind.

    Args:
        kind: dataclass with slots; frozen ones too.
        fields: name, Avro type and reader of each, in the order of the schema.
    """
    # A frozen dataclass sets its fields by a call each. A plain class of the same slots takes assignments, at a third
    # of the time, and its objects may become records at the end, because both lie in memory alike.
    draft = type(kind.__name__, (), {"__slots__": kind.__slots__})  # type: ignore[attr-defined]
    names: dict[str, object] = {"kind": kind, "draft": draft, "unpack_double": struct.Struct("<d").unpack_from}
    lines = ["record = draft()\n"]
    for name, definition, read in fields:
        names[f"read_{name}"] = read
        lines += [_reading(name, list(_cases(definition))), f"record.{name} = value\n"]
    lines += ["record.__class__ = kind\n", "return record, at\n"]
    source = f"def read_record(data, at):\n{indent(''.join(lines), '    ')}"
    place = f"<reader of {kind.__name__}>"
    linecache.cache[place] = len(source), None, source.splitlines(keepends=True), place  # so that tracebacks show it
    exec(compile(source, place, "exec"), names)  # noqa: S102 - nothing in it but the fields of our own schemas
    return names["read_record"]  # type: ignore[return-value]


def _reading(name: str, cases: list[Case]) -> str:
    """Source that tries the cases, and otherwise calls the reader of the field."""
    call = f"value, at = read_{name}(data, at)\n"
    if not cases:
        return call
    tried = [
        f"{'el' if number else ''}if {condition}:\n{indent(body, '    ')}"
        for number, (condition, body) in enumerate(cases)
    ]
    return "".join(tried) + "else:\n" + indent(call, "    ")


def _cases(definition: object) -> Iterator[Case]:
    """What is written out for an Avro type."""
    match definition:
        case ["null", inner]:
            yield NULL
            for condition, body in USUAL.get(_described(inner), ()):
                yield f"data[at] == 2 and {condition}".format(first="at + 1"), body.format(first="at + 1")
        case _:
            for condition, body in USUAL.get(_described(definition), ()):
                yield condition.format(first="at"), body.format(first="at")


def _described(definition: object) -> str:
    """An Avro type in a few words."""
    match definition:
        case {"type": "array", "items": str(items)}:
            return f"array of {items}"
        case str():
            return definition
    return ""
