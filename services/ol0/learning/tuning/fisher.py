"""How much the base's answers hang on each weight of its hidden layers."""

from functools import partial

import torch
from torch import Tensor
from torch.func import grad, vmap

from ol0.controller.heads import Head
from ol0.controller.trunk import TrunkForm
from ol0.learning.tuning.layers import Weights, hidden

MOST_NUMBERS = 2**25
"""Gradients that are held at once: 128 MiB in float32."""


def hidden_fisher(weights: Weights, form: TrunkForm, heads: tuple[Head, ...], features: Tensor) -> Weights:
    """Diagonal of the Fisher information of softmax heads above hidden layers, exact, averaged over examples.

        F_w = mean_i sum_y p(y | x_i) (d log p(y | x_i) / d w)^2, summed over the parts of an action

    The gradient of every example for every outcome is squared by itself: see ``controller.fisher``.

    Args:
        weights: of the layers.
        form: of the trunk.
        heads: of the base; of their columns only those of the hidden part count.
        features: shape (n, D).

    Returns:
        The same shapes as the weights; zeros without examples.
    """
    total = {name: torch.zeros_like(tensor) for name, tensor in weights.items()}
    size = max(MOST_NUMBERS // sum(tensor.numel() for tensor in weights.values()), 1)
    for head in heads:
        weight = torch.tensor(head.weight, device=features.device)
        bias = torch.tensor(head.bias, device=features.device)

        slopes = vmap(grad(partial(_log_share, form, weight, bias)), in_dims=(None, 0, None))
        for rows in features.split(size):
            with torch.no_grad():
                above = hidden(weights, form, rows)
                shares = _logits(above, weight, bias).softmax(dim=1)
            for outcome in range(head.choices):
                found = slopes(weights, rows, torch.tensor(outcome, device=rows.device))
                for name, slope in found.items():
                    total[name] += torch.einsum("n,n...->...", shares[:, outcome], slope**2)
    return {name: tensor / max(len(features), 1) for name, tensor in total.items()}


def _log_share(form: TrunkForm, weight: Tensor, bias: Tensor, layers: Weights, row: Tensor, outcome: Tensor) -> Tensor:
    """Of one outcome for one example, a scalar."""
    shares = _logits(hidden(layers, form, row[None]), weight, bias).log_softmax(dim=1)
    return shares[0].gather(0, outcome[None])[0]


def _logits(above: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return above @ weight[:, : above.shape[1]].T + bias
