"""Records as bytes: Confluent framing (magic byte 0, 4-byte id, Avro body), and plain JSON for feedback."""

import difflib
import io
import json
import struct
from codecs import BOM_UTF8
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Final, Generic, NoReturn, TypeVar, cast, get_args

from fastavro import parse_schema, schemaless_writer
from fastavro.types import Schema
from fastavro.validation import ValidationError, validate_many

from ol0.errors import ConfigError, ContractError, UnknownSchema
from ol0.records import Feedback, Record, Tick
from ol0.wire.avro_codegen import Read
from ol0.wire.avro_reader import READERS
from ol0.wire.avro_writer import WRITERS, Write
from ol0.wire.schema_walk import Definition, SchemaWalk
from ol0.wire.topics import TopicSpec
from ol0.wire.validation import CHECKS, validate

MAGIC: Final = 0
HEADER: Final = struct.Struct(">BI")
JSON_SPACE: Final = b" \t\r\n"
MALFORMED: Final = (
    *(EOFError, IndexError, KeyError, TypeError, ValueError, OverflowError, RecursionError, MemoryError),
    struct.error,
)
"""What readers, fastavro and json raise on bytes that are none of theirs."""
Datum = dict[str, object]
"""A record as fastavro and json have it. It does not leave the codec."""
R = TypeVar("R", bound=Record)


@dataclass(frozen=True, slots=True)
class _Schema(Generic[R]):
    """A record type with its id and its ways to and from bytes; the parsed schema is for JSON."""

    number: int
    record_type: type[R]
    avro: Schema
    required: frozenset[str]
    names: tuple[str, ...]
    header: bytes
    read: Read
    write: Write
    check: Callable[[R], None]


class Codec:
    """Encodes and decodes every record of ``schemas/``. Build one per process: it reads and parses all schemas."""

    def __init__(self) -> None:
        folder = files("ol0") / "schemas"
        ids = json.loads((folder / "ids.json").read_text(encoding="utf-8"))
        loaded = [_load(int(number), json.loads((folder / name).read_text("utf-8"))) for number, name in ids.items()]
        self._by_header = {schema.header: schema for schema in loaded}
        self._by_type: Mapping[type, _Schema[Record]] = {schema.record_type: schema for schema in loaded}
        self._by_name = {schema.record_type.__name__: schema for schema in loaded}
        self._feedback = frozenset(kind.__name__ for kind in get_args(Feedback))

    def header(self, record_type: type[Record]) -> bytes:
        """Magic byte and schema id, which begin the framed bytes of such records."""
        return self._by_type[record_type].header

    def encode(self, record: Record) -> bytes:
        """The framed bytes of a record.

        Raises:
            RangeError: a value is not allowed: no reader would take it.
            ContractError: a value has the wrong type.
        """
        try:
            validate(record)
        except (*MALFORMED, AttributeError) as error:
            raise ContractError(f"{type(record).__name__}: {_text(error)}") from error
        return self.encode_valid(record)

    def decode(self, payload: bytes) -> Record:
        """The record of framed bytes.

        Raises:
            RangeError: well-formed, but a value is not allowed.
            ContractError: anything else; the message says what.
        """
        schema = self._schema_of(payload)
        record = self._read(schema, payload, HEADER.size)
        schema.check(record)
        return record

    def decode_from(self, spec: TopicSpec, payload: bytes | None) -> Record:
        """``decode`` for one topic: a tick or a record that the topic declares, within its size; JSON for feedback.

        Raises:
            ContractError: as ``decode``; also an empty or too long message, or a record of another topic.
        """
        if not payload:
            raise ContractError(f"an empty message; {spec.name} carries {' or '.join(spec.records)}")
        if len(payload) > spec.max_message_bytes:
            raise ContractError(f"{len(payload)} bytes; {spec.max_message_bytes} at most in {spec.name}")
        schema = self._by_header.get(payload[: HEADER.size])
        if schema is None:
            if spec.records[0] in self._feedback and payload.removeprefix(BOM_UTF8).lstrip(JSON_SPACE)[:1] == b"{":
                return self._decode_json(self._by_name[spec.records[0]], payload)
            self._refuse_header(payload, spec.records[0])
        record = self._read(schema, payload, HEADER.size)
        schema.check(record)
        name = schema.record_type.__name__
        if name not in spec.records and schema.record_type is not Tick:
            raise ContractError(f"a {name}; {spec.name} carries {' or '.join(spec.records)}")
        return record

    def encode_valid(self, record: Record) -> bytes:
        """``encode`` for a record that has been decoded, and so checked, before.

        Raises:
            ContractError: a value has the wrong type.
        """
        schema = self._by_type[type(record)]
        try:
            return schema.header + schema.write(record)
        except (*MALFORMED, AttributeError) as error:
            raise ContractError(f"{type(record).__name__}: {_text(error)}") from error

    def decode_valid(self, record_type: type[R], payload: bytes) -> R:
        """``decode`` for bytes that ``encode`` or ``encode_valid`` made, such as the payloads of the replay store.

        Raises:
            ContractError: it is no such record.
        """
        record = self._read(self._schema_of(payload), payload, HEADER.size)
        if not isinstance(record, record_type):
            raise ContractError(f"a {type(record).__name__} where a {record_type.__name__} should be")
        return record

    def _schema_of(self, payload: bytes) -> _Schema[Record]:
        schema = self._by_header.get(payload[: HEADER.size])
        if schema is None:
            self._refuse_header(payload)
        return schema

    def _refuse_header(self, payload: bytes, expected: str | None = None) -> NoReturn:
        """Says what is wrong with the first bytes; ``expected``: the record that should be there, if known."""
        if payload and payload[0] != MAGIC:
            json_too = ", { feedback as JSON" if expected in self._feedback else ""
            raise ContractError(f"first byte {payload[0]}; a framed Avro record begins with 0{json_too}")
        if len(payload) < HEADER.size:
            raise ContractError(f"{len(payload)} bytes; magic byte and schema id alone are {HEADER.size}")
        _, number = HEADER.unpack_from(payload)
        known = [schema.number for schema in self._by_header.values()]
        right = f"{min(known)} to {max(known)}" if expected is None else f"{self._by_name[expected].number}: {expected}"
        raise UnknownSchema(
            f"schema id {number}; schemas/ids.json has {right}. OL0 uses no registry, so a registry's ids are "
            "unknown here"
        )

    def _read(self, schema: _Schema[R], data: bytes, start: int) -> R:
        try:
            record, end = schema.read(data, start)
        except MALFORMED as error:
            raise ContractError(f"truncated or no {schema.record_type.__name__}: {_text(error)}") from error
        if end != len(data):
            name, missing = schema.record_type.__name__, end - len(data)
            if missing > 0:
                raise ContractError(f"truncated or no {name}: {missing} bytes are missing")
            raise ContractError(f"{-missing} bytes are left over after the {name}")
        return cast("R", record)

    def _decode_json(self, schema: _Schema[Record], payload: bytes) -> Record:
        """JSON goes through Avro's own check and encoding, so that both ways in accept the same values."""
        datum = _parse_json(payload)
        for name in sorted(datum.keys() - set(schema.names)):
            (nearest,) = difflib.get_close_matches(name, schema.names, n=1, cutoff=0)
            raise ContractError(f"JSON: unknown field {name[:40]!r}; did you mean {nearest!r}?")
        if missing := sorted(schema.required - datum.keys()):
            raise ContractError(f"JSON: {schema.record_type.__name__} needs {', '.join(missing)} as well")
        complete = {name: datum.get(name) for name in schema.names}
        body = io.BytesIO()
        try:
            validate_many([complete], schema.avro, raise_errors=True)
            schemaless_writer(body, schema.avro, complete)
        except (ValidationError, *MALFORMED) as error:
            raise ContractError(f"JSON: {_text(error)}") from error
        record = self._read(schema, body.getvalue(), 0)
        schema.check(record)
        return record


