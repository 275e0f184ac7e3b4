"""Torch's graph, node by node, as the nodes of a trunk."""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from ol0.controller.heads import Floats, Head
from ol0.controller.operations import Number, Shape
from ol0.controller.trunk import Trunk
from ol0.controller.trunk_form import FEATURES, MAX_NUMBER, Graph, Node, check_form, names_of
from ol0.errors import ConfigError
from ol0.operator.setup.network import Network

Fx = Any  # a node of torch's graph, or what one was called with; torch is imported where a module is brought
Handler = Callable[["Exporter", Fx], "Value | list[Value]"]
"""Turns one operation of torch's into nodes."""

ENDS: Final = frozenset({"softmax", "log_softmax"})
"""What a router may end with: heads give logits, and the policy is their softmax anyway."""
WAY_OUT: Final = "Let the host compute what is below it, and bring the layers above as a module of their own"


@dataclass(frozen=True, slots=True)
class Value:
    """What a node of torch's graph became.

    Attributes:
        number: of the value, as ``Node.takes`` has it.
        shape: of one prompt's part.
        fixed: it is the same for all prompts; then torch's shape has no axis for them.
    """

    number: int
    shape: Shape
    fixed: bool = False

    @property
    def rank(self) -> int:
        """Axes that it has in torch."""
        return len(self.shape) + (not self.fixed)


