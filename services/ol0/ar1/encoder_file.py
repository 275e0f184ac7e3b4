"""The encoder's own file: written once at warm-up, named in every checkpoint of the lineage by its SHA-256.

A checkpoint on Kafka holds only the heads. The parts that never change stay in ``encoder.safetensors``:
the encoder and AR1's bias and value heads, by AR1's names, float32.
"""

from pathlib import Path
from typing import Final

from safetensors import SafetensorError
from safetensors.numpy import load

from ol0.ar1.architecture import BUFFERS, PARTS, Architecture
from ol0.ar1.checkpoint import AR1Checkpoint, flaws, not_finite
from ol0.ar1.encoder import AR1Encoder
from ol0.controller.checkpoint import digest_of
from ol0.controller.packing import pack_tensors
from ol0.errors import CheckpointError
from ol0.records import brief

TRAINED: Final = frozenset(f"{part}_head.{kind}" for part in PARTS for kind in ("weight", "bias"))


def write_encoder(checkpoint: AR1Checkpoint) -> bytes:
    """Returns the bytes of ``encoder.safetensors``. The same policy gives the same bytes."""
    kept = {name: tensor for name, tensor in checkpoint.tensors.items() if name not in TRAINED | BUFFERS}
    return pack_tensors(kept)


def read_encoder(path: Path, expected: str | None = None) -> AR1Encoder:
    """Opens ``encoder.safetensors``.

    Args:
        path: of the file.
        expected: its fingerprint in the manifest of the controller that reads its features; None: any.

    Raises:
        CheckpointError: the file cannot be read, is another encoder, or has the wrong tensors.
    """
    try:
        data = path.read_bytes()
        tensors = load(data)
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}; `ol0 warmup` writes it") from None
    except SafetensorError as error:
        raise CheckpointError(f"{path} is no safetensors file: {error}") from None
    fingerprint = digest_of(data)
    if expected is not None and fingerprint != expected:
        raise CheckpointError(
            f"{path} is encoder {brief(fingerprint)}; the controller reads the features of {brief(expected)}"
        )
    architecture = Architecture.of({name: tensor.shape for name, tensor in tensors.items()})
    shapes = {name: shape for name, shape in architecture.shapes().items() if name not in TRAINED | BUFFERS}
    problems = list(flaws(tensors, shapes)) or list(not_finite(tensors))
    if problems:
        raise CheckpointError(f"{path}: {'; '.join(problems)}")
    return AR1Encoder(architecture, tensors, fingerprint)
