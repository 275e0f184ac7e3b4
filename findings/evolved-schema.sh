#!/usr/bin/env bash
# Apache's own Python package refuses changes of a schema that Avro's specification resolves; fastavro reads them.
#
# One would guess: whoever keeps to the rules of schema resolution (new names with aliases, a default symbol for enums,
#   int to double) can be read with the newer schema by every Avro library, and first of all by Apache's own.
# What happens: avro 1.12.2 knows aliases only as something to parse. A field or a record that was given a new name with
#   its old one as alias is refused. So is a symbol that the reader's enum lacks, although that enum has a default, and
#   an array or a map of int that is read as one of double, although int is read as double anywhere else (where it stays
#   a Python int). fastavro reads all of them as the specification says.
# What to do: a registry's "compatible" speaks of the specification, not of a library. Read a record of each older
#   schema with each library that will meet it, in a test, before the schema is published.
#
# Run: bash evolved-schema.sh   (bash, Python 3.11 or newer, a network; exit code 0 while it is so)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet fastavro==1.13.1 avro==1.12.2

"$folder/venv/bin/python" - <<'PYTHON'
import importlib.metadata
import io
import json
import sys

import avro.errors
import avro.io
import avro.schema
import fastavro


def hold(so, sentence):
    print("as written:" if so else "CHANGED, this no longer holds:", sentence)
    if not so:
        sys.exit(1)


def record(kind, name="Order", field="x", **more):
    return {"type": "record", "name": name, "fields": [{"name": field, "type": kind} | more]}


def by_fastavro(written, schema, newer):
    parsed = fastavro.parse_schema(schema)
    return fastavro.schemaless_reader(io.BytesIO(written), parsed, fastavro.parse_schema(newer))


def by_avro(written, schema, newer):
    both = (avro.schema.parse(json.dumps(it)) for it in (schema, newer))
    return avro.io.DatumReader(*both).read(avro.io.BinaryDecoder(io.BytesIO(written)))


def both(value, schema, newer):
    """What each library makes of it; of avro None where it refuses."""
    target = io.BytesIO()
    fastavro.schemaless_writer(target, fastavro.parse_schema(schema), {"x": value})
    try:
        found = by_avro(target.getvalue(), schema, newer)
    except avro.errors.SchemaResolutionException as error:
        found, said = None, " ".join(str(error).split())[:60]
    else:
        said = str(found)
    return by_fastavro(target.getvalue(), schema, newer), found, said


print(*(f"{name} {importlib.metadata.version(name)}" for name in ("fastavro", "avro")))
colours = {"type": "enum", "name": "Colour", "symbols": ["RED", "BLUE", "TEAL"]}
fewer = {"type": "enum", "name": "Colour", "symbols": ["RED", "BLUE"], "default": "BLUE"}
items, values = ({"type": "array", "items": "int"}, {"type": "map", "values": "int"})
cases = {
    "a field with a new name": (3, record("int"), record("int", field="y", aliases=["x"]), {"y": 3}),
    "a record with a new name": (3, record("int"), record("int", name="Sale") | {"aliases": ["Order"]}, {"x": 3}),
    "a symbol that the reader's enum lacks": ("TEAL", record(colours), record(fewer), {"x": "BLUE"}),
    "int as double in an array": ([3], record(items), record(items | {"items": "double"}), {"x": [3.0]}),
    "int as double in a map": ({"k": 3}, record(values), record(values | {"values": "double"}), {"x": {"k": 3.0}}),
}
for name, (value, schema, newer, right) in cases.items():
    fast, apache, said = both(value, schema, newer)
    hold(fast == right, f"{name}: fastavro reads {fast}")
    hold(apache is None, f"{name}: avro refuses it: {said}")
fast, apache, said = both(3, record("int"), record("double"))
hold((type(fast["x"]), type(apache["x"])) == (float, int), f"int as double elsewhere: fastavro {fast}, avro {apache}")
PYTHON
