"""Which prompts came before: a repeated prompt is not new.

The mixer learns live prompts by heart, so one that comes again scores as if it were unlike all anchors, though it may
be of the oldest kind. Only the first of equal prompts says anything about novelty.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ol0.controller.heads import Floats

BUCKETS = 32_768  # prompts share one when their hashes end alike; the later one takes it
TAGS = 255  # two prompts of one bucket are confused once in so many times

_SEED = 1_179_403_647
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: Knuth, TAOCP 3, 6.4


@dataclass(frozen=True, slots=True)
class KnownPrompts:
    """A table of the last prompts, bounded. Immutable.

    Attributes:
        tags: uint8, shape (buckets,), of the prompt that each bucket saw last; 0: of none.
    """

    tags: NDArray[np.uint8]

    @classmethod
    def none(cls) -> Self:
        """Nothing came yet."""
        return cls(np.zeros(BUCKETS, np.uint8))

    def first_times(self, features: Floats) -> NDArray[np.bool_]:
        """Which of these prompts, shape (n, D), came neither before nor further up among them; shape (n,)."""
        hashes = prompt_hashes(features)
        firsts = np.zeros(len(hashes), np.bool_)
        firsts[np.unique(hashes, return_index=True)[1]] = True
        buckets, tags = _places(hashes)
        return np.asarray(firsts & (self.tags[buckets] != tags))

    def after(self, features: Floats) -> Self:
        """With these prompts, shape (n, D)."""
        buckets, tags = _places(prompt_hashes(features))
        known = self.tags.copy()
        known[buckets] = tags
        return type(self)(known)


def prompt_hashes(features: Floats) -> NDArray[np.uint64]:
    """Equal for equal features, bit for bit, in every process: a sum of products with fixed odd numbers."""
    bits = np.ascontiguousarray(features, np.float32).view(np.uint32)
    odd = np.random.default_rng(_SEED).integers(2**63, size=bits.shape[1], dtype=np.uint64) << np.uint64(1)
    return np.asarray(np.einsum("ij,j->i", bits, odd | np.uint64(1), dtype=np.uint64) * _GOLDEN, np.uint64)


def _places(hashes: NDArray[np.uint64]) -> tuple[NDArray[np.intp], NDArray[np.uint8]]:
    """Bucket and tag, from different bits of the upper half, which are the better ones."""
    buckets = (hashes >> np.uint64(49)).astype(np.intp)
    tags = (hashes >> np.uint64(32)) % np.uint64(TAGS) + np.uint64(1)
    return buckets, tags.astype(np.uint8)
