"""A router of the host's own as hidden layers and a head, put together from its tensors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Final

import numpy as np

from ol0.controller.heads import Floats, Head
from ol0.controller.trunk import Trunk
from ol0.controller.trunk_form import ACTIVATIONS, Stack, names_of
from ol0.errors import ConfigError

KINDS: Final = ("weight", "bias")
HEAD_ONLY: Final = "none"
"""In place of an activation: there are no hidden layers."""

Trainable = bool | Sequence[str]
"""Whether the hidden part is to be tuned; or patterns of the names of those parameters that are, such as ``gate.*``."""


@dataclass(frozen=True, slots=True)
class Layer:
    """activation(norm(weight x + bias)).

    Attributes:
        weight: shape (H, D).
        bias: shape (H,).
        scale, shift: of a layer norm between the product and the activation, shape (H,) each; None: there is none.
    """

    weight: Floats
    bias: Floats
    scale: Floats | None = None
    shift: Floats | None = None


@dataclass(frozen=True, slots=True)
class Network:
    """head(hidden part(features)).

    Attributes:
        trunk: the hidden part, frozen; None for a linear router.
        head: of what that gives.
        found: what the hidden part is, in words, a line each.
        names: of a module's parameters, by the name of the tensor: one that is tied to another has several.
    """

    trunk: Trunk | None
    head: Head
    found: tuple[str, ...] = ()
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def dimension(self) -> int:
        """D."""
        return int(self.head.weight.shape[1]) if self.trunk is None else self.trunk.dimension

    def above(self, features: Floats | None, trainable: Trainable = ()) -> tuple[Head, Trunk | None]:
        """What a checkpoint holds: the head, and the trunk that it is above.

        Args:
            features: of some prompts, shape (n, D): hidden features are scaled to be as long as these.
            trainable: whether the learner may tune a copy of the hidden part; or of which tensors, as patterns.

        Raises:
            ConfigError: a pattern that no tensor has, or the layers of a stack, which are tuned together.
        """
        trunk = self.trunk
        if trunk is None:
            if trainable and trainable is not True:
                raise ConfigError("nothing is below the last linear layer, so no parameter can be trained besides it")
            return self.head, None
        if features is not None:
            hidden = trunk(features)[:, : trunk.hidden]
            gain = _length(features) / max(_length(hidden), 1e-12)
            trunk = replace(trunk, form=replace(trunk.form, gain=gain))
        if trainable:
            trunk = trunk.to_be_tuned(None if trainable is True else self._matching(trunk, trainable))
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

    def lines(self, trainable: Trainable = ()) -> list[str]:
        """What was understood, a layer per line."""
        fate = "frozen"
        if trainable is True:
            fate = "tuned by the learner, beside the frozen ones"
        elif trainable and self.trunk is not None:
            size = sum(self.trunk.tensors[name].size for name in self._matching(self.trunk, trainable))
            fate = f"the learner tunes a copy of {', '.join(trainable)} ({size:,} weights)"
        head = f"head           {self.head.weight.shape[1]} to {self.head.choices} choices"
        return [*(f"{line}; {fate}" for line in self.found), head]

    def _matching(self, trunk: Trunk, patterns: Sequence[str]) -> tuple[str, ...]:
        """Names of the tensors whose parameters match a pattern, such as ``gate.*``."""
        if isinstance(trunk.form, Stack):
            raise ConfigError("layers that were put together from a file are all trainable or none is")
        names = {name: self.names.get(name, (name,)) for name in names_of(trunk.form.nodes)}
        for pattern in patterns:
            if not any(fnmatchcase(each, pattern) for every in names.values() for each in every):
                held = ", ".join(" = ".join(every) for every in names.values())
                raise ConfigError(f"no parameter of the hidden part is like {pattern!r}: it has {held:.500}")
        found = (any(fnmatchcase(each, it) for each in every for it in patterns) for every in names.values())
        return tuple(name for name, wanted in zip(names, found, strict=True) if wanted)


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
    return Network(None, Head(np.ascontiguousarray(weight), np.asarray(offset, np.float32)))


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
    return stacked(hidden, activation, Head(last.weight, last.bias))


def stacked(layers: Sequence[Layer], activation: str, head: Head) -> Network:
    """A network of layers one above the other; all of them have a layer norm, or none has."""
    if not layers:
        return Network(None, head)
    tensors = {
        f"{number}.{name}": tensor
        for number, layer in enumerate(layers)
        for name in ("weight", "bias", "scale", "shift")
        if (tensor := getattr(layer, name)) is not None
    }
    norm = layers[0].scale is not None
    kind = f"{', layer norm' if norm else ''}, {activation}"
    found = tuple(f"hidden layer   {it.weight.shape[1]} to {it.weight.shape[0]}{kind}" for it in layers)
    return Network(Trunk(Stack(len(layers), activation, norm, 1.0), tensors), head, found)


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
