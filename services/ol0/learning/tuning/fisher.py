"""How much the base's answers depend on each weight of its hidden layers."""

from math import prod

import torch
from torch import Tensor

from ol0.controller.heads import Head
from ol0.controller.trunk_form import Stack, TrunkForm, shapes_of
from ol0.learning.tuning.network import Weights, squared, uses

NUMBERS = 2**24
"""Of gradients and values that are held at once, 64 MB, where each example's gradient has to be formed."""
MOST_ROWS = 4_096
"""Examples at once, where none is: memory is for their activations."""


def hidden_fisher(
    weights: Weights, trained: tuple[str, ...], form: TrunkForm, heads: tuple[Head, ...], features: Tensor
) -> Weights:
    """Diagonal of the Fisher information of softmax heads above a network, exact, averaged over examples.

        F_w = mean_i sum_y p(y | x_i) (d log p(y | x_i) / d w)^2, summed over the parts of an action

    The gradient of every example for every outcome is squared by itself: see ``controller.fisher``. It takes one
    backward pass for each outcome; where a weight works on one vector of an example, no gradient of a weight is ever
    held: see ``network.squared``.

    Args:
        weights: of the network.
        trained: names of those whose information is asked for.
        form: of the trunk.
        heads: of the base; of their columns only those of the hidden part count.
        features: shape (n, D).

    Returns:
        The same shapes as the weights; zeros without examples.
    """
    wanted = {name: weights[name].detach().requires_grad_() for name in trained}
    total = {name: torch.zeros_like(tensor) for name, tensor in wanted.items()}
    for rows in features.split(_rows(weights, wanted, form)):
        above, places = uses(weights | wanted, form, rows)
        places = [use for use in places if set(use.node.tensors) & set(wanted)]
        for head in heads:
            weight, bias = (torch.tensor(it, device=rows.device) for it in (head.weight, head.bias))
            logs = (above @ weight[:, : above.shape[1]].T + bias).log_softmax(dim=1)
            for outcome in range(head.choices):
                of_one = logs[:, outcome]
                slopes = torch.autograd.grad(of_one.sum(), [use.result for use in places], retain_graph=True)
                roots = (of_one.detach() / 2).exp()  # of the shares: they count each square
                found = [
                    (use, roots.reshape(-1, *[1] * (slope.ndim - 1)) * slope)
                    for use, slope in zip(places, slopes, strict=True)
                ]
                for name, squares in squared(wanted, found).items():
                    total[name] += squares
    return {name: tensor / max(len(features), 1) for name, tensor in total.items()}


def _rows(weights: Weights, wanted: Weights, form: TrunkForm) -> int:
    """How many examples at once: few where the gradient of each may have to be formed, which a stack never asks for."""
    if isinstance(form, Stack):
        return MOST_ROWS
    held = sum(int(tensor.numel()) for tensor in wanted.values())
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    held += sum(map(prod, shapes_of(form.nodes, form.features, shapes)))
    return max(1, min(MOST_ROWS, NUMBERS // held))
