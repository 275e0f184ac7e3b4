"""States and logged decisions for the small policy of tests/data/ar1."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ol0.ar1.checkpoint import AR1Checkpoint, read_ar1
from ol0.ar1.encoder import AR1Encoder
from ol0.ar1.policy import AR1Heads, to_raw
from ol0.ar1.states import States
from ol0.controller.heads import Floats
from unit.ar1.torch_files import DATA

SMALL = DATA / "pg_final_policy.pt"


def small_policy() -> tuple[AR1Checkpoint, AR1Encoder, AR1Heads]:
    checkpoint = read_ar1(SMALL)
    encoder = AR1Encoder(checkpoint.architecture, checkpoint.tensors, "f" * 64)
    return checkpoint, encoder, AR1Heads.of(checkpoint.tensors)


def made_up_states(count: int, seed: int) -> States:
    rng = np.random.default_rng(seed)

    def normal(width: int) -> Floats:
        return rng.normal(size=(count, width)).astype(np.float32)

    return States(normal(24), normal(6), normal(5), normal(10))


def write_calibration(
    path: Path, count: int = 400, seed: int = 0, wrong: float = 0.02, *, changes: Mapping[str, object] | None = None
) -> Path:
    """What the small policy chose for made-up states; people liked most of it, and what was not its choice less."""
    rng = np.random.default_rng(seed)
    states = made_up_states(count, seed)
    _, encoder, heads = small_policy()
    features = encoder.encode(states)
    actions = np.stack([values.argmax(axis=1) for values in heads.logits(features)], axis=1)
    other = rng.random(count) < wrong
    actions[other, 0] = (actions[other, 0] + 1) % 3
    arrays: dict[str, object] = {
        "chunk_summary": states.chunk_summary,
        "retrieval_features": states.retrieval_features,
        "value_features": states.value_features,
        "vision_features": states.vision_features,
        "action": to_raw(actions, heads.bias_scale(features)),
        "reward": np.where(rng.random(count) < np.where(other, 0.3, 0.8), 1.0, 0.0),
        **(changes or {}),
    }
    np.savez(path, **{name: np.asarray(array) for name, array in arrays.items() if array is not None})  # type: ignore[arg-type]
    return path
