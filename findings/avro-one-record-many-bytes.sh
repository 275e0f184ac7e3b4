#!/usr/bin/env bash
# One Avro record, many byte strings: fastavro and avro read them all alike.
#
# One would guess: a record and its schema have one byte string, as both writers always make the same one; so equal
#   bytes mean equal records and other bytes mean another record.
# What happens: the second half is not true. Each integer and each length may end in more bytes than it needs (a
#   seven-bit group of zeros at the end changes nothing), and an array or a map may come in any number of blocks. Both
#   readers take all of these and give equal records. So a record that some other writer made, or a proxy wrote anew,
#   has another digest although nothing in it has changed.
# What to do: take a digest, or a key for "seen before", over what was decoded and written anew by one writer, never
#   over the bytes that came in. Where the bytes themselves must be the only ones, write the record anew and compare.
#
# Run: bash avro-one-record-many-bytes.sh   (bash, Python 3.11 or newer, a network; exit code 0 while it is so)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet fastavro==1.13.1 avro==1.12.2

"$folder/venv/bin/python" - <<'PYTHON'
import hashlib
import importlib.metadata
import io
import json
import sys

import avro.io
import avro.schema
import fastavro

SCHEMA = {
    "type": "record",
    "name": "Sale",
    "fields": [
        {"name": "pieces", "type": "int"},
        {"name": "what", "type": "string"},
        {"name": "shelves", "type": {"type": "array", "items": "int"}},
    ],
}
SALE = {"pieces": 3, "what": "ab", "shelves": [1, 2]}
PIECES, WHAT, SHELVES = bytes([6]), bytes([4]) + b"ab", bytes([4, 2, 4, 0])
fast, slow = fastavro.parse_schema(SCHEMA), avro.schema.parse(json.dumps(SCHEMA))


def hold(so, sentence):
    print("as written:" if so else "CHANGED, this no longer holds:", sentence)
    if not so:
        sys.exit(1)


def longer(number, total):
    """The same number in ``total`` bytes: each byte but the last says that one more follows; the new ones add 0."""
    return bytes([*(byte | 128 for byte in number), *[128] * (total - len(number) - 1), 0])


def by_fastavro(data):
    source = io.BytesIO(data)
    return fastavro.schemaless_reader(source, fast), source.tell()


def by_avro(data):
    source = io.BytesIO(data)
    return avro.io.DatumReader(slow).read(avro.io.BinaryDecoder(source)), source.tell()


def written(record):
    target = io.BytesIO()
    fastavro.schemaless_writer(target, fast, record)
    return target.getvalue()


def written_by_avro(record):
    target = io.BytesIO()
    avro.io.DatumWriter(slow).write(record, avro.io.BinaryEncoder(target))
    return target.getvalue()


print(*(f"{name} {importlib.metadata.version(name)}" for name in ("fastavro", "avro")))
short = PIECES + WHAT + SHELVES
hold(written(SALE) == written_by_avro(SALE) == short, f"both writers make {short.hex()}")

forms = {
    "the integer in two bytes": longer(PIECES, 2) + WHAT + SHELVES,
    "the integer in ten bytes": longer(PIECES, 10) + WHAT + SHELVES,
    "the text's length in three bytes": PIECES + longer(WHAT[:1], 3) + WHAT[1:] + SHELVES,
    "the array in two blocks": PIECES + WHAT + bytes([2, 2, 2, 4, 0]),
    "the array in a block that tells its size": PIECES + WHAT + bytes([3, 4, 2, 4, 0]),
}
for name, data in forms.items():
    read = (SALE, len(data))
    hold(by_fastavro(data) == by_avro(data) == read, f"{name}, {data.hex()}: both read the same record")
    hold(written(by_fastavro(data)[0]) == short, "written anew it has the bytes of the first")
digests = {hashlib.sha256(data).hexdigest() for data in [short, *forms.values()]}
hold(len(digests) == 1 + len(forms), f"one record, {len(digests)} digests")
PYTHON
