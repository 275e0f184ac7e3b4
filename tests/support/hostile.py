"""Checkpoint files that are wrong on purpose, each made from a good one, and what has to be said of each.

They are built here and not kept as files: so each is one line that shows where the flaw is.
"""

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

Header = dict[str, Any]
HUGE = 2**62


def hostile_files(good: bytes) -> Mapping[str, tuple[bytes, str]]:
    """Name of the flaw -> bytes, and a regular expression of the complaint."""
    head, body = _split(good)
    first = min((name for name in head if name != "__metadata__"), key=lambda name: head[name]["data_offsets"])

    def header(change: Callable[[Header], object]) -> bytes:
        copy = json.loads(json.dumps(head))
        change(copy)
        return file_of(json.dumps(copy).encode(), body)

    def tensor(**fields: object) -> bytes:
        return header(lambda copy: copy[first].update(fields))

    def manifest(**fields: object) -> bytes:
        text = json.dumps({**json.loads(head["__metadata__"]["ol0"]), **fields})
        return header(lambda copy: copy.update({"__metadata__": {"ol0": text}}))

    start, stop = head[first]["data_offsets"]
    size = head[first]["shape"]
    plain = json.dumps(head).encode()
    return {
        "an empty file": (b"", "0 bytes are too few for a safetensors file"),
        "half a length": (good[:5], "5 bytes are too few for a safetensors file"),
        "a truncated header": (good[:40], "its header claims"),
        "a truncated body": (good[:-4], " of shape .* lies at "),
        "bytes behind the end": (good + b"\0\0\0\0", "4 bytes over|leave some of its"),
        "a header of 2^63 bytes": (struct.pack("<Q", 2**63) + good[8:], "its header claims 9223372036854775808"),
        "a header of 800 KB": (file_of(b" " * 800_000 + b"{}", b""), "its header claims 800002"),
        "more than 64 MB": (good + bytes(64_000_000), "at most 64000000"),
        "JSON nested deeply": (file_of(b"[" * 60_000, body), "nested too deeply"),
        "a list for a header": (file_of(b"[]", body), "the header is no JSON object"),
        "no JSON": (file_of(b"{'a': 1}", body), "the header is no JSON"),
        "no UTF-8": (file_of(b'{"\xff": 1}', body), "the header is not UTF-8"),
        "NaN in the JSON": (file_of(plain[:-1] + b', "x": NaN}', body), "NaN is no JSON number"),
        "a number of 5,000 digits": (file_of(b'{"x": ' + b"9" * 5_000 + b"}", body), "cannot be read"),
        "a tensor twice": (
            file_of(plain[:-1] + f', "{first}": {json.dumps(head[first])}}}'.encode(), body),
            f"the key '{first}' is there twice",
        ),
        "metadata twice": (file_of(plain[:-1] + b', "__metadata__": {"ol0": "{}"}}', body), "is there twice"),
        "a shape of 2^64 numbers": (tensor(shape=[HUGE, 4]), "whole numbers from 0 to"),
        "a shape of a billion numbers": (tensor(shape=[2**30]), "of shape .* lies at"),
        "a shape of ten thousand sizes": (tensor(shape=[1] * 10_000), "whole numbers from 0 to"),
        "a shape of text": (tensor(shape=["4"]), "whole numbers from 0 to"),
        "a negative size": (tensor(shape=[-1, -size[0]]), "whole numbers from 0 to"),
        "negative offsets": (tensor(data_offsets=[start - 4, stop - 4]), "whole numbers from 0 to"),
        "offsets backwards": (tensor(data_offsets=[stop, start]), "lies at"),
        "offsets beyond the end": (tensor(data_offsets=[start + 10**6, stop + 10**6]), "lies at"),
        "overlapping tensors": (tensor(data_offsets=[start + 4, stop + 4]), "overlap"),
        "an entry that is text": (header(lambda copy: copy.update(x="y")), "'x' is not a dtype"),
        "an entry with more in it": (tensor(more=1), "is not a dtype, a shape and two offsets"),
        "float64": (tensor(dtype="F64"), f"{first} is F64, not F32"),
        "int8": (tensor(dtype="I8"), f"{first} is I8, not F32"),
        "bfloat16": (tensor(dtype="BF16"), f"{first} is BF16, not F32"),
        "a type that is a list": (tensor(dtype=["F32"]), "not F32"),
        "a tensor more": (
            header(lambda copy: copy.update(extra={"dtype": "F32", "shape": [0], "data_offsets": [0, 0]})),
            "extra is unknown",
        ),
        "a tensor less": (_without(head, body, first), f"{first} is missing"),
        "another name": (header(lambda copy: copy.update(other=copy.pop(first))), f"{first} is missing; other is unk"),
        "a shape turned round": (_turned(head, body), "has shape"),
        "no numbers at all": (_emptied(head), "is empty"),
        "NaN in a tensor": (file_of(plain, body[:-4] + struct.pack("<f", float("nan"))), "not finite"),
        "infinity in a tensor": (
            file_of(plain, struct.pack("<f", float("-inf")) + body[4:]),
            f"{first} holds a number",
        ),
        "no metadata": (header(lambda copy: copy.pop("__metadata__")), "its metadata"),
        "metadata that is text": (header(lambda copy: copy.update(__metadata__="ol0")), "its metadata"),
        "metadata of others": (header(lambda copy: copy["__metadata__"].update(x="y")), "its metadata"),
        "a manifest that is no JSON": (header(lambda copy: copy.update(__metadata__={"ol0": "{"})), "manifest is no J"),
        "a manifest that lacks all": (header(lambda copy: copy.update(__metadata__={"ol0": "{}"})), "its manifest has"),
        "a manifest with more": (manifest(code="import os"), "its manifest has"),
        "a base that is no digest": (manifest(base="../../etc/passwd"), "its base .* is no digest"),
        "a parent that is a number": (manifest(parent=7), "its parent 7 is no digest"),
        "a step below 0": (manifest(step=-1), "step -1 is no count"),
        "a step that is true": (manifest(step=True), "step True is no count"),
        "no parts": (manifest(parts=[]), "parts"),
        "parts that repeat": (manifest(parts=["a", "a"]), "repeat"),
        "a part with a dot": (manifest(parts=["a.b"]), "is no name of letters"),
        "a part that is a number": (manifest(parts=[1]), "is no name of letters"),
        "a thousand parts": (manifest(parts=[f"p{n}" for n in range(1_000)]), "are not 1 to 16 names"),
        "epsilon above 1": (manifest(epsilon=1.5), "epsilon 1.5 is not in"),
        "epsilon below 0": (manifest(epsilon=-0.1), "epsilon -0.1 is not in"),
        "epsilon that is text": (manifest(epsilon="0.1"), "epsilon '0.1' is not in"),
        "epsilon of infinity": (header(lambda copy: _epsilon(copy, "1e999")), "epsilon inf is not in"),
        "a pickle": (pickle.dumps({"weight": [1.0] * 20}), "cannot be read"),
        "a zip, as torch writes it": (_zip(), "cannot be read"),
    }


