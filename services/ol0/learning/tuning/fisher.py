"""How much the base's answers depend on each weight of its hidden layers."""

import torch
from torch import Tensor

from ol0.controller.heads import Head
from ol0.controller.trunk import TrunkForm
from ol0.learning.tuning.layers import Pass, Weights, passes

ROWS = 4_096
"""Examples at once: memory is for their activations, and not for their gradients."""


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
    followed = {name: tensor.detach().requires_grad_() for name, tensor in weights.items()}  # products hang on them
    for rows in features.split(ROWS):
        above, layers = passes(followed, form, rows)
        for head in heads:
            weight, bias = (torch.tensor(it, device=rows.device) for it in (head.weight, head.bias))
            logs = (above @ weight[:, : above.shape[1]].T + bias).log_softmax(dim=1)
            for outcome in range(head.choices):
                _add(total, layers, logs[:, outcome])
    return {name: tensor / max(len(features), 1) for name, tensor in total.items()}


def _add(total: Weights, layers: list[Pass], logs: Tensor) -> None:
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
