"""Fewer directions than features: a fit costs the cube of their number for each expert."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from ol0.controller.heads import Floats

ROWS = 2_048  # enough for a subspace of a tenth as many directions
EXTRA = 8  # directions that are sought beyond those that are kept
ROUNDS = 2
MOST = 384  # directions: a fit multiplies every example by itself, too
WORK = 5.7e8  # multiplications of an inverse for each choice: all 384 directions for ten choices, 200 for seventy


@dataclass(frozen=True, slots=True)
class Basis:
    """The directions in which prompts vary most, and the unit of length.

    Attributes:
        directions: shape (D, r), orthonormal, divided by the root mean square length of the prompts.
    """

    directions: Floats

    @classmethod
    def of(cls, rank: int, *features: Floats) -> Self:
        """Of prompts, each (n, D), through a random subspace; with D <= rank, all as they come, but for their scale.

        References:
            Halko, Martinsson and Tropp, "Finding structure with randomness", SIAM Review 53, 2011.
        """
        count, dimension = sum(map(len, features)), features[0].shape[1]
        squares = sum(float(np.einsum("ij,ij->i", it, it).sum(dtype=np.float64)) for it in features)
        length = np.float32(max(float(np.sqrt(squares / count)), 1e-12))
        if dimension <= rank:
            return cls(np.asarray(np.eye(dimension) / length, np.float32))
        taken, start, parts = np.linspace(0, count - 1, min(ROWS, count)).astype(int), 0, []
        for it in features:
            parts.append(it[taken[(taken >= start) & (taken < start + len(it))] - start])
            start += len(it)
        rows = np.concatenate(parts)
        found = np.random.default_rng(0).standard_normal((dimension, rank + EXTRA), dtype=np.float32)
        for _ in range(ROUNDS):
            found, _ = np.linalg.qr(rows.T @ (rows @ found))
        _, _, turn = np.linalg.svd(rows @ found, full_matrices=False)
        return cls(np.ascontiguousarray(found @ turn[:rank].T / length, np.float32))

    def inside(self, features: Floats) -> Floats:
        """Shape (n, D) to (n, r)."""
        dimension, rank = self.directions.shape
        if dimension == rank:  # the features themselves
            return np.asarray(features * self.directions[0, 0])
        return np.asarray(features @ self.directions)


def rank_for(choices: int) -> int:
    """How many directions a fit of so many choices, of all parts, can afford: its cost is the cube of it for each."""
    return min(MOST, int((WORK / choices) ** (1 / 3)))
