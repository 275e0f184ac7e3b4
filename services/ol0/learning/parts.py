"""Several heads as one matrix: one product serves all parts of an action."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ol0.controller.controller import Actions
from ol0.controller.heads import Floats, Head


@dataclass(frozen=True, slots=True)
class Parts:
    """The columns of each part in a stacked matrix.

    The heads of an action of parts k = 1..m lie side by side in one matrix of shape (D + 1, K), K = K_1 + ... + K_m:
    rows are features, and the last row is the bias, for a feature that is always 1. Everything of shape (n, K) below
    (logits, probabilities, rewards by action) has the same columns.

    Attributes:
        choices: K_k of every part, in the order of the action.
        starts: first column of every part, shape (m,).
    """

    choices: tuple[int, ...]
    starts: NDArray[np.intp] = field(init=False, repr=False, compare=False)
    _slices: tuple[slice, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        edges = np.cumsum([0, *self.choices])
        object.__setattr__(self, "starts", edges[:-1].astype(np.intp))
        object.__setattr__(self, "_slices", tuple(slice(int(a), int(b)) for a, b in pairwise(edges)))

    def log_softmax(self, logits: Floats) -> Floats:
        """Logarithm of the softmax within each part, shape (n, K). No probability underflows to 0."""
        out = np.empty_like(logits)
        for part in self._slices:
            shifted = logits[:, part] - logits[:, part].max(axis=1, keepdims=True)
            out[:, part] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        return out

    def sums(self, values: Floats) -> Floats:
        """Sum over the choices of each part: (n, K) to (n, m)."""
        return np.add.reduceat(values, self.starts, axis=1)

    def spread(self, values: Floats) -> Floats:
        """Repeats the value of each part for all its choices: (n, m) to (n, K)."""
        return np.repeat(values, self.choices, axis=1)

    def columns(self, actions: Actions) -> Actions:
        """The columns of the taken choices, shape (n, m)."""
        return actions + self.starts

    def stack(self, heads: Sequence[Head]) -> Floats:
        """Stacks heads of shapes (K_k, D) and (K_k,) into one matrix (D + 1, K)."""
        weight = np.concatenate([head.weight for head in heads])
        bias = np.concatenate([head.bias for head in heads])
        return np.ascontiguousarray(np.vstack([weight.T, bias]))

    def unstack(self, stacked: Floats) -> tuple[Head, ...]:
        """The inverse of ``stack``."""
        return tuple(
            Head(np.ascontiguousarray(stacked[:-1, part].T), stacked[-1, part].copy()) for part in self._slices
        )


def with_bias(features: Floats) -> Floats:
    """Appends the feature that is always 1: (n, D) to (n, D + 1)."""
    out = np.ones((features.shape[0], features.shape[1] + 1), features.dtype)
    out[:, :-1] = features
    return out
