"""Hidden layers below the heads, as a network of the host's own has them: declared, served in numpy."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Self

import numpy as np

from ol0.controller.heads import Doubles, Floats, Head
from ol0.controller.operations import OPERATIONS, Number, Shape
from ol0.controller.trunk_form import FEATURES, Graph, Nodes, TrunkForm, names_of, shapes_of

AT_ONCE: Final = 2**22
"""Numbers of all values that are held at once, 32 MB: what a trunk may need beyond its result."""

Tensors = Mapping[str, Floats]
Steps = tuple[tuple[Callable[..., Doubles], tuple[int, ...], tuple[Doubles | Number, ...]], ...]
"""Nodes, ready to be computed: the function, the numbers of the values, and tensors and arguments."""


@dataclass(frozen=True, slots=True)
class Trunk:
    """Features (n, D) to what the heads see, (n, H + D): what the network gives, and the features beside it.

    The base's heads look at the hidden part alone. Learnt heads see both, because what a network learnt to keep of old
    kinds of prompts may be little of a new kind. Where something is tuned, they see a third part, (n, 2 H + D): what
    the same network gives with the tensors that training changed. It computes in float64 and rounds once: a prompt
    gives the same numbers alone as in any batch, so that one that repeats is known again. Immutable.

    Attributes:
        form: as the manifest has it.
        tensors: belong to the base for good, in the order in which the form names them.
        tuned: those of them that are trainable, as training changed them.
    """

    form: TrunkForm
    tensors: Tensors
    tuned: Tensors = field(default_factory=dict)
    _shapes: tuple[Shape, ...] = field(init=False, repr=False, compare=False)
    _steps: Steps = field(init=False, repr=False, compare=False)
    _tuned_steps: Steps = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        shapes = {name: tensor.shape for name, tensor in self.tensors.items()}
        found = shapes_of(self.form.nodes, self.form.dimension(shapes), shapes)
        doubles = {name: tensor.astype(np.float64) for name, tensor in self.tensors.items()}
        tuned = {name: tensor.astype(np.float64) for name, tensor in self.tuned.items()}
        object.__setattr__(self, "_shapes", found)
        object.__setattr__(self, "_steps", _compiled(self.form.nodes, doubles))
        object.__setattr__(self, "_tuned_steps", _compiled(self.form.nodes, doubles | tuned))

    @property
    def dimension(self) -> int:
        """D."""
        return self._shapes[FEATURES][0]

    @property
    def hidden(self) -> int:
        """H, the width of what the network gives."""
        return self._shapes[-1][0]

    def to_be_tuned(self, names: tuple[str, ...] | None = None) -> Self:
        """The same network, to be tuned from where it is: these tensors, or all."""
        form = self.form
        if isinstance(form, Graph):
            form = replace(form, trainable=names_of(form.nodes) if names is None else names)
        else:
            form = replace(form, tuned=True)
        return replace(self, form=form, tuned={name: self.tensors[name] for name in form.trainable})

    def head(self, hidden: Head) -> Head:
        """A head of what the network gives, as a head of what this trunk gives."""
        width = self.dimension + (self.hidden if self.tuned else 0)
        beside = np.zeros((hidden.choices, width), np.float32)
        weight = np.concatenate([hidden.weight / np.float32(self.form.gain), beside], axis=1)
        return Head(np.asarray(weight, np.float32), hidden.bias)

    def __call__(self, features: Floats) -> Floats:
        """Shape (n, D) to (n, H + D) or (n, 2 H + D); (D,) likewise."""
        parts = [self._hidden(features, self._steps), features]
        if self.tuned:
            parts.append(self._hidden(features, self._tuned_steps))
        return np.concatenate(parts, axis=-1)

    @property
    def kept(self) -> slice:
        """Columns of what a tuned trunk gives that tuning leaves alone, H + D of them."""
        return slice(None, -self.hidden)

    @property
    def beside(self) -> slice:
        """Those of them that are the features, D."""
        return slice(self.hidden, -self.hidden)

    def as_tuned(self, inputs: Floats) -> Floats:
        """What this trunk gives, of what another with the same frozen tensors gave; of the same shape."""
        if not self.tuned:
            return inputs
        tuned = self._hidden(inputs[:, self.beside], self._tuned_steps)
        return np.concatenate([inputs[:, self.kept], tuned], axis=1)

    def _hidden(self, features: Floats, steps: Steps) -> Floats:
        if features.ndim == 1:
            return np.asarray(self._computed(features[None], steps)[0])
        rows = max(1, AT_ONCE // sum(map(math.prod, self._shapes)))
        if len(features) <= rows:
            return self._computed(features, steps)
        parts = [self._computed(features[start : start + rows], steps) for start in range(0, len(features), rows)]
        return np.concatenate(parts)

    def _computed(self, features: Floats, steps: Steps) -> Floats:
        values: list[Doubles] = [features.astype(np.float64)]
        for compute, takes, told in steps:
            values.append(compute(*[values[number] for number in takes], *told))
        hidden = (self.form.gain * values[-1]).astype(np.float32)
        # A network that looks at no feature has one value for all prompts.
        return hidden if len(hidden) == len(features) else np.repeat(hidden, len(features), axis=0)


def _compiled(nodes: Nodes, tensors: Mapping[str, Doubles]) -> Steps:
    return tuple(
        (OPERATIONS[node.operation].compute, node.takes, (*(tensors[name] for name in node.tensors), *node.arguments))
        for node in nodes
    )


def through(trunk: Trunk | None, inputs: Floats) -> Floats:
    """What heads above this trunk see, of what the base's heads see, (n, D); the same where nothing is tuned."""
    return inputs if trunk is None else trunk.as_tuned(inputs)
