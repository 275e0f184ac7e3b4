#!/usr/bin/env bash
# fastavro gives every record that lacks a field the same list: a change to one record is a change to all, and stays.
#
# One would guess: a record that was read belongs to its reader's caller. Where the writer knew no such field, the
#   default of the reader's schema is filled in, as a new value each time.
# What happens: the default is filled in as the very object that stands in the schema. All records that lack the field
#   share one list (or one dict, for a map or a record). Appending to it in one record appends in those before and
#   after it, and changes the schema: another reader, made later for another file, fills in the changed list. A list
#   that was in the data is a new one for every record, so code that changes records works until old data comes.
# What to do: copy before changing: `record["tags"] = [*record["tags"], new]`. Or copy.deepcopy what a reader gives.
#
# Run: bash shared-default.sh   (bash, Python 3.11 or newer, a network; exit code 0 while it is so)
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


def order(*fields):
    return {"type": "record", "name": "Order", "fields": [{"name": "number", "type": "int"}, *fields]}


TAGS = {"name": "tags", "type": {"type": "array", "items": "string"}, "default": []}
EXTRA = {"name": "extra", "type": {"type": "map", "values": "int"}, "default": {}}
old, new = order(), order(TAGS, EXTRA)


def file_of(schema, *records):
    target = io.BytesIO()
    fastavro.writer(target, schema, records)
    return io.BytesIO(target.getvalue())


print("fastavro", importlib.metadata.version("fastavro"))
first, second = fastavro.reader(file_of(old, {"number": 1}, {"number": 2}), new)
first["tags"].append("urgent")
first["extra"]["floor"] = 3
hold(second["tags"] == ["urgent"], f"a tag was added to order 1, and order 2 has it, too: {second}")
hold(second["extra"] == {"floor": 3}, "the same of a map")

(third,) = fastavro.reader(file_of(old, {"number": 3}), new)
hold(third["tags"] == ["urgent"], f"a later file, read by another reader: {third}")
hold(TAGS["default"] == ["urgent"], f"the schema itself was changed: its default is {TAGS['default']}")

here = {"tags": [], "extra": {}}
fourth, fifth = fastavro.reader(file_of(new, {"number": 4} | here, {"number": 5} | here), new)
fourth["tags"].append("late")
hold(fifth["tags"] == [], "orders that were written with empty tags share nothing")
PYTHON
