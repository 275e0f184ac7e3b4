"""What hidden layers are trained for: a sum of named terms, each differentiable."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ol0.controller.trunk_form import TrunkForm
from ol0.learning.tuning.network import Weights, hidden
from ol0.learning.values.scales import Scales


@dataclass(frozen=True)
class Examples:
    """n votes, those on anchors among them.

    Attributes:
        kept: what tuning leaves alone of what the heads see, shape (n, H + D).
        features: shape (n, D).
        actions: the choice of every part, shape (n, parts).
        rewards: shape (n,).
        weights: what each counts, shape (n,).
    """

    kept: Tensor
    features: Tensor
    actions: Tensor
    rewards: Tensor
    weights: Tensor

    def take(self, rows: Tensor) -> "Examples":
        """Those of these rows."""
        return Examples(
            self.kept[rows], self.features[rows], self.actions[rows], self.rewards[rows], self.weights[rows]
        )


@dataclass(frozen=True)
class ValueHead:
    """Values of one part: value_a(x) = x.(shared + own_a) + offset_a, x in units of the prompts' length.

    Attributes:
        shared: shape (m,).
        own: shape (K, m).
        offset: shape (K,).
        scales: variances that the closed form found.
    """

    shared: Tensor
    own: Tensor
    offset: Tensor
    scales: Scales

    def values(self, inputs: Tensor, actions: Tensor) -> Tensor:
        """Of what was served, shape (n, m) and (n,) to (n,)."""
        return (inputs * (self.shared + self.own[actions])).sum(dim=1) + self.offset[actions]


@dataclass(frozen=True)
class Objective:
    """The mean over the examples of the negative log posterior of values, and what holds the layers to the base.

        values    = mean_i w_i (r_i - v(x_i))^2 / (2 noise) / mean(w), for each part
        prior     = (|shared|^2 / variance_shared + |own|^2 / variance_own) / (2 sum(w))
        ewc       = (lambda / 2) sum F (theta - theta_base)^2
        proximal  = (mu / 2) |theta - theta_before|^2

    For fixed layers ``values`` and ``prior`` are what ``values.ridge`` minimises in closed form.

    Attributes:
        form: of the network.
        length: root mean square length of what the heads see.
        count: sum of the weights of all examples.
        base: all tensors of the frozen network.
        fisher: information on those that are trained.
        before: what this round began with of them.
        ewc_lambda, proximal_mu: strengths.
    """

    form: TrunkForm
    length: float
    count: float
    base: Weights
    fisher: Weights
    before: Weights
    ewc_lambda: float
    proximal_mu: float

    def terms(self, trained: Weights, heads: tuple[ValueHead, ...], examples: Examples) -> dict[str, Tensor]:
        """The terms by name; their sum is to be made small."""
        tuned = hidden(self.base | trained, self.form, examples.features)
        inputs = torch.cat([examples.kept, tuned], dim=1) / self.length
        values = inputs.new_zeros(())
        prior = inputs.new_zeros(())
        for part, head in enumerate(heads):
            scales = head.scales
            errors = examples.rewards - head.values(inputs, examples.actions[:, part])
            values = values + (examples.weights * errors**2).mean() / (2 * scales.noise * examples.weights.mean())
            apart = head.offset - head.offset.mean()
            prior = prior + head.shared.square().sum() / scales.shared + head.own.square().sum() / scales.own
            prior = prior + apart.square().sum() / scales.own_offset
        return {
            "values": values,
            "prior": prior / (2 * self.count),
            "ewc": self.ewc_lambda / 2 * _distance(trained, self.base, self.fisher),
            "proximal": self.proximal_mu / 2 * _distance(trained, self.before, None),
        }


def _distance(trained: Weights, centre: Weights, by: Weights | None) -> Tensor:
    squares = [((it - centre[name]).square() * (1.0 if by is None else by[name])).sum() for name, it in trained.items()]
    return torch.stack(squares).sum()
