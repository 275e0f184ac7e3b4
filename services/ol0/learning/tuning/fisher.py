"""How much the base's answers depend on each weight of its hidden layers."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ol0.controller.heads import Head
from ol0.controller.trunk import NORM_EPSILON, TrunkForm
from ol0.learning.tuning.layers import ACTIVATIONS, Weights

ROWS = 4_096
"""Examples at once: memory is for their activations, and not for their gradients."""


@dataclass(frozen=True)
class _Layer:
    """What one layer computed of n examples.

    Attributes:
        given: what it got, shape (n, D).
        linear: its product, shape (n, H).
        normed: the same with mean 0 and variance 1, None without a layer norm.
        scaled: that times the scale plus the shift, likewise.
    """

    given: Tensor
    linear: Tensor
    normed: Tensor | None
    scaled: Tensor | None


def hidden_fisher(weights: Weights, form: TrunkForm, heads: tuple[Head, ...], features: Tensor) -> Weights:
    """Diagonal of the Fisher information of softmax heads above hidden layers, exact, averaged over examples.

        F_w = mean_i sum_y p(y | x_i) (d log p(y | x_i) / d w)^2, summed over the parts of an action

    The gradient of every example for every outcome is squared by itself: see ``controller.fisher``. None of them is
    ever held: with e the gradient at a layer's product, that of its weight is e x', so its square is e^2 (x^2)', and a
    sum over examples is one product of matrices. That takes one backward pass for each outcome.

    Args:
        weights: of the layers.
        form: of the trunk.
        heads: of the base; of their columns only those of the hidden part count.
        features: shape (n, D).

    Returns:
        The same shapes as the weights; zeros without examples.

    References:
        Goodfellow, "Efficient per-example gradient computations", 2015.
    """
    total = {name: torch.zeros_like(tensor) for name, tensor in weights.items()}
    for rows in features.split(ROWS):
        above, layers = _forward(weights, form, rows)
        for head in heads:
            weight, bias = (torch.tensor(it, device=rows.device) for it in (head.weight, head.bias))
            logs = (above @ weight[:, : above.shape[1]].T + bias).log_softmax(dim=1)
            for outcome in range(head.choices):
                _add(total, layers, logs[:, outcome])
    return {name: tensor / max(len(features), 1) for name, tensor in total.items()}


def _forward(weights: Weights, form: TrunkForm, given: Tensor) -> tuple[Tensor, list[_Layer]]:
    """As ``layers.hidden``, keeping what a gradient needs; the products are where gradients begin."""
    layers = []
    for number in range(form.layers):
        linear = functional.linear(given, weights[f"{number}.weight"], weights[f"{number}.bias"])
        linear = linear if linear.requires_grad else linear.requires_grad_()
        normed = scaled = None
        if form.norm:
            normed = functional.layer_norm(linear, linear.shape[1:], eps=NORM_EPSILON)
            scaled = normed * weights[f"{number}.scale"] + weights[f"{number}.shift"]
        layers.append(_Layer(given, linear, normed, scaled))
        given = ACTIVATIONS[form.activation](linear if scaled is None else scaled)
    return form.gain * given, layers


def _add(total: Weights, layers: list[_Layer], logs: Tensor) -> None:
    """Adds what one outcome says, logs of its probability (n,)."""
    shares = logs.detach().exp()[:, None]
    places = [place for it in layers for place in (it.linear, it.scaled) if place is not None]
    found = iter(torch.autograd.grad(logs.sum(), places, retain_graph=True))
    for number, layer in enumerate(layers):
        squares = shares * next(found) ** 2
        total[f"{number}.weight"] += squares.T @ layer.given.detach() ** 2
        total[f"{number}.bias"] += squares.sum(dim=0)
        if layer.normed is not None:
            slopes = next(found)
            total[f"{number}.scale"] += (shares * (slopes * layer.normed.detach()) ** 2).sum(dim=0)
            total[f"{number}.shift"] += (shares * slopes**2).sum(dim=0)
