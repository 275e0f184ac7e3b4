"""A router of the host's own as hidden layers and a head, put together from its tensors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from ol0.controller.heads import Floats, Head
from ol0.controller.trunk import ACTIVATIONS, Layer, Trunk, TrunkForm
from ol0.errors import ConfigError

KINDS: Final = ("weight", "bias")
HEAD_ONLY: Final = "none"
"""In place of an activation: there are no hidden layers."""


@dataclass(frozen=True, slots=True)
class Network:
    """head(layers(features)).

    Attributes:
        layers: hidden ones; empty for a linear router.
        activation: of all of them.
        head: of the last one's output.
    """

    layers: tuple[Layer, ...]
    activation: str
    head: Head

    @property
    def dimension(self) -> int:
        """D."""
        return int((self.layers[0].weight if self.layers else self.head.weight).shape[1])

    def above(self, features: Floats | None, *, trainable: bool = False) -> tuple[Head, Trunk | None]:
        """What a checkpoint holds: the head, and the trunk that it is above.

        Args:
            features: of some prompts, shape (n, D): hidden features are scaled to be as long as these.
            trainable: whether the learner may tune a copy of the hidden layers.
        """
        if not self.layers:
            return self.head, None
        form = TrunkForm(len(self.layers), self.activation, self.layers[0].scale is not None, 1.0)
        trunk = Trunk(form, self.layers)
        if features is not None:
            hidden = trunk(features)[:, : trunk.hidden]
            gain = _length(features) / max(_length(hidden), 1e-12)
            trunk = Trunk(TrunkForm(form.layers, form.activation, form.norm, gain), self.layers)
        trunk = trunk.trainable if trainable else trunk
        return trunk.head(self.head), trunk

    def check_fit(self, features: Floats, values: Floats) -> None:
        """Labels (n, D) and (n, K) speak of this network's features and choices.

        Raises:
            ConfigError: they do not.
        """
        found, wanted = (features.shape[1], values.shape[1]), (self.dimension, self.head.choices)
        if found != wanted:
            raise ConfigError(
                f"the labels have {found[0]} features and {found[1]} choices, the router {wanted[0]} and {wanted[1]}: "
                "the columns of P, or the numbers in y, are the router's outputs in their order"
            )

    def lines(self, *, trainable: bool = False) -> list[str]:
        """What was understood, a layer per line."""
        lines, fate = [], "tuned by the learner, beside the frozen ones" if trainable else "frozen"
        for layer in self.layers:
            norm = ", layer norm" if layer.scale is not None else ""
            lines.append(
                f"hidden layer   {layer.weight.shape[1]} to {layer.weight.shape[0]}{norm}, {self.activation}; {fate}"
            )
        return [*lines, f"head           {self.head.weight.shape[1]} to {self.head.choices} choices"]


def _length(features: Floats) -> float:
    return float(np.sqrt((features.astype(np.float64) ** 2).sum(axis=1).mean()))


def linear_network(weight: Floats, bias: Floats | None) -> Network:
    """A router without hidden layers.

    Args:
        weight: shape (K, D); or (1, D), one score for two classes: that of the second above the first.
        bias: shape (K,); None: zeros.

    Raises:
        ConfigError: no matrix, a bias of another size, or a number that is not finite.
    """
    if weight.ndim != 2 or not weight.size:  # noqa: PLR2004 - a matrix
        raise ConfigError(f"the weight has shape {weight.shape}; expected (K, D): a row for each choice")
    offset = np.zeros(len(weight), np.float32) if bias is None else bias.reshape(-1)
    if len(offset) != len(weight):
        cure = "transpose the weight" if len(offset) == weight.shape[1] else "expected (K, D) and (K,)"
        raise ConfigError(f"the weight has shape {weight.shape}, the bias {offset.shape}: {cure}")
    if not (np.isfinite(weight).all() and np.isfinite(offset).all()):
        raise ConfigError("weight or bias holds a number that is not finite")
    if len(weight) == 1:
        weight, offset = np.vstack([np.zeros_like(weight), weight]), np.append(np.float32(0), offset)
    return Network((), HEAD_ONLY, Head(np.ascontiguousarray(weight), np.asarray(offset, np.float32)))


def network_of(tensors: Mapping[str, Floats], activation: str, order: Sequence[str] = ()) -> Network:
    """Puts a network together.

    Args:
        tensors: by name, in the order in which layers follow each other.
        activation: a key of ``ACTIVATIONS``; ``HEAD_ONLY`` for a linear router.
        order: names of the layers, such as ``gate.0``, where the file's order is not theirs or it holds more.

    Raises:
        ConfigError: a tensor that is no linear layer or layer norm, layers that do not fit each other, more layers than
            the activation speaks of; says what was found, and how to name what is meant.
    """
    modules = _modules(tensors, order)
    layers: list[Layer] = []
    before = ""
    for name, module in modules.items():
        weight = module["weight"]
        bias = module.get("bias", np.zeros(len(weight), np.float32))
        if weight.ndim == 1:
            _check_norm(name, before, layers, weight)
            layers[-1] = Layer(layers[-1].weight, layers[-1].bias, weight, bias)
        else:
            layers.append(Layer(weight, bias))
        before = name
    _check_chain(layers, modules)
    *hidden, last = layers
    if last.scale is not None:
        raise ConfigError(f"the last layer is a layer norm; a head ends in a linear layer{_meant(modules)}")
    if hidden and activation not in ACTIVATIONS:
        raise ConfigError(
            f"there is a hidden layer, and nothing says what comes after it: name the activation, one of "
            f"{', '.join(ACTIVATIONS)}"
        )
    if len({layer.scale is None for layer in hidden}) > 1:
        raise ConfigError("some hidden layers have a layer norm and some have none; all or none can be served")
    return Network(tuple(hidden), activation, Head(last.weight, last.bias))


def _modules(tensors: Mapping[str, Floats], order: Sequence[str]) -> dict[str, dict[str, Floats]]:
    """Weight and bias by the name of their module."""
    found: dict[str, dict[str, Floats]] = {}
    for name, tensor in tensors.items():
        owner, _, kind = name.rpartition(".")
        found.setdefault(owner, {})[kind] = tensor
    if missing := [wanted for wanted in order if wanted not in found]:
        raise ConfigError(f"there is no layer {missing[0]!r}{_meant(found)}")
    modules = {wanted: found[wanted] for wanted in order} if order else found
    for name, module in modules.items():
        if not set(module) <= set(KINDS) or "weight" not in module or module["weight"].ndim not in (1, 2):
            what = ", ".join(f"{kind} {tensor.shape}" for kind, tensor in module.items())
            raise ConfigError(f"{name or 'the file'} holds {what}: no linear layer and no layer norm{_meant(found)}")
    return modules


def _check_norm(name: str, before: str, layers: Sequence[Layer], scale: Floats) -> None:
    if not layers or layers[-1].scale is not None or layers[-1].weight.shape[0] != len(scale):
        raise ConfigError(f"{name} is a layer norm that does not follow a linear layer of its size")
    places = [place.rpartition(".")[2] for place in (before, name)]
    if all(place.isdecimal() for place in places) and int(places[1]) != int(places[0]) + 1:
        # In an nn.Sequential the numbers are places: something is between the two.
        raise ConfigError(
            f"the layer norm {name} does not follow {before} at once; one that comes after the activation cannot be "
            "served: let the host compute the layers up to it, and give their output as features"
        )


def _check_chain(layers: Sequence[Layer], modules: Mapping[str, Mapping[str, Floats]]) -> None:
    if not layers:
        raise ConfigError("it holds no linear layer")
    for layer in layers:
        if layer.bias.shape != (len(layer.weight),):
            raise ConfigError(f"a weight of {layer.weight.shape} has a bias of {layer.bias.shape}")
    for one, two in pairwise(layers):
        if two.weight.shape[1] != len(one.weight):
            raise ConfigError(
                f"a layer of {one.weight.shape} is followed by one of {two.weight.shape}, which takes another width"
                f"{_meant(modules)}"
            )


def _meant(modules: Mapping[str, object]) -> str:
    named = ", ".join(name or "weight" for name in modules)
    return f"; it holds the layers {named:.300}: name those of the router, in their order, with --layers A,B,C"
