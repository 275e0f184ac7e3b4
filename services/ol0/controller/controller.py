"""What serves: base heads, learnt heads and a mixer, named by the digest of the checkpoint they came from."""

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ol0.controller.heads import Floats, Head, Mixer, sigmoid, softmax
from ol0.controller.hysteresis import Hysteresis
from ol0.controller.trunk import Trunk
from ol0.controller.trunk_form import TrunkForm
from ol0.records import Digest

Actions = NDArray[np.intp]
SMALLEST = np.finfo(np.float32).tiny
"""A share that is 0 in float32 has no logarithm."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a checkpoint says of itself, besides its tensors.

    Attributes:
        base: digest of the base; None in the base itself.
        parent: digest of the release that it was trained from; None in the base.
        step: counts the candidates of a lineage; 0 is the base.
        parts: names of the parts of an action, in order.
        epsilon: exploration, a policy setting that every checkpoint of a lineage shares.
        encoder: fingerprint of the encoder whose outputs are the features; None where features come in ready.
        hysteresis: when a decision leaves the previous action, shared like epsilon; None: it never looks back.
        trunk: form of the hidden layers below the heads, shared like epsilon; None: heads see the features.
    """

    base: Digest | None
    parent: Digest | None
    step: int
    parts: tuple[str, ...]
    epsilon: float
    encoder: str | None = None
    hysteresis: Hysteresis | None = None
    trunk: TrunkForm | None = None


@dataclass(frozen=True, slots=True)
class Controller:
    """One immutable controller. ``policy`` is the whole of its mathematics; serving is greedy on it.

    All heads and the mixer are stacked into one matrix, so that a decision costs one matrix-vector product, and those
    of the trunk where there is one.
    """

    digest: Digest
    manifest: Manifest
    base: tuple[Head, ...]
    learnt: tuple[Head, ...]
    mixer: Mixer
    trunk: Trunk | None = None
    _weight: Floats = field(init=False, repr=False, compare=False)
    _bias: Floats = field(init=False, repr=False, compare=False)
    _bounds: tuple[tuple[int, int], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        heads = (*self.base, *self.learnt)
        weight = np.concatenate([*(head.weight for head in heads), self.mixer.weight[None, :]])
        bias = np.concatenate([*(head.bias for head in heads), np.array([-self.mixer.threshold], np.float32)])
        edges = np.cumsum([0, *(head.choices for head in heads)])
        object.__setattr__(self, "_weight", np.ascontiguousarray(weight.T))
        object.__setattr__(self, "_bias", bias)
        object.__setattr__(self, "_bounds", tuple((int(start), int(stop)) for start, stop in pairwise(edges)))

    @property
    def dimension(self) -> int:
        """D, the number of features."""
        return int(self._weight.shape[0]) if self.trunk is None else self.trunk.dimension

    @property
    def choices(self) -> tuple[int, ...]:
        """K of every part."""
        return tuple(head.choices for head in self.base)

    @property
    def above_trunk(self) -> Self:
        """The same heads as a controller of what the trunk makes of features: see ``inputs``."""
        return self if self.trunk is None else replace(self, trunk=None, manifest=replace(self.manifest, trunk=None))

    def inputs(self, features: Floats) -> Floats:
        """What the heads and the mixer see of features (n, D) or (D,): the features themselves without a trunk."""
        return features if self.trunk is None else self.trunk(features)

    def policy(self, features: Floats) -> tuple[Floats, ...]:
        """The policy: pi = (1 - g) softmax(W0 h) + g softmax(W h), part by part.

        Args:
            features: shape (n, D) or (D,).

        Returns:
            One array of shape (n, K) or (K,) per part; each row sums to 1.
        """
        scores = self.inputs(features) @ self._weight + self._bias
        gate = sigmoid(scores[..., -1:])
        parts = len(self.base)
        return tuple(
            (1 - gate) * softmax(scores[..., base[0] : base[1]]) + gate * softmax(scores[..., learnt[0] : learnt[1]])
            for base, learnt in zip(self._bounds[:parts], self._bounds[parts:], strict=True)
        )

    def greedy(self, features: Floats, previous: Actions | None = None) -> Actions:
        """The action that serving takes but for exploration: shape (n, parts), or (parts,) for one prompt.

        Args:
            features: shape (n, D) or (D,).
            previous: the actions before these, of the result's shape; None, or a manifest without hysteresis: the best
                choice of every part.
        """
        shares = self.policy(features)
        best = np.stack([pi.argmax(axis=-1) for pi in shares], axis=-1)
        hysteresis = self.manifest.hysteresis
        if previous is None or hysteresis is None:
            return best
        # Where the mixer is closed, differences of log pi are those of the base's logits: AR1's own score.
        logs = tuple(np.log(np.maximum(pi, SMALLEST)) for pi in shares)
        return hysteresis.taken(logs, best, previous)
