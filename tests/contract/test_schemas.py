"""The schemas against the dataclasses, against an independent reader, and against their own past."""

import io
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from importlib.resources import files
from types import NoneType, UnionType
from typing import Any, NewType, Union, get_args, get_origin, get_type_hints

import avro.io
import avro.schema
import pytest
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType

from ol0 import records
from ol0.records import Record
from ol0.wire.codec import HEADER, Codec
from support.examples import EXAMPLES

Definition = dict[str, Any]
SCHEMAS = files("ol0") / "schemas"
IDS: dict[str, str] = json.loads((SCHEMAS / "ids.json").read_text("utf-8"))
NAMES = [name.removesuffix(".avsc") for name in IDS.values()]
PRIMITIVES = {str: "string", int: "int or long", float: "double", bool: "boolean", bytes: "bytes"}


def load(name: str) -> Definition:
    definition: Definition = json.loads((SCHEMAS / f"{name}.avsc").read_text("utf-8"))
    return definition


def golden(name: str) -> Definition:
    message: Definition = json.loads((SCHEMAS / "examples" / f"{name}.json").read_text("utf-8"))
    return message


def shape_of_hint(hint: object) -> object:  # noqa: PLR0911 - one for each kind of type
    """A type hint in the words of Avro; int and long are one here, because Python knows one."""
    if isinstance(hint, NewType):
        return shape_of_hint(hint.__supertype__)
    if get_origin(hint) in (Union, UnionType):
        (inner,) = (shape_of_hint(argument) for argument in get_args(hint) if argument is not NoneType)
        return ["null", inner]
    if get_origin(hint) is tuple:
        return {"array": shape_of_hint(get_args(hint)[0])}
    if get_origin(hint) is Mapping:
        return {"map": shape_of_hint(get_args(hint)[1])}
    assert isinstance(hint, type)
    if issubclass(hint, Enum):
        return {"enum": hint.__name__, "symbols": [member.value for member in hint]}
    if is_dataclass(hint):
        return {
            "record": hint.__name__,
            "fields": [(name, shape_of_hint(inner)) for name, inner in get_type_hints(hint).items()],
        }
    return PRIMITIVES[hint]


def shape_of_schema(schema: Any, named: dict[str, object]) -> object:  # noqa: ANN401, PLR0911 - JSON, and as above
    """An Avro schema in the same words. ``named``: what was defined further up."""
    match schema:
        case list():
            return [shape_of_schema(branch, named) for branch in schema]
        case {"type": "array"}:
            return {"array": shape_of_schema(schema["items"], named)}
        case {"type": "map"}:
            return {"map": shape_of_schema(schema["values"], named)}
        case {"type": "enum"}:
            named[schema["name"]] = {"enum": schema["name"], "symbols": schema["symbols"]}
            return named[schema["name"]]
        case {"type": "record"}:
            shape = [(field["name"], shape_of_schema(field["type"], named)) for field in schema["fields"]]
            named[schema["name"]] = {"record": schema["name"], "fields": shape}
            return named[schema["name"]]
        case "int" | "long":
            return "int or long"
        case str() if schema in named:
            return named[schema]
        case _:
            return schema


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_and_its_dataclass_have_the_same_fields_in_the_same_order_and_of_the_same_types(name: str) -> None:
    schema = load(name)
    assert shape_of_schema(schema, {}) == shape_of_hint(getattr(records, schema["name"]))


@pytest.mark.parametrize("name", NAMES)
def test_a_field_that_may_be_null_has_null_as_its_default(name: str) -> None:
    for field in load(name)["fields"]:
        assert (isinstance(field["type"], list)) == ("default" in field), field["name"]


def test_every_record_has_an_id_of_its_own_and_every_id_a_record() -> None:
    assert {load(name)["name"] for name in NAMES} == {kind.__name__ for kind in get_args(Record)}
    assert len(set(IDS.values())) == len(IDS)
    assert {path.name for path in SCHEMAS.iterdir() if path.name.endswith(".avsc")} == set(IDS.values())


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda record: type(record).__name__)
def test_golden_messages_are_what_the_codec_writes_and_reads(example: Record) -> None:
    codec = Codec()
    (name,) = (name for name in NAMES if load(name)["name"] == type(example).__name__)
    payload = bytes.fromhex(golden(name)["hex"])
    assert codec.encode(example) == payload
    assert codec.decode(payload) == example
    assert {field.name for field in fields(example)} == golden(name)["record"].keys()


@pytest.mark.parametrize("name", NAMES)
def test_golden_messages_mean_the_same_to_another_avro_library(name: str) -> None:
    payload = bytes.fromhex(golden(name)["hex"])
    _, number = HEADER.unpack_from(payload)
    assert IDS[str(number)] == f"{name}.avsc"
    reader = avro.io.DatumReader(avro.schema.parse(json.dumps(load(name))))
    body = io.BytesIO(payload[HEADER.size :])
    assert as_json(reader.read(avro.io.BinaryDecoder(body))) == golden(name)["record"]
    assert body.read() == b""


def as_json(value: object) -> object:
    """Bytes as Avro's JSON has them: one character a byte."""
    match value:
        case bytes():
            return value.decode("latin-1")
        case dict():
            return {key: as_json(inner) for key, inner in value.items()}
        case list():
            return [as_json(inner) for inner in value]
        case _:
            return value


def incompatibilities(versions: list[Definition]) -> list[str]:
    """FULL_TRANSITIVE: every version must read what every other one wrote. Says what does not."""
    parsed = [avro.schema.parse(json.dumps(version)) for version in versions]
    found: list[str] = []
    for reader in parsed:
        for writer in parsed:
            result = ReaderWriterCompatibilityChecker().get_compatibility(reader, writer)  # type: ignore[no-untyped-call]
            if result.compatibility is not SchemaCompatibilityType.compatible:
                found.extend(map(str, result.messages))
    return found


def test_all_versions_of_a_record_read_each_other() -> None:
    versions: dict[str, list[Definition]] = {}
    for name in NAMES:
        versions.setdefault(load(name)["name"], []).append(load(name))
    assert {name: incompatibilities(found) for name, found in versions.items() if incompatibilities(found)} == {}


def evolved(name: str, field: Definition) -> list[Definition]:
    now = load(name)
    return [now, {**now, "fields": [*now["fields"], field]}]


def test_a_new_field_with_a_default_is_compatible() -> None:
    assert incompatibilities(evolved("tick", {"name": "zone", "type": ["null", "string"], "default": None})) == []


def test_a_new_field_without_a_default_is_not() -> None:
    assert any("zone" in message for message in incompatibilities(evolved("tick", {"name": "zone", "type": "string"})))


def test_taking_out_a_field_without_a_default_is_not_compatible() -> None:
    now = load("decision")
    assert incompatibilities([now, {**now, "fields": now["fields"][1:]}])


def test_a_new_enum_symbol_is_not_compatible_for_readers_of_the_old_version() -> None:
    now = load("implicit_feedback")
    text = json.dumps(now).replace('"abandonment"', '"abandonment", "applause"')
    assert any("applause" in message for message in incompatibilities([now, json.loads(text)]))
