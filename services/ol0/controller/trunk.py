"""Hidden layers below the heads, as a network of the host's own has them: declared, served in numpy."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import erf
from typing import Final, Self

import numpy as np

from ol0.controller.heads import Doubles, Floats, Head

NORM_EPSILON: Final = 1e-5  # torch's default

Doubled = tuple[tuple[Doubles, ...], ...]
"""Layers in float64, each as its tensors in the order of ``Layer``."""

_erf = np.frompyfunc(erf, 1, 1)  # numpy has none; a layer of 128 takes 10 us


def _relu(values: Doubles) -> Doubles:
    return np.maximum(values, 0)


def _gelu(values: Doubles) -> Doubles:
    """The exact one: x times the normal distribution function of x (Hendrycks and Gimpel, 2016)."""
    return np.asarray(values * 0.5 * (1 + _erf(values / np.sqrt(2)).astype(np.float64)))


def _silu(values: Doubles) -> Doubles:
    return np.asarray(values / (1 + np.exp(-np.clip(values, -700, None))))


ACTIVATIONS: Final[Mapping[str, Callable[[Doubles], Doubles]]] = {
    "relu": _relu,
    "gelu": _gelu,
    "silu": _silu,
    "tanh": np.tanh,
}


@dataclass(frozen=True, slots=True)
class Layer:
    """activation(norm(weight x + bias)).

    Attributes:
        weight: shape (H, D).
        bias: shape (H,).
        scale, shift: of a layer norm between the product and the activation, shape (H,) each; None: there is none.
    """

    weight: Floats
    bias: Floats
    scale: Floats | None = None
    shift: Floats | None = None

    @property
    def tensors(self) -> dict[str, Floats]:
        """What there is, by name."""
        named = {"weight": self.weight, "bias": self.bias, "scale": self.scale, "shift": self.shift}
        return {name: tensor for name, tensor in named.items() if tensor is not None}


@dataclass(frozen=True, slots=True)
class TrunkForm:
    """What a manifest says of a trunk.

    Attributes:
        layers: how many.
        activation: of every layer, a key of ``ACTIVATIONS``.
        norm: whether every layer has a layer norm.
        gain: what the hidden features are multiplied by, so that they are about as long as the features beside them.
        tuned: whether a checkpoint has the layers a second time, as training changed them.
    """

    layers: int
    activation: str
    norm: bool
    gain: float
    tuned: bool = False

    @property
    def tensors(self) -> tuple[str, ...]:
        """Names of a layer's tensors, as ``Layer`` has them."""
        return ("weight", "bias", "scale", "shift") if self.norm else ("weight", "bias")


@dataclass(frozen=True, slots=True)
class Trunk:
    """Features (n, D) to what the heads see, (n, H + D): the last layer's output, and the features beside it.

    The base's heads look at the hidden part alone. Learnt heads see both, because what a network learnt to keep of old
    kinds of prompts may be little of a new kind. Where the form is tuned, they see a third part, (n, 2 H + D): the
    output of the same layers as training changed them. It computes in float64 and rounds once: a prompt gives the same
    numbers alone as in any batch, so that one that repeats is known again. Immutable.

    Attributes:
        form: as the manifest has it.
        layers: belong to the base for good.
        tuned: as training changed them; empty where the form is not tuned.
    """

    form: TrunkForm
    layers: tuple[Layer, ...]
    tuned: tuple[Layer, ...] = ()
    _doubles: Doubled = field(init=False, repr=False, compare=False)
    _tuned_doubles: Doubled = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_doubles", _in_doubles(self.layers))
        object.__setattr__(self, "_tuned_doubles", _in_doubles(self.tuned))

    @property
    def dimension(self) -> int:
        """D."""
        return int(self.layers[0].weight.shape[1])

    @property
    def hidden(self) -> int:
        """H, the width of the last layer."""
        return int(self.layers[-1].weight.shape[0])

    @property
    def trainable(self) -> Self:
        """The same layers, to be tuned from where they are."""
        return replace(self, form=replace(self.form, tuned=True), tuned=self.layers)

    def head(self, hidden: Head) -> Head:
        """A head of the last layer's output, as a head of what this trunk gives."""
        width = self.dimension + (self.hidden if self.form.tuned else 0)
        beside = np.zeros((hidden.choices, width), np.float32)
        weight = np.concatenate([hidden.weight / np.float32(self.form.gain), beside], axis=1)
        return Head(np.asarray(weight, np.float32), hidden.bias)

    def __call__(self, features: Floats) -> Floats:
        """Shape (n, D) to (n, H + D) or (n, 2 H + D); (D,) likewise."""
        parts = [self._hidden(features, self._doubles), features]
        if self.form.tuned:
            parts.append(self._hidden(features, self._tuned_doubles))
        return np.concatenate(parts, axis=-1)

    @property
    def kept(self) -> slice:
        """Columns of what a tuned trunk gives that tuning leaves alone, H + D of them."""
        return slice(None, -self.hidden)

    @property
    def beside(self) -> slice:
        """Those of them that are the features, D."""
        return slice(self.hidden, -self.hidden)

    def as_tuned(self, inputs: Floats) -> Floats:
        """What this trunk gives, of what another with the same frozen layers gave; of the same shape."""
        if not self.form.tuned:
            return inputs
        tuned = self._hidden(inputs[:, self.beside], self._tuned_doubles)
        return np.concatenate([inputs[:, self.kept], tuned], axis=1)

    def _hidden(self, features: Floats, layers: Doubled) -> Floats:
        activation = ACTIVATIONS[self.form.activation]
        values = np.asarray(features, np.float64)
        for weight, bias, *norm in layers:
            values = values @ weight.T + bias
            if norm:
                values = _normed(values) * norm[0] + norm[1]
            values = activation(values)
        return np.asarray(self.form.gain * values, np.float32)


def through(trunk: Trunk | None, inputs: Floats) -> Floats:
    """What heads above this trunk see, of what the base's heads see, (n, D); the same where nothing is tuned."""
    return inputs if trunk is None else trunk.as_tuned(inputs)


def _in_doubles(layers: tuple[Layer, ...]) -> Doubled:
    return tuple(tuple(tensor.astype(np.float64) for tensor in layer.tensors.values()) for layer in layers)


def _normed(values: Doubles) -> Doubles:
    """Mean 0 and variance 1 along the last axis (Ba, Kiros and Hinton, "Layer normalization", 2016)."""
    centred = values - values.mean(axis=-1, keepdims=True)
    return np.asarray(centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + NORM_EPSILON))
