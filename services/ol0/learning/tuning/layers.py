"""The layers of a trunk as torch computes them."""

from collections.abc import Callable, Mapping
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from ol0.controller.trunk import NORM_EPSILON, Layer, Trunk, TrunkForm

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


def hidden(weights: Weights, form: TrunkForm, features: Tensor) -> Tensor:
    """The last layer's output times the gain, shape (n, D) to (n, H), as ``Trunk`` computes it."""
    activation = ACTIVATIONS[form.activation]
    for number in range(form.layers):
        features = functional.linear(features, weights[f"{number}.weight"], weights[f"{number}.bias"])
        if form.norm:
            scale, shift = weights[f"{number}.scale"], weights[f"{number}.shift"]
            features = functional.layer_norm(features, scale.shape, scale, shift, NORM_EPSILON)
        features = activation(features)
    return form.gain * features


def parts_of(trunk: Trunk, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Of what the base's heads see: what tuning leaves alone, (n, H + D), and the features (n, D) in it."""
    return inputs[:, : -trunk.hidden], inputs[:, trunk.hidden : -trunk.hidden]
