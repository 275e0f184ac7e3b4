"""A checkpoint: safetensors bytes that hold everything that serving needs, named by their SHA-256.

Nothing here deserialises code. Size, digest, header, manifest, names, types, shapes and finiteness are verified, in
this order, before a tensor is used.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from ol0.controller.chunks import MAX_BYTES, is_reference
from ol0.controller.controller import Controller, Manifest
from ol0.controller.header import HYSTERESIS, ITEM_BYTES, MAX_LAYERS, TRUNK, Header, Shape, read_header
from ol0.controller.heads import Floats, Head, Mixer
from ol0.controller.packing import pack_tensors
from ol0.controller.trunk import Layer, Trunk, TrunkForm
from ol0.errors import CheckpointError, ConfigError
from ol0.records import Digest, brief

Opener = Callable[[bytes, Digest | None], Controller]
"""Verifies and opens what a record says of a checkpoint, as ``read_checkpoint`` does where it holds the whole of it."""
HEADER_BYTES = 8_192  # four parts need 3 KB
MAX_NAMED = 8  # of unknown tensors: a header has room for a thousand


def digest_of(data: bytes) -> Digest:
    """The name of a checkpoint."""
    return Digest(sha256(data).hexdigest())


def write_checkpoint(
    manifest: Manifest,
    base: tuple[Head, ...],
    learnt: tuple[Head, ...],
    mixer: Mixer,
    trunk: Trunk | None = None,
) -> bytes:
    """The bytes of a checkpoint; the same arguments give the same bytes. Its manifest takes the form of the trunk."""
    manifest = replace(manifest, trunk=None if trunk is None else trunk.form)
    tensors: dict[str, Floats] = {
        "mixer.weight": mixer.weight,
        "mixer.threshold": np.array([mixer.threshold], np.float32),
    }
    for name, base_head, learnt_head in zip(manifest.parts, base, learnt, strict=True):
        tensors |= {
            f"base.{name}.weight": base_head.weight,
            f"base.{name}.bias": base_head.bias,
            f"learnt.{name}.weight": learnt_head.weight,
            f"learnt.{name}.bias": learnt_head.bias,
        }
    for side, layers in (("trunk", trunk.layers), ("tuned", trunk.tuned)) if trunk is not None else ():
        for number, layer in enumerate(layers):
            tensors |= {f"{side}.{number}.{name}": tensor for name, tensor in layer.tensors.items()}
    as_float32 = {name: np.asarray(tensor, np.float32) for name, tensor in tensors.items()}
    # One metadata key: safetensors does not promise an order among several.
    return pack_tensors(as_float32, {"ol0": json.dumps(_fields(manifest), sort_keys=True)})


def _fields(manifest: Manifest) -> dict[str, object]:
    """What a manifest does not have it does not name: earlier versions read it, and digests stay."""
    optional = {name for name in (HYSTERESIS, TRUNK) if getattr(manifest, name) is None}
    fields = {name: value for name, value in asdict(manifest).items() if name not in optional}
    if manifest.trunk is not None and not manifest.trunk.tuned:
        del fields[TRUNK]["tuned"]
    return fields


def check_checkpoint_size(dimension: int, choices: Sequence[int]) -> None:
    """Refuses heads whose checkpoint would be too large, before anything is trained or sent.

    Args:
        dimension: D.
        choices: K of every part.

    Raises:
        ConfigError: names D, K, the limit, and how far each of them may go.
    """
    numbers = (MAX_BYTES - HEADER_BYTES) // ITEM_BYTES
    total = sum(choices)
    needed = _numbers(dimension, total)
    if needed > numbers:
        most, widest = (numbers - dimension - 1) // (2 * (dimension + 1)), (numbers - 2 * total - 1) // (2 * total + 1)
        fewer = f"leave experts out (up to {most:,} choices, of all parts together), or " if most > 1 else ""
        raise ConfigError(
            f"D = {dimension:,} features and K = {total:,} choices make a checkpoint of "
            f"{(needed * ITEM_BYTES + HEADER_BYTES) / 1e6:.1f} MB, and {MAX_BYTES / 1e6:.1f} MB is the most: {fewer}"
            f"project the features to fewer (up to {widest:,})"
        )


def _numbers(dimension: int, choices: int) -> int:
    """Base heads and learnt heads, the mixer and its threshold."""
    return 2 * choices * (dimension + 1) + dimension + 1


def read_checkpoint(data: bytes, expected: Digest | None = None) -> Controller:
    """Verifies and opens a checkpoint.

    Raises:
        CheckpointError: too large, not the expected digest, not safetensors, or a tensor is missing, unknown,
            mis-shaped, of another type or not finite; the message names it.
    """
    digest = digest_of(data)
    if is_reference(data):
        raise CheckpointError("this is a reference to a checkpoint: its chunks are in Kafka, and only there it opens")
    if len(data) > MAX_BYTES:
        raise CheckpointError(f"checkpoint {brief(digest)} has {len(data)} bytes; at most {MAX_BYTES} are taken")
    if expected is not None and digest != expected:
        raise CheckpointError(f"checkpoint is {brief(digest)}, not {brief(expected)}: its bytes were changed")
    try:
        header = read_header(data)
        if problems := _problems(header):
            raise CheckpointError(f"checkpoint {brief(digest)}: {'; '.join(problems):.2000}")
        tensors = load(data)
    except (SafetensorError, ValueError) as error:
        raise CheckpointError(f"checkpoint {brief(digest)} cannot be read: {error}") from None
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise CheckpointError(f"checkpoint {brief(digest)}: {name} holds a number that is not finite")
    return _assemble(digest, header.manifest, tensors)


def read_base(path: Path | None) -> Controller:
    """Opens the base that ``serving.base`` names.

    Raises:
        ConfigError: none is named, the file cannot be read, or it is not what ``read_checkpoint`` takes.
    """
    if path is None:
        raise ConfigError("serving.base is not set: `ol0 warmup` writes the file")
    try:
        return read_checkpoint(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"serving.base {path}: {error.strerror}; `ol0 warmup` makes one") from None
    except CheckpointError as error:
        raise ConfigError(f"serving.base {path}: {error}; `ol0 warmup` makes another") from None


def _problems(header: Header) -> list[str]:
    """What is wrong with names and shapes, in words."""
    parts, shapes = header.manifest.parts, header.shapes
    names = {f"{side}.{part}.{kind}" for side in ("base", "learnt") for part in parts for kind in ("weight", "bias")}
    names |= {"mixer.weight", "mixer.threshold"} | _trunk_names(header.manifest.trunk)
    problems = [f"{name} is missing" for name in sorted(names - set(shapes))]
    problems += [f"{name[:80]} is unknown" for name in sorted(set(shapes) - names)][:MAX_NAMED]
    return problems + [problem for name in sorted(names & set(shapes)) if (problem := _flaw(name, shapes))]


def _trunk_names(form: TrunkForm | None) -> set[str]:
    if form is None:
        return set()
    sides = ("trunk", "tuned") if form.tuned else ("trunk",)
    return {f"{side}.{number}.{kind}" for side in sides for number in range(form.layers) for kind in form.tensors}


def _flaw(name: str, shapes: Mapping[str, Shape]) -> str | None:
    """What is wrong with one tensor's shape, in words."""
    expected = _shape(name, shapes)
    if shapes[name] != expected:
        return f"{name} has shape {str(shapes[name])[:80]}, not {expected}"
    return None if all(expected) else f"{name} is empty"


