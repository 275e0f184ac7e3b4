"""Hysteresis: a new action replaces the previous one only where it is better by enough, in all its parts or in none."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ol0.controller.heads import Floats


@dataclass(frozen=True, slots=True)
class Hysteresis:
    """A policy setting that every checkpoint of a lineage shares, as AR1 has it.

    Attributes:
        weights: how much each part counts in the score of a change, in the order of the parts; 0 or more.
        tau: what the score must exceed, in nats; 0 or more.
    """

    weights: tuple[float, ...]
    tau: float

    def score(self, scores: tuple[Floats, ...], new: NDArray[np.intp], previous: NDArray[np.intp]) -> Floats:
        """How much better the new action is: the weighted sum over the parts of the difference of their scores.

        Args:
            scores: of every part, shape (n, K) or (K,): logits, or log probabilities, which differ by a constant.
            new: shape (n, parts) or (parts,).
            previous: same.

        Returns:
            Shape (n,), or () for one prompt.
        """
        total = np.zeros(new.shape[:-1])
        for part, (weight, values) in enumerate(zip(self.weights, scores, strict=True)):
            ours, theirs = (np.take_along_axis(values, one[..., part, None], -1)[..., 0] for one in (new, previous))
            total += weight * (ours - theirs)
        return np.asarray(total, np.float32)

    def taken(self, scores: tuple[Floats, ...], new: NDArray[np.intp], previous: NDArray[np.intp]) -> NDArray[np.intp]:
        """The action that is taken: the whole new one where its score exceeds tau, else the previous one."""
        return np.where((self.score(scores, new, previous) > self.tau)[..., None], new, previous)