def file_of(header: bytes, body: bytes) -> bytes:
    """A file of a header as it stands and a body."""
    return struct.pack("<Q", len(header)) + header + body


def _split(data: bytes) -> tuple[Header, bytes]:
    (length,) = struct.unpack_from("<Q", data)
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def _without(head: Header, body: bytes, name: str) -> bytes:
    """The tensor is left out, and the others move up."""
    start, stop = head[name]["data_offsets"]
    rest = {key: value for key, value in head.items() if key != name}
    moved = {
        key: value
        if key == "__metadata__"
        else {**value, "data_offsets": [one - (stop - start if one >= stop else 0) for one in value["data_offsets"]]}
        for key, value in rest.items()
    }
    return file_of(json.dumps(moved).encode(), body[:start] + body[stop:])


def _turned(head: Header, body: bytes) -> bytes:
    """A matrix as its transpose: as many bytes, another meaning."""
    name = next(key for key in sorted(head) if key.startswith("learnt.") and key.endswith(".weight"))
    turned = {**head, name: {**head[name], "shape": head[name]["shape"][::-1]}}
    return file_of(json.dumps(turned).encode(), body)


def _emptied(head: Header) -> bytes:
    """Every shape agrees with every other, at 0 choices of 0 features; one threshold is left."""
    entries = {}
    for key, value in head.items():
        if key == "__metadata__":
            entries[key] = value
        elif key == "mixer.threshold":
            entries[key] = {**value, "data_offsets": [0, 4]}
        else:
            entries[key] = {**value, "shape": [0] * len(value["shape"]), "data_offsets": [0, 0]}
    return file_of(json.dumps(entries).encode(), bytes(4))


def _epsilon(copy: Header, text: str) -> None:
    fields = json.loads(copy["__metadata__"]["ol0"])
    rest = {key: value for key, value in fields.items() if key != "epsilon"}
    copy["__metadata__"] = {"ol0": f'{json.dumps(rest)[:-1]}, "epsilon": {text}}}'}


def _zip() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps([0.0] * 20))
    return stream.getvalue()