def _load(number: int, definition: Mapping[str, object]) -> _Schema[Record]:
    types = {kind.__name__: kind for kind in get_args(Record)}
    name = definition["name"]
    if name not in types:
        raise ConfigError(f"schemas/ids.json, {number}: {name!r} has no dataclass in ol0.records")
    fields = cast("list[dict[str, object]]", definition["fields"])
    return _Schema(
        number=number,
        record_type=types[name],
        avro=parse_schema(dict(definition)),
        header=HEADER.pack(MAGIC, number),
        read=SchemaWalk(READERS).of(cast("Definition", definition), types[name]),
        write=SchemaWalk(WRITERS).of(cast("Definition", definition), types[name]),
        check=CHECKS[types[name]],
        required=frozenset(str(field["name"]) for field in fields if "default" not in field),
        names=tuple(str(field["name"]) for field in fields),
    )


def _parse_json(payload: bytes) -> Datum:
    """The object of a text in UTF-8, which begins with a brace; json itself would guess among five encodings."""
    try:
        text = payload.decode("utf-8-sig")
        return cast("Datum", json.loads(text, parse_constant=_no_constant, object_pairs_hook=_unique))
    except (ValueError, RecursionError) as error:
        raise ContractError(f"JSON: {_text(error)}") from error


def _unique(pairs: list[tuple[str, object]]) -> Datum:
    """Of equal keys one reader takes the first, another the last: then they read different records."""
    datum: Datum = {}
    for name, value in pairs:
        if name in datum:
            raise ValueError(f"{name[:40]!r} is there twice")
        datum[name] = value
    return datum


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _text(error: Exception) -> str:
    """The error in one line; fastavro's own may be empty, and half a surrogate of JSON cannot be written as text."""
    line = " ".join(f"{type(error).__name__} {error}".split())[:300]
    return line.encode(errors="backslashreplace").decode()
