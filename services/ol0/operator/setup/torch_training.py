"""A router with hidden layers, trained in torch on labelled prompts: a base for those who have none yet."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

import numpy as np
import torch
from torch import nn

from ol0.controller.heads import Head
from ol0.operator.setup.base_training import targets_of
from ol0.operator.setup.network import Layer, Network, stacked
from ol0.operator.setup.prompts import Prompts

EPOCHS: Final = 30
BATCH: Final = 128
STEP: Final = 1e-3
HELD: Final = 4
"""One row in so many is held out, to see after how many epochs to end."""


def train_mlp(prompts: Prompts, hidden: tuple[int, ...], seed: int) -> Network:
    """Hidden layers with ReLU and a head, by Adam on the cross-entropy of ``base_training.targets_of``.

    It ends after as many epochs as brought most on held-out rows. The same prompts and seed give the same network on
    the same machine.

    Args:
        prompts: what to learn from.
        hidden: widths of the layers.
        seed: of the weights and the order of the rows.
    """
    order = np.random.default_rng(seed).permutation(len(prompts))
    held, kept = prompts.rows(order[::HELD]), prompts.rows(np.setdiff1d(order, order[::HELD]))
    worth = [held.expected_success(_asked(net, held)) for net in _fits(kept, hidden, seed, EPOCHS)]
    *_, net = _fits(prompts, hidden, seed, int(np.argmax(worth)) + 1)
    *below, head = [module for module in net if isinstance(module, nn.Linear)]
    return stacked([Layer(*_arrays(layer)) for layer in below], "relu", Head(*_arrays(head)))


def _fits(prompts: Prompts, hidden: tuple[int, ...], seed: int, epochs: int) -> Iterator[nn.Sequential]:
    """The network after each epoch."""
    features, targets = torch.from_numpy(prompts.features), torch.from_numpy(targets_of(prompts.success))
    generator = torch.Generator().manual_seed(seed)
    net = _network((features.shape[1], *hidden, targets.shape[1]), generator)
    adam = torch.optim.Adam(net.parameters(), STEP)
    for _ in range(epochs):
        for rows in torch.randperm(len(features), generator=generator).split(BATCH):
            loss = -(targets[rows] * net(features[rows]).log_softmax(dim=1)).sum(dim=1).mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
        yield net


def _network(sizes: tuple[int, ...], generator: torch.Generator) -> nn.Sequential:
    layers: list[nn.Module] = []
    for below, size in pairwise(sizes):
        linear = nn.Linear(below, size)
        for parameter in linear.parameters():
            nn.init.uniform_(parameter, -(below**-0.5), below**-0.5, generator=generator)
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _asked(net: nn.Sequential, prompts: Prompts) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    with torch.no_grad():
        return np.asarray(net(torch.from_numpy(prompts.features)).argmax(dim=1).numpy())


def _arrays(layer: nn.Linear) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    return [np.ascontiguousarray(parameter.detach().numpy()) for parameter in (layer.weight, layer.bias)]
