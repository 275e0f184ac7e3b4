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
from ol0.controller.header import HYSTERESIS, ITEM_BYTES, TRUNK, Header, read_header
from ol0.controller.heads import Floats, Head, Mixer
from ol0.controller.operations import Shape
from ol0.controller.packing import pack_tensors
from ol0.controller.trunk import Trunk
from ol0.controller.trunk_form import TrunkForm, names_of, shapes_of
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
    for side, held in (("trunk", trunk.tensors), ("tuned", trunk.tuned)) if trunk is not None else ():
        tensors |= {f"{side}.{name}": tensor for name, tensor in held.items()}
    as_float32 = {name: np.asarray(tensor, np.float32) for name, tensor in tensors.items()}
    # One metadata key: safetensors does not promise an order among several.
    return pack_tensors(as_float32, {"ol0": json.dumps(_fields(manifest), sort_keys=True)})


def _fields(manifest: Manifest) -> dict[str, object]:
    """What a manifest does not have it does not name: earlier versions read it, and digests stay."""
    optional = {name for name in (HYSTERESIS, TRUNK) if getattr(manifest, name) is None}
    fields = {name: value for name, value in asdict(manifest).items() if name not in optional}
    if manifest.trunk is not None:
        fields[TRUNK] = manifest.trunk.fields
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
    form, parts, shapes = header.manifest.trunk, header.manifest.parts, header.shapes
    names = {f"{side}.{part}.{kind}" for side in ("base", "learnt") for part in parts for kind in ("weight", "bias")}
    names |= {"mixer.weight", "mixer.threshold"}
    hidden = set() if form is None else {f"trunk.{name}" for name in names_of(form.nodes)}
    tuned = set() if form is None else {f"tuned.{name}" for name in form.trainable}
    wanted = names | hidden | tuned
    problems = [f"{name:.80} is missing" for name in sorted(wanted - set(shapes))]
    problems += [f"{name[:80]} is unknown" for name in sorted(set(shapes) - wanted)][:MAX_NAMED]
    problems += [problem for name in sorted(names & set(shapes)) if (problem := _flaw(name, shapes))]
    if form is not None and not problems:
        problems += _trunk_flaws(form, shapes)
    return problems


def _trunk_flaws(form: TrunkForm, shapes: Mapping[str, Shape]) -> list[str]:
    """What is wrong with the shapes of hidden layers, in words; nothing is computed for it."""
    tensors = {name: shapes[f"trunk.{name}"] for name in names_of(form.nodes)}
    for name in form.trainable:
        if shapes[f"tuned.{name}"] != tensors[name]:
            return [f"tuned.{name} has shape {str(shapes[f'tuned.{name}'])[:80]}, not {tensors[name]}"]
    try:
        (features,), *_, hidden = shapes_of(form.nodes, form.dimension(tensors), tensors)
    except ValueError as error:
        return [f"trunk: {error}"]
    (seen,) = shapes["mixer.weight"]
    if len(hidden) != 1 or (2 if form.trainable else 1) * hidden[0] + features != seen:
        return [f"the trunk makes {hidden} of {features} features; with them, that is not the {seen} that heads see"]
    return []


def _flaw(name: str, shapes: Mapping[str, Shape]) -> str | None:
    """What is wrong with one tensor's shape, in words."""
    expected = _shape(name, shapes)
    if shapes[name] != expected:
        return f"{name} has shape {str(shapes[name])[:80]}, not {expected}"
    return None if all(expected) else f"{name} is empty"


def _shape(name: str, shapes: Mapping[str, Shape]) -> Shape:
    """The mixer's weight gives D, a base's bias K of its part: what every other tensor must agree with."""
    dimension = math.prod(shapes.get("mixer.weight", (0,)))
    if name == "mixer.threshold":
        return (1,)
    if name == "mixer.weight":
        return (dimension,)
    _, part, kind = name.split(".")
    choices = math.prod(shapes.get(f"base.{part}.bias", (0,)))
    return (choices, dimension) if kind == "weight" else (choices,)


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
        {name: tensors[f"{side}.{name}"] for name in names}
        for side, names in (("trunk", names_of(form.nodes)), ("tuned", form.trainable))
    )
    return Trunk(form, frozen, tuned)
