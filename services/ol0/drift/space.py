"""The space that prompts live in, as far as the anchors show it: what looks as if it came from another one?

New *kinds* of prompts are what a learner is for. They lie elsewhere in the same space, and in it the nearest of some
hundred anchors is still nearer than chance: two texts share a language, a length, a tone. When the embedder itself is
another one, every prompt, old or new, lies as an unrelated vector would. How near that is, is measured on the anchors
themselves: turned at random they are such vectors, of just this length and spread.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ol0.controller.heads import Floats

ANCHORS: Final = 1_024  # to compare a prompt with: a tenth of a millisecond at 384 features
TURNED: Final = 256  # anchors that are turned at a time
TURNS: Final = 8
CHANCE: Final = 0.95  # of unrelated vectors, the share that lies further than the limit
OWN: Final = 0.05  # of the anchors, the largest share that may lie further from the others than the limit
TELLING: Final = 0.7  # of unrelated vectors, the share that must lie beyond the limit, else it tells nothing
SCALE: Final = 3.0  # times the longest anchor, or a third of the shortest: beyond, lengths are in other units
FEWEST: Final = 20  # anchors, that quantiles mean anything
DENSE: Final = 0.5  # of the coordinates, the share whose values rarely repeat
COMMONEST: Final = 0.1  # a coordinate that is often the same says nothing when it is constant
STILL: Final = 8  # samples in a row: chance does that once in 10^8


class Strange(StrEnum):
    """What is wrong with one prompt."""

    FAR = "far"
    LENGTH = "length"
    STILL = "still"


class Space:
    """What the anchors say of the space that prompts live in.

    Among features of few values, such as one-hot codes, a new kind may be as far as another space, and a prompt may
    come many times: there lengths alone are looked at.

    Args:
        features: of the anchors, shape (n, D): the canary suite's.
    """

    def __init__(self, features: Floats) -> None:
        rows = np.linspace(0, len(features) - 1, min(len(features), ANCHORS)).astype(np.intp)
        anchors = features[np.unique(rows)]
        lengths = np.linalg.norm(anchors, axis=1)
        self.shortest, self.longest = float(lengths.min()) / SCALE, float(lengths.max()) * SCALE
        self._directions = _unit(anchors)
        moving = np.array([_commonest(column) <= COMMONEST for column in anchors.T])
        self._dense = len(anchors) >= FEWEST and bool(moving.mean() >= DENSE)
        self._moving = moving & self._dense
        self.limit = self._limit(anchors) if self._dense else None

    @property
    def dimension(self) -> int:
        """Numbers of a prompt."""
        return int(self._directions.shape[1])

    @property
    def anchors(self) -> int:
        """How many anchors a prompt is compared with."""
        return len(self._directions)

    def strange(self, features: Floats, still: NDArray[np.integer]) -> Strange | None:
        """What is wrong with a prompt, shape (D,); ``still``: for how many samples each coordinate has not moved."""
        length = float(np.linalg.norm(features))
        if not self.shortest <= length <= self.longest:
            return Strange.LENGTH
        if np.any(still[self._moving] >= STILL):
            return Strange.STILL
        if self.limit is not None and float((self._directions @ features).max()) < self.limit * length:
            return Strange.FAR
        return None

    def _limit(self, anchors: Floats) -> float | None:
        """The cosine to the nearest anchor below which a prompt looks unrelated; None where that tells nothing."""
        likeness = self._directions @ self._directions.T
        np.fill_diagonal(likeness, -1)
        unrelated = np.concatenate([self._nearest(turned) for turned in _turned(anchors)])
        limit = min(np.quantile(unrelated, CHANCE), np.quantile(likeness.max(axis=1), OWN))
        return float(limit) if np.mean(unrelated < limit) >= TELLING else None

    def _nearest(self, features: Floats) -> Floats:
        """Cosine of each row, shape (n, D), to its nearest anchor, shape (n,)."""
        return np.asarray((_unit(features) @ self._directions.T).max(axis=1))


def _unit(features: Floats) -> Floats:
    """Rows of length 1; zeros stay."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.maximum(lengths, np.finfo(np.float32).tiny), np.float32)


def _commonest(values: Floats) -> float:
    """Share of the commonest of these values."""
    return float(np.unique(values, return_counts=True)[1].max()) / len(values)


def _turned(anchors: Floats) -> Iterator[Floats]:
    """Unrelated vectors of the anchors' lengths and spread, by random rotations.

    Signs at random and Hartley's transform, twice: an orthogonal map that leaves no direction where it was, at the cost
    of a Fourier transform, where a matrix of 4,096 features squared would take minutes to draw.
    """
    draws = np.random.default_rng(0)
    for _ in range(TURNS):
        turned = anchors[draws.permutation(len(anchors))[:TURNED]]
        for _ in range(2):
            waves = np.fft.fft(turned * draws.choice([-1, 1], anchors.shape[1]), norm="ortho")
            turned = np.asarray(waves.real - waves.imag, np.float32)
        yield turned
