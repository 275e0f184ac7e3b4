#!/usr/bin/env bash
# fastavro fills a default in as it stands in the schema's JSON: bytes as text, records without their own defaults.
#
# One would guess: a field that the writer did not know comes with its default as a value of its type: bytes as bytes, a
#   float as a float, a record with all of its fields. What a reader gives, the writer of the same schema takes.
# What happens: the default comes as json.loads gave it. Of `bytes` with the default "\u00ff" (as Avro writes the byte
#   255) comes the text, not the byte; of `float` with the default 1 an int; of a record whose default leaves out a
#   field that has a default of its own, a dict without that field. So one field is of two types, by the age of the
#   record, and the same library refuses to write the record anew. Data that has the field looks as it should.
# What to do: after reading with another schema than the writer's, write and read once with the reader's, in a test, for
#   every field with a default. Defaults that are null, text, true or false, or an int are as they should be.
#
# Run: bash default-not-of-its-type.sh   (bash, Python 3.11 or newer, a network; exit code 0 while it is so)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet fastavro==1.13.1

"$folder/venv/bin/python" - <<'PYTHON'
import importlib.metadata
import io
import sys

import fastavro


def hold(so, sentence):
    print("as written:" if so else "CHANGED, this no longer holds:", sentence)
    if not so:
        sys.exit(1)


def sample(*fields):
    number = {"name": "number", "type": "int"}
    return fastavro.parse_schema({"type": "record", "name": "Sample", "fields": [number, *fields]})


def bytes_of(schema, record):
    target = io.BytesIO()
    fastavro.schemaless_writer(target, schema, record)
    return target.getvalue()


def read(field):
    """A record of before that field, with a schema that has it; and whether it can be written anew."""
    newer = sample(field)
    record = fastavro.schemaless_reader(io.BytesIO(bytes_of(sample(), {"number": 7})), sample(), newer)
    try:
        bytes_of(newer, record)
    except (TypeError, ValueError, KeyError) as error:
        return record[field["name"]], f"{type(error).__name__}: {error}"
    return record[field["name"]], None


print("fastavro", importlib.metadata.version("fastavro"))
value, refused = read({"name": "mark", "type": "bytes", "default": "\u00ff"})
hold(value == "\u00ff", f"bytes, default the byte 255: {value!r}, a text")
hold(refused is not None, f"written anew it is refused: {refused}")

value, refused = read({"name": "weight", "type": "float", "default": 1})
hold(type(value) is int, f"float, default 1: {value!r}, an int")

place = [{"name": "row", "type": "int"}, {"name": "side", "type": "string", "default": "left"}]
value, refused = read(
    {"name": "place", "type": {"type": "record", "name": "Place", "fields": place}, "default": {"row": 2}}
)
hold(value == {"row": 2}, f"a record whose side is 'left' by default, default row 2: {value!r}, without a side")
PYTHON
