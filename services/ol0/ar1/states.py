"""The inputs of AR1's policy: n states, under AR1's names."""

from dataclasses import dataclass

import numpy as np

from ol0.ar1.architecture import ACTION_NUMBERS, Architecture
from ol0.controller.heads import Floats
from ol0.errors import RangeError


@dataclass(frozen=True, slots=True)
class States:
    """n states, float32. AR1's ``chunk_index`` is not among them: with the repair (ADR 7) it has no influence.

    Attributes:
        chunk_summary: content, shape (n, 512).
        retrieval_features: shape (n, 64).
        value_features: shape (n, 32).
        vision_features: shape (n, 768); None: zeros, for prompts without pictures.
        prev_action: expert, scope, span 1.., rank 8/16/32/64 and bias scale of the previous decision, as raw numbers,
            shape (n, 5); rows of NaN, or None for all, where there is no previous decision.
    """

    chunk_summary: Floats
    retrieval_features: Floats
    value_features: Floats
    vision_features: Floats | None = None
    prev_action: Floats | None = None

    def __len__(self) -> int:
        return len(self.chunk_summary)

    def check(self, architecture: Architecture) -> None:
        """Checks shapes and finiteness.

        Raises:
            RangeError: an array does not fit the policy or the others, or holds a number that is not finite.
        """
        arrays = {
            "chunk_summary": (self.chunk_summary, architecture.summary),
            "retrieval_features": (self.retrieval_features, architecture.retrieval),
            "value_features": (self.value_features, architecture.value),
            "vision_features": (self.vision_features, architecture.vision),
            "prev_action": (self.prev_action, ACTION_NUMBERS),
        }
        for name, (array, width) in arrays.items():
            if array is None:
                continue
            if array.shape != (len(self), width):
                raise RangeError(f"{name} has shape {array.shape}; ({len(self)}, {width}) is right")
            known = array[~np.isnan(array).all(axis=1)] if name == "prev_action" else array
            if not np.isfinite(known).all():
                raise RangeError(f"{name} holds a number that is not finite")
