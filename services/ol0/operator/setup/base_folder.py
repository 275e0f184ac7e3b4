"""A folder that holds a base, its canary suite and its anchors: what ``ol0 base`` writes and ``ol0 warmup`` takes."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from ol0.controller.checkpoint import read_checkpoint
from ol0.controller.controller import Controller
from ol0.controller.exploration import Draw
from ol0.controller.packing import pack_tensors
from ol0.controller.suite import Suite, read_suite
from ol0.controller.warmup import Anchor, Warmup, log_anchor
from ol0.errors import CheckpointError, ConfigError
from ol0.operator.setup.base_from_labels import write_labelled_suite
from ol0.operator.setup.prompts import Prompts

BASE: Final = "base.safetensors"
SUITE: Final = "suite.safetensors"
ANCHORS: Final = "anchors.safetensors"
CHOICES: Final = "choices.json"


@dataclass(frozen=True)
class SavedBase:
    """What a folder holds.

    Attributes:
        controller: the base.
        warmup: the base's bytes, the anchors, and its share of the suite's value; 0 without a suite.
        suite: None where the folder has none.
    """

    controller: Controller
    warmup: Warmup
    suite: Suite | None


def write_base(
    folder: Path, data: bytes, anchors: Sequence[Anchor], suite: Prompts | None, names: Sequence[str]
) -> None:
    """Writes what there is."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / BASE).write_bytes(data)
    if anchors:
        (folder / ANCHORS).write_bytes(pack_anchors(anchors))
    if suite is not None:
        write_labelled_suite(suite, folder / SUITE)
    if names:
        (folder / CHOICES).write_text(json.dumps(list(names), indent=1) + "\n", encoding="utf-8")


def read_saved_base(folder: Path) -> SavedBase:
    """Opens a folder.

    Raises:
        ConfigError: it has no base, or a file in it is not what it should be.
    """
    try:
        data = (folder / BASE).read_bytes()
        base = read_checkpoint(data)
    except OSError as error:
        raise ConfigError(f"{folder / BASE}: {error.strerror}; `ol0 base` makes one") from None
    except CheckpointError as error:
        raise ConfigError(f"{folder / BASE}: {error}; `ol0 base` makes another") from None
    suite = read_suite(folder / SUITE) if (folder / SUITE).exists() else None
    if suite is not None and (flaw := suite.misfit(base)):
        raise ConfigError(f"{folder / SUITE}: {flaw}; `ol0 base` writes both again")
    anchors = unpack_anchors(base, folder / ANCHORS) if (folder / ANCHORS).exists() else ()
    share = 0.0 if suite is None else suite.share(base)
    return SavedBase(base, Warmup(data, anchors, share), suite)


def pack_anchors(anchors: Sequence[Anchor]) -> bytes:
    """Safetensors bytes: what differs from anchor to anchor."""
    decisions = [anchor.decision for anchor in anchors]
    groups = json.dumps([decision.group for decision in decisions]).encode()
    return pack_tensors(
        {
            "features": np.stack([decision.feature_vector() for decision in decisions]).astype(np.float32),
            "actions": np.array([decision.action for decision in decisions], np.int64),
            "propensities": np.array([decision.propensity for decision in decisions], np.float64),
            "rewards": np.array([anchor.reward for anchor in anchors], np.float64),
            "groups": np.frombuffer(groups, np.uint8),
        }
    )


def unpack_anchors(base: Controller, path: Path) -> tuple[Anchor, ...]:
    """The inverse, as decisions of this base: the same file gives the same decisions.

    Raises:
        ConfigError: it holds something else.
    """
    try:
        held = load(path.read_bytes())
        draws = zip(held["actions"].tolist(), held["propensities"].tolist(), strict=True)
        rewards, groups = held["rewards"].tolist(), json.loads(held["groups"].tobytes())
        rows = zip(held["features"], draws, rewards, groups, strict=True)
        rng = Random(0)  # noqa: S311 - names, no secret
        return tuple(
            log_anchor(
                base, number, features, Draw(tuple(action), tuple(odds)), reward=float(reward), group=group, rng=rng
            )
            for number, (features, (action, odds), reward, group) in enumerate(rows)
        )
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise ConfigError(f"{path} holds no anchors: {error}; `ol0 base` writes them again") from None
