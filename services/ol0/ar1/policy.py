"""AR1's heads on the encoder's features, and how AR1 chooses: four softmaxes, then hysteresis.

The learner trains copies of the four heads; bias and value stay unchanged.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from ol0.ar1.architecture import PARTS, RANKS, Architecture
from ol0.ar1.encoder import Linear
from ol0.controller.controller import Actions
from ol0.controller.heads import Floats, Head, sigmoid
from ol0.controller.hysteresis import Hysteresis

WEIGHTS: Final = (0.4, 0.2, 0.2, 0.2)
"""Weight of each part in the score of a change: expert, scope, span, rank."""
TAU: Final = 0.5  # AR1's default hysteresis_tau; no file holds it
SERVING_TEMPERATURE: Final = 0.1  # AR1's router takes the argmax of logits / T
SERVED: Final = Hysteresis(WEIGHTS, TAU * SERVING_TEMPERATURE)
"""As in AR1's router: logits / T exceed tau where logits exceed tau T."""
BIAS_SHARE: Final = 0.2  # the bias scale changes only by more than this share of tau
BIAS_LOW, BIAS_RANGE = 0.1, 1.9


@dataclass(frozen=True, slots=True)
class AR1Heads:
    """The six heads.

    Attributes:
        parts: expert, scope, span, rank.
        bias: of the bias scale, one output.
        value: of the state value, one output.
    """

    parts: tuple[Head, ...]
    bias: Linear
    value: Linear

    @classmethod
    def of(cls, tensors: Mapping[str, Floats]) -> Self:
        """The heads among a policy's tensors."""
        parts = tuple(Head(tensors[f"{part}_head.weight"], tensors[f"{part}_head.bias"]) for part in PARTS)
        return cls(parts, Linear.of(tensors, "bias_head"), Linear.of(tensors, "value_head"))

    def logits(self, features: Floats) -> tuple[Floats, ...]:
        """Of every part: (n, hidden) to (n, K)."""
        return tuple(head.logits(features) for head in self.parts)

    def bias_scale(self, features: Floats) -> Floats:
        """1.9 sigmoid + 0.1, within (0.1, 2): (n, hidden) to (n,)."""
        return BIAS_RANGE * sigmoid(self.bias(features)[:, 0]) + np.float32(BIAS_LOW)

    def state_value(self, features: Floats) -> Floats:
        """Unclipped: (n, hidden) to (n,)."""
        return self.value(features)[:, 0]


def bias_with_hysteresis(new: Floats, previous: Floats, tau: float = TAU) -> Floats:
    """Returns the new bias scale where it differs by more than 0.2 tau, else the previous one. Shape (n,)."""
    return np.where(np.abs(new - previous) > BIAS_SHARE * tau, new, previous)


def to_raw(actions: Actions, bias_scale: Floats) -> Floats:
    """Returns actions in AR1's numbers: expert, scope, span from 1, rank 8/16/32/64, bias scale.

    (n, 4) and (n,) to (n, 5).
    """
    expert, scope, span, rank = actions.T
    return np.stack([expert, scope, span + 1, np.array(RANKS)[rank], bias_scale], axis=1).astype(np.float32)


def from_raw(raw: Floats, architecture: Architecture) -> Actions:
    """The inverse for the four parts: (n, 4) or (n, 5) to (n, 4).

    Raises:
        ValueError: a number means no choice; names it.
    """
    expert, scope, span, rank = raw[:, : len(PARTS)].T
    index = np.stack([expert, scope, span - 1, np.searchsorted(RANKS, rank).clip(max=len(RANKS) - 1)], axis=1)
    inside = (index >= 0) & (index < np.array(architecture.choices)) & (np.floor(index) == index)
    inside[:, -1] &= np.isin(rank, RANKS)
    if not inside.all():
        row, part = (int(one) for one in np.argwhere(~inside)[0])
        raise ValueError(f"row {row}: {raw[row, part]:g} is no {PARTS[part]}")
    return index.astype(np.intp)