def _shape(name: str, shapes: Mapping[str, Shape]) -> Shape:
    """The mixer's weight gives D, every bias the size of its layer: what every other tensor must agree with."""
    dimension = math.prod(shapes.get("mixer.weight", (0,)))
    if name == "mixer.threshold":
        return (1,)
    if name == "mixer.weight":
        return (dimension,)
    side, part, kind = name.split(".")
    if side in ("trunk", "tuned"):
        return _trunk_shape(int(part), kind, dimension, shapes)
    choices = math.prod(shapes.get(f"base.{part}.bias", (0,)))
    return (choices, dimension) if kind == "weight" else (choices,)


def _trunk_shape(number: int, kind: str, width: int, shapes: Mapping[str, Shape]) -> Shape:
    """Heads see the last layer, once or twice, and beside it what the first one sees."""
    sizes = [math.prod(shapes.get(f"trunk.{layer}.bias", (0,))) for layer in range(MAX_LAYERS)]
    last = next((size for size in reversed(sizes) if size), 0) * (2 if "tuned.0.bias" in shapes else 1)
    below = sizes[number - 1] if number else max(width - last, 0)
    return (sizes[number], below) if kind == "weight" else (sizes[number],)


def _assemble(digest: Digest, manifest: Manifest, tensors: Mapping[str, Floats]) -> Controller:
    base, learnt = (
        tuple(Head(tensors[f"{side}.{part}.weight"], tensors[f"{side}.{part}.bias"]) for part in manifest.parts)
        for side in ("base", "learnt")
    )
    mixer = Mixer(tensors["mixer.weight"], float(tensors["mixer.threshold"][0]))
    return Controller(digest, manifest, base, learnt, mixer, _trunk(manifest.trunk, tensors))


def _trunk(form: TrunkForm | None, tensors: Mapping[str, Floats]) -> Trunk | None:
    if form is None:
        return None
    frozen, tuned = (
        tuple(Layer(*(tensors[f"{side}.{number}.{kind}"] for kind in form.tensors)) for number in range(form.layers))
        for side in ("trunk", "tuned" if form.tuned else "trunk")
    )
    return Trunk(form, frozen, tuned if form.tuned else ())
