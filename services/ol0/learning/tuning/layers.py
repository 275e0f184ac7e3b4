"""The layers of a trunk as torch computes them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from ol0.controller.trunk import NORM_EPSILON, Layer, TrunkForm

ACTIVATIONS: Final[Mapping[str, Callable[[Tensor], Tensor]]] = {
    "relu": functional.relu,
    "gelu": functional.gelu,
    "silu": functional.silu,
    "tanh": torch.tanh,
}
Weights = dict[str, Tensor]
"""Tensors of the layers, by number and name, such as ``0.weight``."""


def weights_of(layers: tuple[Layer, ...], device: torch.device) -> Weights:
    """Copies, on a device."""
    named = {f"{number}.{name}": it for number, layer in enumerate(layers) for name, it in layer.tensors.items()}
    return {name: torch.tensor(array, device=device) for name, array in named.items()}


def layers_of(weights: Weights, form: TrunkForm) -> tuple[Layer, ...]:
    """The inverse of ``weights_of``."""
    arrays = {name: tensor.detach().cpu().numpy() for name, tensor in weights.items()}
    return tuple(Layer(*(arrays[f"{number}.{name}"] for name in form.tensors)) for number in range(form.layers))


@dataclass(frozen=True, slots=True)
class Pass:
    """What one layer computed of n examples.

    Attributes:
        given: what it got, shape (n, D).
        linear: its product, shape (n, H).
        normed: the same with mean 0 and variance 1; None without a layer norm.
        scaled: that times the scale plus the shift, likewise.
    """

    given: Tensor
    linear: Tensor
    normed: Tensor | None
    scaled: Tensor | None


def passes(weights: Weights, form: TrunkForm, features: Tensor) -> tuple[Tensor, list[Pass]]:
    """The last layer's output times the gain, shape (n, D) to (n, H), as ``Trunk`` computes it; and the way there."""
    found = []
    for number in range(form.layers):
        linear = functional.linear(features, weights[f"{number}.weight"], weights[f"{number}.bias"])
        normed = scaled = None
        if form.norm:
            normed = functional.layer_norm(linear, linear.shape[1:], eps=NORM_EPSILON)
            scaled = normed * weights[f"{number}.scale"] + weights[f"{number}.shift"]
        found.append(Pass(features, linear, normed, scaled))
        features = ACTIVATIONS[form.activation](linear if scaled is None else scaled)
    return form.gain * features, found


def hidden(weights: Weights, form: TrunkForm, features: Tensor) -> Tensor:
    """The output of ``passes`` alone."""
    return passes(weights, form, features)[0]
