"""What a manifest says of hidden layers: which operations follow each other, never code."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import chain
from typing import Final, TypeGuard

from ol0.controller.operations import NORM_EPSILON, OPERATIONS, Number, Shape, check_size

ACTIVATIONS: Final = ("relu", "gelu", "silu", "tanh")
"""Of a stack of layers; a graph may have any operation."""
MAX_LAYERS: Final = 8
MAX_NODES: Final = 256
MAX_NAME: Final = 100
MAX_NUMBER: Final = 1e6  # of a gain or an argument
MOST_NUMBERS: Final = 2**22
"""Of all values of one prompt together: 32 MB."""
MOST_WORK: Final = 2**26
"""Multiplications for one prompt: some 30 ms of a core; a checkpoint has 2^24 weights at most."""
FEATURES: Final = 0
"""What a node takes from no other node."""


@dataclass(frozen=True, slots=True)
class Node:
    """One operation.

    Attributes:
        operation: a key of ``OPERATIONS``.
        takes: values that it works on: 0 the features, 1 what the first node gives, and so on; only earlier ones.
        tensors: names of what it works with.
        arguments: numbers that it is told.
    """

    operation: str
    takes: tuple[int, ...] = ()
    tensors: tuple[str, ...] = ()
    arguments: tuple[Number, ...] = ()


Nodes = tuple[Node, ...]
"""A network: the last node's value is what it computes."""


@dataclass(frozen=True)
class Stack:
    """Layers one above the other, each activation(norm(weight x + bias)); the norm is there in all of them or in none.

    Attributes:
        layers: how many.
        activation: of every layer, one of ``ACTIVATIONS``.
        norm: whether every layer has a layer norm.
        gain: what the hidden features are multiplied by, so that they are about as long as the features beside them.
        tuned: whether a checkpoint has the layers a second time, as training changed them.
    """

    layers: int
    activation: str
    norm: bool
    gain: float
    tuned: bool = False

    @cached_property
    def nodes(self) -> Nodes:
        """The same as single operations. Tensors of layer 0 are ``0.weight``, ``0.bias``, ``0.scale``, ``0.shift``."""
        nodes: list[Node] = []
        for layer in range(self.layers):
            nodes.append(Node("linear", (len(nodes),), (f"{layer}.weight", f"{layer}.bias")))
            if self.norm:
                nodes += _layer_norm(len(nodes), layer)
            nodes.append(Node(self.activation, (len(nodes),)))
        return tuple(nodes)

    @property
    def trainable(self) -> tuple[str, ...]:
        """Names of the tensors that training changes."""
        return names_of(self.nodes) if self.tuned else ()

    def dimension(self, shapes: Mapping[str, Shape]) -> int:
        """D, of the shapes of the tensors.

        Raises:
            ValueError: they have none.
        """
        shape = shapes["0.weight"]
        if len(shape) != 2:  # noqa: PLR2004 - a matrix
            raise ValueError(f"0.weight has shape {shape}: no matrix")
        return shape[1]

    @property
    def fields(self) -> dict[str, object]:
        """As the manifest has it. What is not tuned does not say so: earlier versions read it, and digests stay."""
        return {name: value for name, value in asdict(self).items() if name != "tuned" or value}


@dataclass(frozen=True)
class Graph:
    """Any network of these operations.

    Attributes:
        nodes: in an order in which they can be computed.
        features: D.
        gain: see ``Stack``.
        trainable: names of the tensors that a checkpoint has a second time, as training changed them.
    """

    nodes: Nodes
    features: int
    gain: float
    trainable: tuple[str, ...] = ()

    def dimension(self, shapes: Mapping[str, Shape]) -> int:  # noqa: ARG002 - a stack asks its tensors
        """D."""
        return self.features

    @property
    def fields(self) -> dict[str, object]:
        """As the manifest has it."""
        nodes = [[it.operation, it.takes, it.tensors, it.arguments] for it in self.nodes]
        return {"nodes": nodes, "features": self.features, "gain": self.gain, "trainable": self.trainable}


TrunkForm = Stack | Graph


def _layer_norm(value: int, layer: int) -> Nodes:
    """Of a value along its last axis, as nodes that follow node ``value``."""
    return (
        Node("normed", (value,), (), (NORM_EPSILON,)),
        Node("tensor", (), (f"{layer}.scale",)),
        Node("multiply", (value + 1, value + 2)),
        Node("tensor", (), (f"{layer}.shift",)),
        Node("add", (value + 3, value + 4)),
    )


