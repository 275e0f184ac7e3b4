"""The network of a trunk as torch computes it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from ol0.controller.operations import Number
from ol0.controller.trunk import Tensors
from ol0.controller.trunk_form import Node, TrunkForm

Weights = dict[str, Tensor]
"""Tensors of a trunk by their names."""


def weights_of(tensors: Tensors, device: torch.device) -> Weights:
    """Copies, on a device."""
    return {name: torch.tensor(array, device=device) for name, array in tensors.items()}


def tensors_of(weights: Weights) -> Tensors:
    """The inverse of ``weights_of``."""
    return {name: tensor.detach().cpu().numpy() for name, tensor in weights.items()}


def _cut(values: Tensor, axis: Number, start: Number, stop: Number) -> Tensor:
    return values.narrow(int(axis), int(start), int(stop - start))


def _join(*values_and_axis: Tensor | Number) -> Tensor:
    values = [it for it in values_and_axis if isinstance(it, Tensor)]
    rows = next((len(it) for it in values if len(it) != 1), 1)
    return torch.cat([it.expand(rows, *it.shape[1:]) for it in values], dim=int(values_and_axis[-1]))


COMPUTE: Final[Mapping[str, Callable[..., Tensor]]] = {
    "relu": functional.relu,
    "gelu": functional.gelu,
    "gelu_tanh": lambda values: functional.gelu(values, approximate="tanh"),
    "silu": functional.silu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softplus": functional.softplus,
    "exp": torch.exp,
    "elu": functional.elu,
    "leaky_relu": functional.leaky_relu,
    "power": torch.pow,
    "affine": lambda values, factor, shift: factor * values + shift,
    "at_least": torch.clamp_min,
    "at_most": torch.clamp_max,
    "normed": lambda values, epsilon: functional.layer_norm(values, values.shape[-1:], eps=epsilon),
    "softmax": torch.softmax,
    "sum": lambda values, axis: values.sum(dim=axis, keepdim=True),
    "add": torch.add,
    "multiply": torch.mul,
    "product": torch.matmul,
    "linear": functional.linear,
    "project": torch.matmul,
    "tensor": lambda tensor: tensor,
    "reshape": lambda values, *sizes: values.reshape(len(values), *sizes),
    "expand": lambda values, *sizes: values.expand(len(values), *sizes),
    "swap": torch.transpose,
    "cut": _cut,
    "join": _join,
}
"""What ``controller.operations`` computes, for each of its operations; a tensor comes as (1, ...) or (n, ...)."""


@dataclass(frozen=True, slots=True)
class Use:
    """Where a network works with tensors.

    Attributes:
        node: an operation with tensors.
        given: what a product got, shape (n, ..., D); None for a tensor by itself. The weight is (H, D), or (D, H) of a
            projection.
        result: what came out: (n, ..., H), or the tensor itself, once for each prompt.
    """

    node: Node
    given: Tensor | None
    result: Tensor


def uses(weights: Weights, form: TrunkForm, features: Tensor) -> tuple[Tensor, list[Use]]:
    """What the network gives times the gain, shape (n, D) to (n, H), as ``Trunk`` computes it; and the way there."""
    values, found = [features], []
    for node in form.nodes:
        taken = [values[number] for number in node.takes]
        held = [weights[name] for name in node.tensors]
        if node.operation == "tensor":  # one for each prompt, so that each has a gradient of its own
            held = [held[0].expand(len(features), *held[0].shape)]
        values.append(COMPUTE[node.operation](*taken, *held, *node.arguments))
        if node.tensors:
            found.append(Use(node, taken[0] if taken else None, values[-1]))
    return form.gain * values[-1], found


def hidden(weights: Weights, form: TrunkForm, features: Tensor) -> Tensor:
    """The output of ``uses`` alone."""
    return uses(weights, form, features)[0]


def squared(weights: Weights, found: list[tuple[Use, Tensor]]) -> Weights:
    """Sum over the prompts of the squared gradient of each.

    Args:
        weights: whose squares are wanted; of the shapes of the result.
        found: every use of one of them, with the gradient at its result.

    References:
        Goodfellow, "Efficient per-example gradient computations", 2015: with e the gradient at a product, that of its
        weight is e x', so its square is e^2 (x^2)', and a sum over prompts is one product of matrices.
    """
    total: Weights = {}
    shared: Weights = {}  # gradients of each prompt: what is used twice is added up before it is squared
    often = {name for name in weights if sum(name in use.node.tensors for use, _ in found) > 1}
    for use, slopes in found:
        for name, rows in _of_each(use, slopes, often & set(weights)).items():
            shared[name] = rows if name not in shared else shared[name] + rows
        for name in set(use.node.tensors) & set(weights) - often:
            total[name] = _squares(use, slopes, name).reshape(weights[name].shape)
    return total | {name: rows.square().sum(dim=0).reshape(weights[name].shape) for name, rows in shared.items()}


def _squares(use: Use, slopes: Tensor, name: str) -> Tensor:
    if use.given is not None and use.given.ndim == 2 and name == use.node.tensors[0]:  # noqa: PLR2004 - a matrix
        squares = (slopes**2).T @ use.given.detach() ** 2
        return squares.T if use.node.operation == "project" else squares
    return _of_each(use, slopes, {name})[name].square().sum(dim=0)


def _of_each(use: Use, slopes: Tensor, names: set[str]) -> Weights:
    """The gradient of each prompt, shape (n, ...)."""
    rows: Weights = {}
    for place, name in enumerate(use.node.tensors):
        if name not in names:
            continue
        if use.given is None:
            rows[name] = slopes
            continue
        flat = slopes.reshape(len(slopes), prod(slopes.shape[1:-1]), slopes.shape[-1])
        if place:
            rows[name] = flat.sum(dim=1)
        else:
            given = use.given.detach().reshape(len(slopes), flat.shape[1], use.given.shape[-1])
            slope = flat.transpose(1, 2) @ given
            rows[name] = slope.transpose(1, 2) if use.node.operation == "project" else slope
    return rows
