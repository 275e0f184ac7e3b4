"""Anchors: the yardstick of every update and of the mixer."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from ol0.learning.batch import Batch


@dataclass(frozen=True, slots=True)
class AnchorSet:
    """Logged decisions of the base on its own prompts.

    Attributes:
        logged: all anchors, in the order of the replay store.
        train: anchors for updates.
        held_out: anchors for calibration and measurement only.
    """

    logged: Batch
    train: Batch
    held_out: Batch

    @classmethod
    def split(cls, logged: Batch, held_out_share: float, seed: int) -> Self:
        """Holds out a random share. The same anchors and seed give the same split after every restart."""
        order = np.random.default_rng(seed).permutation(len(logged))
        kept = len(logged) - int(held_out_share * len(logged))
        return cls(logged, logged.take(np.sort(order[:kept])), logged.take(np.sort(order[kept:])))