def names_of(nodes: Sequence[Node]) -> tuple[str, ...]:
    """Names of the tensors that nodes work with, each once."""
    return tuple(dict.fromkeys(chain.from_iterable(node.tensors for node in nodes)))


def shapes_of(nodes: Sequence[Node], dimension: int, tensors: Mapping[str, Shape]) -> tuple[Shape, ...]:
    """The shape of every value, the features' first.

    Raises:
        ValueError: an operation cannot work on what it takes; names both. Or all of them together take too much.
    """
    shapes: list[Shape] = [(dimension,)]
    work = 0
    for node in nodes:
        taken = (*(shapes[number] for number in node.takes), *(tensors[name] for name in node.tensors))
        try:
            operation = OPERATIONS[node.operation]
            shapes.append(check_size(operation.shape(taken, node.arguments)))
            work += math.prod(shapes[-1]) * operation.cost(taken)
        except ValueError as error:
            raise ValueError(f"{described(node)}: {error}") from None
    numbers = sum(map(math.prod, shapes))
    if numbers > MOST_NUMBERS or work > MOST_WORK:
        raise ValueError(
            f"a prompt takes {numbers:,} numbers and {work:,} multiplications; {MOST_NUMBERS:,} and {MOST_WORK:,} are "
            "the most"
        )
    return tuple(shapes)


def described(node: Node) -> str:
    """For messages."""
    tensors = ", ".join(node.tensors)
    return f"the operation {node.operation}" + (f" with {tensors:.200}" if tensors else "")


def read_form(value: object) -> TrunkForm:
    """What a manifest says, if it is one of the two.

    Raises:
        ValueError: it is not; says what is right.
    """
    if isinstance(value, dict) and "nodes" in value:
        return _graph(value)
    match value:
        case {"layers": int(layers), "activation": str(activation), "norm": bool(norm), "gain": gain, **rest} if (
            set(rest) <= {"tuned"} and rest.get("tuned", True) is True and 1 <= layers <= MAX_LAYERS
        ):
            if layers is not True and _is_gain(gain) and activation in ACTIVATIONS:
                return Stack(layers, activation, norm, float(gain), tuned=bool(rest))
    raise ValueError(
        f"trunk {value!r:.200} is not 1 to {MAX_LAYERS} layers, an activation of {', '.join(ACTIVATIONS)}, whether "
        "there is a norm, a gain above 0, and at most tuned = true"
    )


def check_form(form: TrunkForm) -> None:
    """A form can be read again.

    Raises:
        ValueError: a number, a name or the count of nodes is beyond what is read.
    """
    read_form(json.loads(json.dumps(form.fields)))


def _graph(value: Mapping[str, object]) -> Graph:
    match value:
        case {"nodes": [*nodes], "features": int(features), "gain": gain, "trainable": [*trainable], **rest} if (
            not rest and features is not True and features > 0 and 1 <= len(nodes) <= MAX_NODES and _is_gain(gain)
        ):
            read = tuple(_node(number, node) for number, node in enumerate(nodes))
            names = tuple(it for it in names_of(read) if it in trainable)
            if list(names) == trainable:
                return Graph(read, features, float(gain), names)
    raise ValueError(
        f"trunk {value!r:.200} is not 1 to {MAX_NODES} nodes, a number of features, a gain above 0, and names of "
        "trainable tensors in the order of the nodes"
    )


def _node(number: int, value: object) -> Node:
    """Node ``number``, the first is 0, which may take the features and every value before its own."""
    match value:
        case [str(operation), [*takes], [*tensors], [*arguments]] if operation in OPERATIONS:
            node = Node(
                operation,
                tuple(it for it in takes if type(it) is int and 0 <= it <= number),
                tuple(it for it in tensors if isinstance(it, str) and 0 < len(it) <= MAX_NAME),
                tuple(it for it in arguments if _is_number(it)),
            )
            left_out = value[1:] != [list(node.takes), list(node.tensors), list(node.arguments)]
            if not left_out and len(tensors) in OPERATIONS[operation].tensors:
                return node
    raise ValueError(
        f"node {number} of the trunk is {value!r:.200}: not an operation of {', '.join(OPERATIONS)}, numbers of "
        f"earlier values, names of its tensors, and numbers up to {MAX_NUMBER:g}"
    )


def _is_number(value: object) -> TypeGuard[Number]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MAX_NUMBER


def _is_gain(value: object) -> TypeGuard[Number]:
    return _is_number(value) and value > 0
