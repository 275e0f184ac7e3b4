"""Hidden layers of random weights, and a base that has them."""

import numpy as np

from ol0.controller.checkpoint import read_checkpoint
from ol0.controller.controller import Controller
from ol0.controller.heads import Floats, Head
from ol0.controller.trunk import Trunk
from ol0.controller.trunk_form import Graph, Node, Stack
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
    tensors: dict[str, Floats] = {}
    for layer, (below, size) in enumerate(zip((features, *sizes), sizes, strict=False)):
        extra = {"scale": _random(rng, size), "shift": _random(rng, size)} if norm else {}
        found = {"weight": spread * _random(rng, size, below), "bias": _random(rng, size), **extra}
        tensors |= {f"{layer}.{name}": tensor for name, tensor in found.items()}
    return Trunk(Stack(len(sizes), activation, norm, gain), tensors)


GATED = (
    Node("linear", (0,), ("up.weight", "up.bias")),
    Node("tanh", (1,)),
    Node("linear", (0,), ("gate.weight", "gate.bias")),
    Node("sigmoid", (3,)),
    Node("multiply", (2, 4)),
)


def a_gated_trunk(hidden: int = 5, *, seed: int = 0) -> Trunk:
    """tanh(up x) sigmoid(gate x), as a graph."""
    rng = np.random.default_rng(seed)
    shapes = {"up.weight": (hidden, D), "up.bias": (hidden,), "gate.weight": (hidden, D), "gate.bias": (hidden,)}
    return Trunk(Graph(GATED, D, 1.0), {name: _random(rng, *shape) for name, shape in shapes.items()})


def a_base_on(trunk: Trunk, choices: tuple[int, ...] = (4, 3), *, epsilon: float = 0.3, seed: int = 0) -> Controller:
    rng = np.random.default_rng(seed + 100)
    heads = tuple(trunk.head(Head(_random(rng, k, trunk.hidden), _random(rng, k))) for k in choices)
    names = [f"part{number}" for number in range(len(choices))]
    return read_checkpoint(base_checkpoint(names, heads, epsilon, trunk=trunk))


def _random(rng: np.random.Generator, *shape: int) -> Floats:
    return rng.normal(size=shape).astype(np.float32)
