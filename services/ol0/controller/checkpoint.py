"""A checkpoint: safetensors bytes that hold everything that serving needs, named by their SHA-256.

Nothing here deserialises code. Size, names, types, shapes and finiteness are verified before a tensor is used.
"""

import json
import struct
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from ol0.controller.controller import Controller, Manifest
from ol0.controller.heads import Floats, Head, Mixer
from ol0.errors import CheckpointError, ConfigError
from ol0.records import Digest

MAX_BYTES = 900_000  # a Kafka record of the candidates topic holds 1 MiB


def digest_of(data: bytes) -> Digest:
    """The name of a checkpoint."""
    return Digest(sha256(data).hexdigest())


def write_checkpoint(manifest: Manifest, base: tuple[Head, ...], learnt: tuple[Head, ...], mixer: Mixer) -> bytes:
    """The bytes of a checkpoint; the same arguments give the same bytes."""
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
    contiguous = {name: np.ascontiguousarray(tensor, np.float32) for name, tensor in tensors.items()}
    # One metadata key: safetensors does not promise an order among several.
    return save(contiguous, metadata={"ol0": json.dumps(asdict(manifest), sort_keys=True)})


def read_checkpoint(data: bytes, expected: Digest | None = None) -> Controller:
    """Verifies and opens a checkpoint.

    Raises:
        CheckpointError: too large, not the expected digest, not safetensors, or a tensor is missing, unknown,
            mis-shaped, of another type or not finite; the message names it.
    """
    digest = digest_of(data)
    if len(data) > MAX_BYTES:
        raise CheckpointError(f"checkpoint {digest[:12]} has {len(data)} bytes; at most {MAX_BYTES} are taken")
    if expected is not None and digest != expected:
        raise CheckpointError(f"checkpoint is {digest[:12]}, not {expected[:12]}: its bytes were changed")
    try:
        tensors = load(data)
        manifest = _read_manifest(data)
    except (SafetensorError, ValueError, KeyError, TypeError, struct.error) as error:
        raise CheckpointError(f"checkpoint {digest[:12]} cannot be read: {error}") from None
    return _assemble(digest, manifest, tensors)


def read_base(path: Path | None) -> Controller:
    """Opens the base that ``serving.base`` names.

    Raises:
        ConfigError: none is named, or the file cannot be read.
        CheckpointError: as ``read_checkpoint``.
    """
    if path is None:
        raise ConfigError("serving.base names no file: `ol0 warmup` makes one")
    try:
        return read_checkpoint(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"serving.base {path}: {error.strerror}; `ol0 warmup` makes one") from None


def _read_manifest(data: bytes) -> Manifest:
    """Reads the header, because the numpy API of safetensors drops the metadata: it is a length and a JSON object."""
    (length,) = struct.unpack_from("<Q", data)
    fields = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["ol0"])
    manifest = Manifest(**{**fields, "parts": tuple(fields["parts"])})
    if not manifest.parts or len(set(manifest.parts)) != len(manifest.parts):
        raise ValueError(f"parts {manifest.parts} are empty or repeat")
    if not 0 <= manifest.epsilon < 1:
        raise ValueError(f"epsilon {manifest.epsilon} is not in [0, 1)")
    return manifest


def _assemble(digest: Digest, manifest: Manifest, tensors: dict[str, Floats]) -> Controller:
    names = {f"{side}.{part}.{kind}" for side in ("base", "learnt") for part in manifest.parts for kind in _KINDS}
    names |= {"mixer.weight", "mixer.threshold"}
    problems = [f"{name} is missing" for name in sorted(names - set(tensors))]
    problems += [f"{name} is unknown" for name in sorted(set(tensors) - names)]
    problems += [problem for name in sorted(names & set(tensors)) if (problem := _flaw(name, tensors))]
    if problems:
        raise CheckpointError(f"checkpoint {digest[:12]}: {'; '.join(problems)}")
    base, learnt = (
        tuple(Head(tensors[f"{side}.{part}.weight"], tensors[f"{side}.{part}.bias"]) for part in manifest.parts)
        for side in ("base", "learnt")
    )
    mixer = Mixer(tensors["mixer.weight"], float(tensors["mixer.threshold"][0]))
    return Controller(digest, manifest, base, learnt, mixer)


_KINDS = ("weight", "bias")


def _flaw(name: str, tensors: dict[str, Floats]) -> str | None:
    """What is wrong with one tensor, in words."""
    tensor = tensors[name]
    if tensor.dtype != np.float32:
        return f"{name} is {tensor.dtype}, not float32"
    expected = _shape(name, tensors)
    if tensor.shape != expected:
        return f"{name} has shape {tensor.shape}, not {expected}"
    return None if np.isfinite(tensor).all() else f"{name} holds a number that is not finite"


def _shape(name: str, tensors: dict[str, Floats]) -> tuple[int, ...]:
    """The mixer's weight gives D, the base's bias gives K: what every other tensor must agree with."""
    dimension = tensors["mixer.weight"].size if "mixer.weight" in tensors else 0
    if name == "mixer.threshold":
        return (1,)
    if name == "mixer.weight":
        return (dimension,)
    _, part, kind = name.split(".")
    bias = tensors.get(f"base.{part}.bias")
    choices = 0 if bias is None else bias.size
    return (choices, dimension) if kind == "weight" else (choices,)
