"""What can still be read of bytes that are no record: for people who look for the cause."""

import io
import json
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Final, cast

from fastavro import parse_schema, schemaless_reader

from ol0.wire.codec import HEADER, MAGIC, MALFORMED

if TYPE_CHECKING:
    from ol0.wire.codec import Datum

DUMPED_BYTES: Final = 256
SHOWN_BYTES: Final = 32
"""Of a field that holds bytes."""
ROW: Final = 16


@dataclass(frozen=True, slots=True)
class Remains:
    """What the bytes seem to be, in words, and their content, line by line."""

    what: str
    lines: tuple[str, ...]


def examine(value: bytes) -> Remains:
    """Reads as much as there is: JSON, the fields of a framed Avro record up to where it breaks, else plain bytes."""
    return _as_json(value) or _as_avro(value) or Remains(f"{len(value):,} bytes", hex_dump(value))


def hex_dump(value: bytes) -> tuple[str, ...]:
    """The first 256 bytes, sixteen a line, in hexadecimal and in ASCII.

    >>> hex_dump(b"0123456789abcdef!")
    ('0000  30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66  0123456789abcdef', \
'0010  21                                               !')
    """
    rows = range(0, min(len(value), DUMPED_BYTES), ROW)
    lines = tuple(_row(start, value[start : min(start + ROW, DUMPED_BYTES)]) for start in rows)
    rest = len(value) - DUMPED_BYTES
    return (*lines, f"and {rest:,} bytes more") if rest > 0 else lines


def _row(start: int, row: bytes) -> str:
    text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)  # noqa: PLR2004 - ASCII that prints
    return f"{start:04x}  {row.hex(' '):<{3 * ROW - 1}}  {text}"


def _as_json(value: bytes) -> Remains | None:
    try:
        text = json.dumps(json.loads(value), indent=2)
    except (ValueError, RecursionError):
        return None
    return Remains("JSON", tuple(text.splitlines()))


def _as_avro(value: bytes) -> Remains | None:
    """The fields of the record that the schema id names, as many as can be read; None where none can.

    An Avro record is its fields one after the other, so a record with the first few fields of the schema is a
    schema as well: the longest that can be read shows where the bytes break.
    """
    if len(value) < HEADER.size:
        return None
    magic, number = HEADER.unpack_from(value)
    folder = files("ol0") / "schemas"
    name = json.loads((folder / "ids.json").read_text(encoding="utf-8")).get(str(number))
    if magic != MAGIC or name is None:
        return None
    definition = json.loads((folder / name).read_text(encoding="utf-8"))
    total = len(definition["fields"])
    for count in range(total, 0, -1):
        stream = io.BytesIO(value)
        stream.seek(HEADER.size)
        try:
            schema = parse_schema({**definition, "fields": definition["fields"][:count]})
            datum = cast("Datum", schemaless_reader(stream, schema, None))
        except MALFORMED:
            continue
        rest = value[stream.tell() :]
        what = f"Avro, {definition['name']} (schema id {number}): {count} of {total} fields can be read"
        lines = tuple(f"{field}: {_shown(item)}" for field, item in datum.items())
        if rest:
            return Remains(what, (*lines, f"then {len(rest):,} bytes that do not fit:", *hex_dump(rest)))
        return Remains(what, lines)
    return None


def _shown(item: object) -> str:
    """A value of Avro; of bytes the first ones."""
    if isinstance(item, bytes):
        dots = "…" if len(item) > SHOWN_BYTES else ""
        return f"{len(item):,} bytes {item[:SHOWN_BYTES].hex()}{dots}"
    return repr(item)
