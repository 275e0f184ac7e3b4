"""The header of a checkpoint, read by the strictest rules, before anything else looks at the bytes.

A safetensors file is a length (8 bytes, little-endian), a JSON object and the tensors' bytes. The numpy API of the
library drops the metadata, and takes the last of two equal keys; so the object is read here first, within bounds.
"""

import json
import math
import re
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from ol0.controller.controller import Manifest
from ol0.controller.hysteresis import Hysteresis
from ol0.controller.operations import Shape
from ol0.controller.trunk_form import read_form
from ol0.records import Digest

LENGTH: Final = struct.Struct("<Q")
MAX_HEADER_BYTES: Final = 65_536
"""Four parts need 3 KB. The bound keeps hostile JSON small: what it becomes in Python is some fifty times as large."""
MAX_PARTS: Final = 16
MAX_RANK: Final = 2  # matrices and vectors
ITEM_BYTES: Final = 4  # float32
DIGEST: Final = re.compile(r"[0-9a-f]{64}")
PART: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
MANIFEST_FIELDS: Final = frozenset({"base", "parent", "step", "parts", "epsilon", "encoder"})
HYSTERESIS: Final = "hysteresis"  # only manifests that have one name it
TRUNK: Final = "trunk"  # likewise
MAX_ENCODER: Final = 200
MAX_STEP: Final = 2**62
MAX_MEASURE: Final = 1e6  # of a threshold or weight; no logarithms of float32 differ by a thousandth of it


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of itself.

    Attributes:
        manifest: base, parent and policy settings.
        shapes: of every tensor, by name; all are float32 and lie one behind the other to the end of the file.
    """

    manifest: Manifest
    shapes: Mapping[str, Shape]


def read_header(data: bytes) -> Header:
    """Reads and checks the header; touches no tensor.

    Raises:
        ValueError: says what is wrong with it.
    """
    if len(data) < LENGTH.size:
        raise ValueError(
            f"{len(data)} bytes are too few for a safetensors file: the length of its header alone takes {LENGTH.size}"
        )
    (length,) = LENGTH.unpack_from(data)
    if length > min(len(data) - LENGTH.size, MAX_HEADER_BYTES):
        raise ValueError(
            f"its header claims {length} bytes, of {len(data) - LENGTH.size} that follow; {MAX_HEADER_BYTES} at most"
        )
    fields = _json_object("the header", data[LENGTH.size : LENGTH.size + length])
    metadata = fields.pop("__metadata__", None)
    if not isinstance(metadata, dict) or set(metadata) != {"ol0"} or not isinstance(metadata["ol0"], str):
        raise ValueError("its metadata is not one text under the name ol0: no OL0 checkpoint")
    shapes = _shapes(fields, len(data) - LENGTH.size - length)
    return Header(_manifest(_json_object("the manifest", metadata["ol0"].encode())), shapes)


def _json_object(what: str, text: bytes) -> dict[str, object]:
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError(f"{what} is nested too deeply") from None
    except UnicodeDecodeError:
        raise ValueError(f"{what} is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{what} is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{what} is no JSON object")  # noqa: TRY004 - all flaws of a header are one kind of error
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Two readers may take different ones of two equal keys: then they read different files."""
    fields = dict(pairs)
    if len(fields) != len(pairs):
        seen = Counter(name for name, _ in pairs)
        raise ValueError(f"the key {seen.most_common(1)[0][0][:80]!r} is there twice")
    return fields


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _shapes(fields: Mapping[str, object], body: int) -> dict[str, Shape]:
    """The tensors' shapes, once their places cover the body without gap or overlap."""
    shapes, places = {}, []
    for name, entry in fields.items():
        match entry:
            case {"dtype": dtype, "shape": [*sizes], "data_offsets": [start, stop], **rest} if not rest:
                pass
            case _:
                raise ValueError(f"{name[:80]!r} is not a dtype, a shape and two offsets")
        if dtype != "F32":
            raise ValueError(f"{name[:80]} is {str(dtype)[:20]}, not F32")
        if len(sizes) > MAX_RANK or not all(_is_count(number) for number in (*sizes, start, stop)):
            raise ValueError(f"{name[:80]}: sizes, {MAX_RANK} at most, and offsets are whole numbers from 0 to 2^31")
        if math.prod(sizes) * ITEM_BYTES != stop - start or stop > body:
            raise ValueError(f"{name[:80]} of shape {str(tuple(sizes))[:80]} lies at {start} to {stop} of {body} bytes")
        shapes[name] = tuple(sizes)
        places.append((start, stop))
    edges = [(0, 0), *sorted(places), (body, body)]
    if any(stop != start for (_, stop), (start, _) in pairwise(edges)):
        raise ValueError(f"its tensors overlap, or leave some of its {body} bytes over")
    return shapes


def _is_count(number: object) -> bool:
    return type(number) is int and 0 <= number < 2**31


def _manifest(fields: Mapping[str, object]) -> Manifest:
    if set(fields) - {HYSTERESIS, TRUNK} != MANIFEST_FIELDS:
        raise ValueError(f"its manifest has {sorted(fields)!s:.200}; {sorted(MANIFEST_FIELDS)} are right")
    base, parent, step, parts, epsilon, encoder = (
        fields[name] for name in ("base", "parent", "step", "parts", "epsilon", "encoder")
    )
    for name, digest in (("base", base), ("parent", parent)):
        if digest is not None and not (isinstance(digest, str) and DIGEST.fullmatch(digest)):
            raise ValueError(f"its {name} {digest!r:.80} is no digest")
    if type(step) is not int or not 0 <= step < MAX_STEP:
        raise ValueError(f"step {step!r:.80} is no count")
    if not isinstance(epsilon, int | float) or isinstance(epsilon, bool) or not 0 <= epsilon < 1:  # false for NaN
        raise ValueError(f"epsilon {epsilon!r:.80} is not in [0, 1)")
    if encoder is not None and not (isinstance(encoder, str) and len(encoder) <= MAX_ENCODER):
        raise ValueError(f"encoder is no text of at most {MAX_ENCODER} characters")
    names = _parts(parts)
    hysteresis = _hysteresis(fields[HYSTERESIS], len(names)) if HYSTERESIS in fields else None
    trunk = read_form(fields[TRUNK]) if TRUNK in fields else None
    return Manifest(_digest(base), _digest(parent), step, names, float(epsilon), encoder, hysteresis, trunk)


def _hysteresis(value: object, parts: int) -> Hysteresis:
    match value:
        case {"weights": [*weights], "tau": tau, **rest} if not rest and len(weights) == parts:
            if all(_is_measure(number) for number in (tau, *weights)):
                return Hysteresis(tuple(float(weight) for weight in weights), float(tau))
    raise ValueError(f"hysteresis {value!r:.200} is not a tau and {parts} weights, one per part, each 0 or more")


def _is_measure(number: object) -> bool:
    return isinstance(number, int | float) and not isinstance(number, bool) and 0 <= number <= MAX_MEASURE


def _parts(parts: object) -> tuple[str, ...]:
    if not isinstance(parts, list) or not 1 <= len(parts) <= MAX_PARTS:
        raise ValueError(f"parts {parts!r:.80} are not 1 to {MAX_PARTS} names")
    for name in parts:
        if not (isinstance(name, str) and PART.fullmatch(name)):
            raise ValueError(f"part {name!r:.80} is no name of letters, digits, _ and -")
    if len(set(parts)) != len(parts):
        raise ValueError(f"parts {parts!r:.200} repeat")
    return tuple(parts)


def _digest(value: object) -> Digest | None:
    return None if value is None else Digest(str(value))
