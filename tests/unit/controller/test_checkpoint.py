import json
import re
import struct

import numpy as np
import pytest
from safetensors.numpy import load, save

from ol0.controller.checkpoint import check_checkpoint_size, digest_of, read_checkpoint, write_checkpoint
from ol0.controller.chunks import MAX_BYTES
from ol0.controller.controller import Manifest
from ol0.controller.heads import Head, Mixer
from ol0.controller.warmup import base_checkpoint
from ol0.errors import CheckpointError, ConfigError
from ol0.records import Digest

MANIFEST = Manifest(base=None, parent=None, step=0, parts=("expert", "scope"), epsilon=0.1)


def heads(seed: int) -> tuple[Head, ...]:
    rng = np.random.default_rng(seed)
    return tuple(
        Head(rng.normal(size=(choices, 6)).astype(np.float32), rng.normal(size=choices).astype(np.float32))
        for choices in (4, 2)
    )


def a_checkpoint() -> bytes:
    mixer = Mixer(np.linspace(-1, 1, 6, dtype=np.float32), 0.5)
    return write_checkpoint(MANIFEST, heads(0), heads(1), mixer)


def tampered(**changes: object) -> bytes:
    """The same checkpoint with tensors replaced (None: left out)."""
    data = a_checkpoint()
    tensors: dict[str, object] = {**load(data), **{name.replace("__", "."): value for name, value in changes.items()}}
    kept = {name: np.asarray(tensor) for name, tensor in tensors.items() if tensor is not None}
    (length,) = struct.unpack_from("<Q", data)
    return save(kept, metadata=json.loads(data[8 : 8 + length])["__metadata__"])


def test_what_is_written_is_read_back_and_named_by_its_digest() -> None:
    data = a_checkpoint()
    controller = read_checkpoint(data, digest_of(data))
    assert controller.manifest == MANIFEST
    assert controller.digest == digest_of(data)
    np.testing.assert_array_equal(controller.learnt[1].weight, heads(1)[1].weight)
    assert controller.mixer.threshold == 0.5


def test_the_same_heads_give_the_same_bytes() -> None:
    assert a_checkpoint() == a_checkpoint()


def test_changed_bytes_are_refused_by_digest() -> None:
    data = a_checkpoint()
    with pytest.raises(CheckpointError, match="its bytes were changed"):
        read_checkpoint(data[:-1] + b"\x00", digest_of(data))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"learnt__scope__bias": None}, r"learnt\.scope\.bias is missing"),
        ({"extra": np.zeros(1, np.float32)}, "extra is unknown"),
        ({"learnt__expert__weight": np.zeros((4, 5), np.float32)}, r"learnt\.expert\.weight has shape \(4, 5\)"),
        ({"base__expert__weight": np.zeros((4, 6), np.float64)}, r"base\.expert\.weight is F64, not F32"),
        ({"mixer__weight": np.full(6, np.nan, np.float32)}, r"mixer\.weight holds a number that is not finite"),
        ({"mixer__threshold": np.array([np.inf], np.float32)}, r"mixer\.threshold holds a number that is not finite"),
    ],
)
def test_every_flaw_is_named(changes: dict[str, object], complaint: str) -> None:
    with pytest.raises(CheckpointError, match=complaint):
        read_checkpoint(tampered(**changes))


@pytest.mark.parametrize("data", [b"", b"\x00" * 7, b"\xff" * 64, a_checkpoint()[:200], b"\x80\x04pickle"])
def test_garbage_is_a_checkpoint_error(data: bytes) -> None:
    with pytest.raises(CheckpointError):
        read_checkpoint(data)


def test_a_checkpoint_without_a_manifest_is_refused() -> None:
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_checkpoint(save(load(a_checkpoint())))


def test_a_checkpoint_larger_than_a_record_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(CheckpointError, match="at most"):
        read_checkpoint(b"\x00" * (MAX_BYTES + 1), Digest("0" * 64))


def test_64_choices_over_4096_features_are_taken() -> None:
    head = Head(np.ones((64, 4_096), np.float32), np.ones(64, np.float32))
    assert read_checkpoint(base_checkpoint(("expert",), (head,), 0.1)).choices == (64,)


@pytest.mark.parametrize("dimension", [384, 1_024, 1_536, 4_096])
def test_heads_are_refused_with_what_would_fit_and_that_fits(dimension: int) -> None:
    with pytest.raises(ConfigError, match=r"up to [\d,]+ choices.*up to [\d,]+\)") as refusal:
        check_checkpoint_size(dimension, [30_000])
    most, widest = (int(found.replace(",", "")) for found in re.findall(r"up to ([\d,]+)", str(refusal.value)))
    check_checkpoint_size(widest, [30_000])
    head = Head(np.zeros((most, dimension), np.float32), np.zeros(most, np.float32))
    assert MAX_BYTES * 0.95 < len(base_checkpoint(("expert",), (head,), 0.1)) <= MAX_BYTES
    one_more = Head(np.zeros((most + 1, dimension), np.float32), np.zeros(most + 1, np.float32))
    with pytest.raises(ConfigError, match=f"D = {dimension:,} features and K = {most + 1:,} choices"):
        base_checkpoint(("expert",), (one_more,), 0.1)
