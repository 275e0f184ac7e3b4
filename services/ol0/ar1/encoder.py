"""AR1's state encoder in numpy: turns states into the features that the heads read.

    x = chunk_proj(summary) + [retrieval_proj | vision_proj | value_proj | action_proj]      (cut to hidden_dim: ADR 7)
    per layer:   x = norm1(x + out_proj(v(x)))        x = norm2(x + linear2(relu(linear1(x))))

A state is one token, so the softmax over its attention scores is 1 whatever queries and keys say: attention is v and
out_proj alone. Post-norm, no final norm, dropout off: AR1 in eval mode.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from ol0.ar1.architecture import AUXILIARY, Architecture
from ol0.ar1.states import States
from ol0.controller.heads import Floats

NORM_EPSILON: Final = 1e-5


@dataclass(frozen=True, slots=True)
class Linear:
    """weight x + bias: shapes (outputs, inputs) and (outputs,)."""

    weight: Floats
    bias: Floats

    @classmethod
    def of(cls, tensors: Mapping[str, Floats], name: str) -> Self:
        """The tensors ``name.weight`` and ``name.bias``."""
        return cls(tensors[f"{name}.weight"], tensors[f"{name}.bias"])

    def __call__(self, x: Floats) -> Floats:
        """(n, inputs) to (n, outputs)."""
        return x @ self.weight.T + self.bias


@dataclass(frozen=True, slots=True)
class Norm:
    """Each row to mean 0 and variance 1, then scaled and shifted: shapes (hidden,)."""

    weight: Floats
    bias: Floats

    @classmethod
    def of(cls, tensors: Mapping[str, Floats], name: str) -> Self:
        """The tensors ``name.weight`` and ``name.bias``."""
        return cls(tensors[f"{name}.weight"], tensors[f"{name}.bias"])

    def __call__(self, x: Floats) -> Floats:
        """(n, hidden) to the same."""
        centred = x - x.mean(axis=1, keepdims=True)
        variance = (centred**2).mean(axis=1, keepdims=True)
        return np.asarray(centred / np.sqrt(variance + NORM_EPSILON) * self.weight + self.bias, np.float32)


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer for one token. Queries and keys are left out: they have no influence."""

    values: Linear
    out: Linear
    norm1: Norm
    linear1: Linear
    linear2: Linear
    norm2: Norm

    @classmethod
    def of(cls, tensors: Mapping[str, Floats], number: int) -> Self:
        """Returns the layer of this number. One projection stacks queries, keys and values, in this order."""
        name = f"state_encoder.layers.{number}"
        weight, bias = tensors[f"{name}.self_attn.in_proj_weight"], tensors[f"{name}.self_attn.in_proj_bias"]
        first = 2 * len(bias) // 3
        return cls(
            Linear(weight[first:], bias[first:]),
            Linear.of(tensors, f"{name}.self_attn.out_proj"),
            Norm.of(tensors, f"{name}.norm1"),
            Linear.of(tensors, f"{name}.linear1"),
            Linear.of(tensors, f"{name}.linear2"),
            Norm.of(tensors, f"{name}.norm2"),
        )

    def __call__(self, x: Floats) -> Floats:
        """(n, hidden) to the same."""
        x = self.norm1(x + self.out(self.values(x)))
        return self.norm2(x + self.linear2(np.maximum(self.linear1(x), 0)))


class AR1Encoder:
    """Turns states into features, float32. Immutable and thread-safe.

    Args:
        architecture: of the policy.
        tensors: of the encoder, by AR1's names; see ``Architecture.shapes``.
        fingerprint: SHA-256 of ``encoder.safetensors``, which controllers that read these features name.
    """

    def __init__(self, architecture: Architecture, tensors: Mapping[str, Floats], fingerprint: str) -> None:
        self.architecture = architecture
        self.fingerprint = fingerprint
        self._summary = Linear.of(tensors, "chunk_proj")
        self._auxiliary = {kind: Linear.of(tensors, f"{kind}_proj") for kind in AUXILIARY}
        self._layers = tuple(Layer.of(tensors, number) for number in range(architecture.layers))

    def encode(self, states: States) -> Floats:
        """Features of n states: shape (n, hidden_dim).

        Raises:
            RangeError: an array of the wrong shape, or a number that is not finite.
        """
        states.check(self.architecture)
        x = self._summary(np.asarray(states.chunk_summary, np.float32)) + self._auxiliary_features(states)
        for layer in self._layers:
            x = layer(x)
        return x

    def _auxiliary_features(self, states: States) -> Floats:
        """Concatenated, shape (n, hidden_dim). Without a previous action its quarter is zero, without the bias too."""
        vision = states.vision_features
        if vision is None:
            vision = np.zeros((len(states), self.architecture.vision), np.float32)
        action = np.zeros((len(states), self.architecture.auxiliary), np.float32)
        if states.prev_action is not None:
            known = ~np.isnan(states.prev_action).any(axis=1)
            action[known] = self._auxiliary["action"](np.asarray(states.prev_action[known], np.float32))
        return np.concatenate(
            [
                self._auxiliary["retrieval"](np.asarray(states.retrieval_features, np.float32)),
                self._auxiliary["vision"](np.asarray(vision, np.float32)),
                self._auxiliary["value"](np.asarray(states.value_features, np.float32)),
                action,
            ],
            axis=1,
        )
