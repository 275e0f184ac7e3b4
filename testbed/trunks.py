"""Hidden layers of random weights, and a base that has them."""

import numpy as np

from ol0.controller.checkpoint import read_checkpoint
from ol0.controller.controller import Controller
from ol0.controller.heads import Floats, Head
from ol0.controller.trunk import Layer, Trunk, TrunkForm
from ol0.controller.warmup import base_checkpoint

D = 6
"""Features of a prompt."""


def a_trunk(
    sizes: tuple[int, ...] = (5,),
    activation: str = "relu",
    *,
    norm: bool = False,
    gain: float = 1.0,
    seed: int = 0,
    features: int = D,
    spread: float = 1.0,
) -> Trunk:
    """``spread``: standard deviation of the weights."""
    rng = np.random.default_rng(seed)
    layers = []
    for below, size in zip((features, *sizes), sizes, strict=False):
        scale, shift = (_random(rng, size), _random(rng, size)) if norm else (None, None)
        layers.append(Layer(spread * _random(rng, size, below), _random(rng, size), scale, shift))
    return Trunk(TrunkForm(len(sizes), activation, norm, gain), tuple(layers))


def a_base_on(trunk: Trunk, choices: tuple[int, ...] = (4, 3), *, epsilon: float = 0.3, seed: int = 0) -> Controller:
    rng = np.random.default_rng(seed + 100)
    heads = tuple(trunk.head(Head(_random(rng, k, trunk.hidden), _random(rng, k))) for k in choices)
    names = [f"part{number}" for number in range(len(choices))]
    return read_checkpoint(base_checkpoint(names, heads, epsilon, trunk=trunk))


def _random(rng: np.random.Generator, *shape: int) -> Floats:
    return rng.normal(size=shape).astype(np.float32)