@dataclass
class Exporter:
    """Turns torch's graph into nodes, those that the output needs."""

    traced: Any
    features: int
    handlers: "Mapping[str, Handler]"
    nodes: list[Node] = field(default_factory=list)
    tensors: dict[str, Floats] = field(default_factory=dict)
    _done: dict[Any, "Value | list[Value]"] = field(default_factory=dict)
    _fixed: dict[str, Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        signature = self.traced.graph_signature
        self._names: dict[str, str] = {
            **signature.inputs_to_parameters,
            **signature.inputs_to_buffers,
            **signature.inputs_to_lifted_tensor_constants,
        }
        self._held: Mapping[str, Any] = {**self.traced.constants, **self.traced.state_dict}
        given = [it for it in self.traced.graph.nodes if it.op == "placeholder" and it.name not in self._names]
        self._prompts = given[0].meta["val"].shape[0]
        self._kind = given[0].meta["val"].dtype

    def network(self, names: Mapping[str, tuple[str, ...]]) -> Network:
        """Nodes and tensors below the last linear layer, which becomes the head; all of them if there is none.

        Args:
            names: of each tensor, by the one that it was traced under.
        """
        last = self._output()
        if named(last) in ENDS and axis_from_end(last.args[1], 2) == -1:
            last = last.args[0]
        if named(last) == "linear" and last.args[0].meta["val"].ndim == 2 and self.is_tensor(last.args[1]):  # noqa: PLR2004 - (n, H)
            below = self._all_up_to(last.args[0])
            bias = argument(last, 2, "bias")
            weight = self.array(last.args[1])
            head = Head(weight, np.zeros(len(weight), np.float32) if bias is None else self.array(bias))
        else:
            below = self._all_up_to(last)
            size = below.shape[-1] if below.shape else 0
            head = Head(np.eye(size, dtype=np.float32), np.zeros(size, np.float32))
        if below.fixed or len(below.shape) != 1:
            raise ConfigError(f"the module gives {below.shape} for a prompt; a router gives a number for each choice")
        if not below.number:
            return Network(None, head)
        trunk = self._trunk(below)
        size = sum(tensor.size for tensor in trunk.tensors.values())
        found = (
            f"hidden part    {self.features} to {below.shape[0]}, {len(trunk.form.nodes)} operations, {size:,} weights"
        )
        return Network(trunk, head, (found,), {name: names.get(name, (name,)) for name in trunk.tensors})

    def _trunk(self, output: Value) -> Trunk:
        """What the output needs of the nodes, in their order: it is the last of them."""
        needed, waiting = {FEATURES}, [output.number]
        while waiting:
            number = waiting.pop()
            if number not in needed:
                needed.add(number)
                waiting += self.nodes[number - 1].takes
        order = sorted(needed)
        place = {number: new for new, number in enumerate(order)}
        kept = [self.nodes[number - 1] for number in order[1:]]
        nodes = tuple(replace(it, takes=tuple(place[number] for number in it.takes)) for it in kept)
        form = Graph(nodes, self.features, 1.0)
        check_form(form)
        return Trunk(form, {name: self.tensors[name] for name in names_of(nodes)})

    def _output(self) -> Fx:
        (output,) = (node for node in self.traced.graph.nodes if node.op == "output")
        if self.traced.graph_signature.buffers_to_mutate:
            raise ConfigError(f"the forward changes a buffer, so it answers otherwise each time. {WAY_OUT}")
        found = output.args[0]
        several = not isinstance(found, list | tuple) or len(found) != 1 or not hasattr(found[0], "op")
        whole = self.traced.call_spec.out_spec.is_leaf()
        if several or not whole:
            raise ConfigError(
                "the forward gives something else than one tensor; a router gives (n, K): wrap it in a module that does"
            )
        return found[0]

    def _all_up_to(self, last: Fx) -> Value:
        """Converts what a node needs, in torch's order, which is one in which it can be computed."""
        needed, waiting = set(), [last]
        while waiting:
            node = waiting.pop()
            if node not in needed:
                needed.add(node)
                waiting += node.all_input_nodes
        for node in self.traced.graph.nodes:
            is_size = not (hasattr(val := node.meta.get("val"), "dtype") or isinstance(val, list | tuple))
            if node in needed and not is_size:  # shapes are read from torch's own account of them
                self._convert(node)
        return self.value(last)

    def value(self, node: Fx) -> Value:
        """What a node gives."""
        found = self.values(node)
        if isinstance(found, list):
            raise refused(node, "gives several values")
        return found

    def values(self, node: Fx) -> "Value | list[Value]":
        """What a node gives, or each of what it gives; a parameter becomes a value where it is asked for as one."""
        return self._done[node] if node in self._done else self.held(node)

    def _convert(self, node: Fx) -> None:
        if node.op == "placeholder":
            if node.name not in self._names:
                self._done[node] = Value(FEATURES, (self.features,))
            return
        if (handler := self.handlers.get(named(node))) is None:
            raise refused(node, "is none that a checkpoint can hold")
        before = len(self.nodes)
        try:
            found = handler(self, node)
        except (TypeError, ValueError, IndexError, AttributeError, KeyError) as error:
            raise refused(node, "is called in a way that a checkpoint cannot hold") from error
        if isinstance(found, Value):
            if node.meta["val"].dtype != self._kind:
                raise refused(node, f"gives {node.meta['val'].dtype}; only {self._kind} is computed")
            if found.shape != self.shape_in_torch(node, found):
                raise refused(node, f"gives {found.shape} here and {self.shape_in_torch(node, found)} in torch")
        for it in self.nodes[before:]:
            if large := [number for number in it.arguments if not abs(number) <= MAX_NUMBER]:
                raise refused(node, f"has the number {large[0]:g}; up to {MAX_NUMBER:g} can be held")
        self._done[node] = found

    def is_tensor(self, node: Fx) -> bool:
        """Whether it is a parameter or buffer itself."""
        return bool(node.op == "placeholder" and node.name in self._names)

    def held(self, node: Fx) -> Value:
        """A parameter or buffer as a value, in the shape that torch has it."""
        name = self._names[node.name]
        if name not in self._fixed:
            array = self.array(node)
            shape = array.shape
            self.tensors[name] = array if array.ndim in (1, 2) else array.reshape(-1)
            stored = self.put("tensor", (), self.tensors[name].shape, tensors=(name,), fixed=True)
            self._fixed[name] = stored if array.ndim in (1, 2) else self.reshaped(stored, shape)
        return self._fixed[name]

    def array(self, node: Fx) -> Floats:
        """A parameter's or buffer's numbers."""
        return np.array(self._held[self._names[node.name]].detach().numpy(), np.float32)

    def named_tensor(self, node: Fx) -> str:
        """Puts a parameter of one or two axes among the tensors, and returns its name there."""
        name = self._names[node.name]
        self.tensors.setdefault(name, self.array(node))
        return name

    def put(
        self,
        operation: str,
        takes: Sequence[Value],
        shape: Sequence[int],
        *arguments: Number,
        tensors: tuple[str, ...] = (),
        fixed: bool | None = None,
    ) -> Value:
        """One more node."""
        self.nodes.append(Node(operation, tuple(it.number for it in takes), tensors, arguments))
        return Value(len(self.nodes), tuple(shape), all(it.fixed for it in takes) if fixed is None else fixed)

    def each(self, operation: str, value: Value, *arguments: Number) -> Value:
        """An operation on every number."""
        return self.put(operation, (value,), value.shape, *arguments)

    def reshaped(self, value: Value, shape: Sequence[int]) -> Value:
        """The same numbers in another shape."""
        return value if value.shape == tuple(shape) else self.put("reshape", (value,), shape, *shape)

    def both(self, operation: str, node: Fx, one: Value, other: Value) -> Value:
        """An operation on two values whose shapes fit each other as in torch."""
        if one.fixed and other.fixed:
            rank = max(len(one.shape), len(other.shape))
            one, other = (self.reshaped(it, (*[1] * (rank - len(it.shape)), *it.shape)) for it in (one, other))
        else:
            rank = max(one.rank, other.rank)
            one, other = (self.of_rank(it, rank, node) for it in (one, other))
        return self.put(operation, (one, other), np.broadcast_shapes(one.shape, other.shape))

    def of_rank(self, value: Value, rank: int, node: Fx) -> Value:
        """With as many axes as a value of this rank has beside the prompts'."""
        if not value.fixed:
            if value.rank != rank:
                raise refused(node, "would mix prompts")
            return value
        if value.rank == rank:
            if value.shape[0] != 1:
                raise refused(node, "would mix prompts")
            return self.reshaped(value, value.shape[1:])
        return self.reshaped(value, (*([1] * (rank - 1 - value.rank)), *value.shape))

    def shape_in_torch(self, node: Fx, value: Value) -> Shape:
        """Of one prompt's part.

        Raises:
            ConfigError: its first axis is not that of the prompts any more.
        """
        return self.part_in_torch(node, node.meta["val"], value)

    def part_in_torch(self, node: Fx, tensor: Any, value: Value) -> Shape:  # noqa: ANN401
        """The same of one of several results."""
        sizes = tuple(tensor.shape)
        if value.fixed and all(isinstance(size, int) for size in sizes):
            return sizes
        if not sizes or sizes[0] != self._prompts or not all(isinstance(it, int) for it in sizes[1:]):
            raise refused(node, "would mix prompts, or moves their axis from the first place")
        return sizes[1:]


def named(node: Fx) -> str:
    """``softmax`` of aten.softmax.int."""
    target = getattr(node, "target", None)
    return "getitem" if target is operator.getitem else str(target).split(".")[1] if "." in str(target) else str(target)


def refused(node: Fx, why: str) -> ConfigError:
    """An error that names the operation, and the line of the forward that it comes from."""
    trace = str(node.meta.get("stack_trace") or "").strip().splitlines()
    where = f", at `{trace[-1].strip():.120}`" if trace else ""
    return ConfigError(f"the operation {named(node)}{where} {why}. {WAY_OUT}")


def argument(node: Fx, place: int, name: str, default: object = None) -> Any:  # noqa: ANN401 - of any kind
    """An argument by place or by name."""
    return node.args[place] if len(node.args) > place else node.kwargs.get(name, default)


def axis_from_end(axis: int, rank: int) -> int:
    """-1 is the last one."""
    return axis - rank if axis >= 0 else axis


def axis_of(node: Fx, value: Value, axis: int) -> int:
    """Counted from the last one.

    Raises:
        ConfigError: it is the prompts'.
    """
    found = axis_from_end(axis, value.rank)
    if not -len(value.shape) <= found < 0:
        raise refused(node, "would mix prompts")
    return found
