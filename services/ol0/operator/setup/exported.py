"""Any torch module as a graph of the operations that a checkpoint may hold: what its forward does, without its code."""

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
Handler = Callable[["_Exporter", Fx], "Value | list[Value]"]

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


def exported_network(module: Any, features: int) -> Network:  # noqa: ANN401 - torch is not imported at the top
    """The network that a module's forward computes.

    Args:
        module: an ``nn.Module`` of float32, in evaluation mode, of (n, D) to (n, K).
        features: D.

    Raises:
        ConfigError: its forward cannot be traced, or does something that a checkpoint cannot hold; names the operation
            and the line of the forward.
    """
    import torch  # noqa: PLC0415 - an extra; whoever has a module has it

    rows = torch.export.Dim("prompts", min=2)
    try:
        traced = torch.export.export(module, (torch.zeros(3, features),), dynamic_shapes=({0: rows},), strict=False)
        traced = traced.run_decompositions({})  # nothing is changed in place any more, and dropout is gone
    except Exception as error:  # torch raises errors of many kinds, its own and the forward's
        raise ConfigError(
            f"the module's forward cannot be traced with {features} features: {_why(error)}. {WAY_OUT}"
        ) from error
    exporter = _Exporter(traced, features)
    try:
        return exporter.network(_names_by_tensor(module))
    except ValueError as error:
        raise ConfigError(f"what the module's forward does cannot be held: {error}. {WAY_OUT}") from error


def _why(error: Exception) -> str:
    text = str(error).strip()
    if "specialized it to be a constant" in text:
        return "it asks how many prompts there are as a plain number, as len(x) does; x.shape[0] can be traced"
    return (
        f"{text.splitlines()[0] if text else type(error).__name__:.300}. If it takes another number of features, bring "
        "labelled prompts, too"
    )


def _names_by_tensor(module: Any) -> dict[str, tuple[str, ...]]:  # noqa: ANN401
    """All names of each parameter or buffer, by the one that torch traces it under: tied ones have several."""
    by_id: dict[int, list[str]] = {}
    for kind in (module.named_parameters, module.named_buffers):
        for name, tensor in kind(remove_duplicate=False):
            by_id.setdefault(id(tensor), []).append(name)
    return {name: tuple(names) for names in by_id.values() for name in names}


@dataclass
class _Exporter:
    """Turns torch's graph into nodes, those that the output needs."""

    traced: Any
    features: int
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
        if named(last) == "linear" and last.args[0].meta["val"].ndim == 2 and self._is_tensor(last.args[1]):  # noqa: PLR2004 - (n, H)
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
        if (handler := HANDLERS.get(named(node))) is None:
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

    def _is_tensor(self, node: Fx) -> bool:
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


def _each(operation: str, *defaults: float) -> Handler:
    def handler(exporter: _Exporter, node: Fx) -> Value:
        numbers = [argument(node, place, "", default) for place, default in enumerate(defaults, start=1)]
        return exporter.each(operation, exporter.value(node.args[0]), *map(float, numbers))

    return handler


def _power(exponent: float) -> Handler:
    return lambda exporter, node: exporter.each("power", exporter.value(node.args[0]), exponent)


def _same(exporter: _Exporter, node: Fx) -> "Value | list[Value]":
    return exporter.values(node.args[0])


def _as_in_torch(exporter: _Exporter, node: Fx, value: Value) -> Value:
    """The same numbers in the shape that torch says the node has."""
    return exporter.reshaped(value, exporter.shape_in_torch(node, value))


def _reshape(exporter: _Exporter, node: Fx) -> Value:
    return _as_in_torch(exporter, node, exporter.value(node.args[0]))


def _squeeze(exporter: _Exporter, node: Fx) -> Value:
    if len(node.args) == 1:
        raise refused(node, "without an axis drops that of the prompts where there is one: name the axis")
    return _reshape(exporter, node)


def _absolute(exporter: _Exporter, node: Fx) -> Value:
    value = exporter.value(node.args[0])
    negative = exporter.each("relu", exporter.each("affine", value, -1.0, 0.0))
    return exporter.both("add", node, exporter.each("relu", value), negative)


def _glu(exporter: _Exporter, node: Fx) -> Value:
    value = exporter.value(node.args[0])
    axis = axis_of(node, value, argument(node, 1, "dim", -1))
    half = value.shape[axis] // 2
    one, other = (_cut(exporter, value, axis, start, start + half) for start in (0, half))
    return exporter.both("multiply", node, one, exporter.each("sigmoid", other))


def _gelu(exporter: _Exporter, node: Fx) -> Value:
    exact = argument(node, 1, "approximate", "none") == "none"
    return exporter.each("gelu" if exact else "gelu_tanh", exporter.value(node.args[0]))


def _elu(exporter: _Exporter, node: Fx) -> Value:
    if [float(it) for it in node.args[2:]] not in ([], [1.0], [1.0, 1.0]):
        raise refused(node, "has a scale")
    return exporter.each("elu", exporter.value(node.args[0]), float(argument(node, 1, "alpha", 1.0)))


def _softplus(exporter: _Exporter, node: Fx) -> Value:
    if float(argument(node, 1, "beta", 1.0)) != 1 or float(argument(node, 2, "threshold", 20.0)) != 20:  # noqa: PLR2004
        raise refused(node, "has a beta or a threshold of its own")
    return exporter.each("softplus", exporter.value(node.args[0]))


def _clamp(exporter: _Exporter, node: Fx) -> Value:
    value = exporter.value(node.args[0])
    least, most = argument(node, 1, "min"), argument(node, 2, "max")
    value = value if least is None else exporter.each("at_least", value, float(least))
    return value if most is None else exporter.each("at_most", value, float(most))


def _bounds(least: float, most: float) -> Handler:
    def handler(exporter: _Exporter, node: Fx) -> Value:
        low, high = (float(argument(node, place, "", bound)) for place, bound in ((1, least), (2, most)))
        return exporter.each("at_most", exporter.each("at_least", exporter.value(node.args[0]), low), high)

    return handler


def _clamp_max(exporter: _Exporter, node: Fx) -> Value:
    return exporter.each("at_most", exporter.value(node.args[0]), float(node.args[1]))


def _sum_of(exporter: _Exporter, one: Fx, other: Fx, node: Fx, factor: float) -> Value:
    """One + factor * other, either of them a number or a value."""
    if isinstance(other, int | float):
        return exporter.each("affine", exporter.value(one), 1.0, factor * other)
    added = exporter.value(other)
    added = added if factor == 1 else exporter.each("affine", added, factor, 0.0)
    if isinstance(one, int | float):
        return exporter.each("affine", added, 1.0, float(one))
    return exporter.both("add", node, exporter.value(one), added)


def _add(exporter: _Exporter, node: Fx) -> Value:
    return _sum_of(exporter, node.args[0], node.args[1], node, float(node.kwargs.get("alpha", 1)))


def _sub(exporter: _Exporter, node: Fx) -> Value:
    return _sum_of(exporter, node.args[0], node.args[1], node, -float(node.kwargs.get("alpha", 1)))


def _rsub(exporter: _Exporter, node: Fx) -> Value:
    return _sum_of(exporter, node.args[1], node.args[0], node, -float(node.kwargs.get("alpha", 1)))


def _multiply(exporter: _Exporter, node: Fx) -> Value:
    one, other = node.args[:2]
    if isinstance(other, int | float):
        return exporter.each("affine", exporter.value(one), float(other), 0.0)
    return exporter.both("multiply", node, exporter.value(one), exporter.value(other))


def _divide(exporter: _Exporter, node: Fx) -> Value:
    if node.kwargs:
        raise refused(node, "rounds")
    one, other = node.args[:2]
    if isinstance(other, int | float):
        return exporter.each("affine", exporter.value(one), 1 / other, 0.0)
    inverse = exporter.each("power", exporter.value(other), -1.0)
    if isinstance(one, int | float):
        return exporter.each("affine", inverse, float(one), 0.0)
    return exporter.both("multiply", node, exporter.value(one), inverse)


def _linear(exporter: _Exporter, node: Fx) -> Value:
    value, weight, bias = exporter.value(node.args[0]), node.args[1], argument(node, 2, "bias")
    tensors = [it for it in (weight, bias) if it is not None]
    if not all(exporter._is_tensor(it) for it in tensors):  # noqa: SLF001 - of this file
        turned = _swapped(exporter, exporter.value(weight), -1, -2)
        product = _product(exporter, node, value, turned)
        return product if bias is None else exporter.both("add", node, product, exporter.value(bias))
    names = tuple(exporter.named_tensor(it) for it in tensors)
    return exporter.put("linear", (value,), (*value.shape[:-1], int(weight.meta["val"].shape[0])), tensors=names)


def _matmul(exporter: _Exporter, node: Fx) -> Value:
    one, other = exporter.value(node.args[0]), node.args[1]
    if exporter._is_tensor(other) and other.meta["val"].ndim == 2 and not one.fixed:  # noqa: PLR2004, SLF001
        shape = (*one.shape[:-1], int(other.meta["val"].shape[1]))
        return exporter.put("project", (one,), shape, tensors=(exporter.named_tensor(other),))
    return _product(exporter, node, one, exporter.value(other))


def _product(exporter: _Exporter, node: Fx, one: Value, other: Value) -> Value:
    """Of matrices; a prompt's vector is a matrix of one row."""
    vector = not one.fixed and len(one.shape) == 1
    if vector:
        one = exporter.reshaped(one, (1, *one.shape))
    if min(len(one.shape), len(other.shape)) < 2 or one.shape[:-2] != other.shape[:-2]:  # noqa: PLR2004 - matrices
        raise refused(node, f"multiplies {one.shape} by {other.shape}: a prompt's own two matrices can be, or a weight")
    found = exporter.put("product", (one, other), (*one.shape[:-1], other.shape[-1]))
    return exporter.reshaped(found, found.shape[1:]) if vector else found


def _attention(exporter: _Exporter, node: Fx) -> Value:
    if argument(node, 3, "attn_mask") is not None or argument(node, 5, "is_causal") or argument(node, 4, "dropout_p"):
        raise refused(node, "has a mask or a dropout")
    query, key, value = (exporter.value(it) for it in node.args[:3])
    scale = argument(node, 6, "scale")
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    swapped = exporter.put("swap", (key,), (*key.shape[:-2], key.shape[-1], key.shape[-2]), -1, -2)
    scores = exporter.each("affine", _product(exporter, node, query, swapped), float(scale), 0.0)
    return _product(exporter, node, exporter.each("softmax", scores, -1), value)


def _layer_norm(exporter: _Exporter, node: Fx) -> Value:
    value = exporter.value(node.args[0])
    if len(node.args[1]) != 1:
        raise refused(node, "takes several axes")
    normed = exporter.each("normed", value, float(argument(node, 4, "eps", 1e-5)))
    return _scaled(exporter, node, normed, argument(node, 2, "weight"), argument(node, 3, "bias"))


def _scaled(exporter: _Exporter, node: Fx, value: Value, scale: Fx, shift: Fx) -> Value:
    for operation, tensor in (("multiply", scale), ("add", shift)):
        if tensor is not None:
            value = exporter.both(operation, node, value, exporter.value(tensor))
    return value


def _rms_norm(exporter: _Exporter, node: Fx) -> Value:
    value = exporter.value(node.args[0])
    if len(node.args[1]) != 1:
        raise refused(node, "takes several axes")
    epsilon = argument(node, 3, "eps")
    squares = exporter.each("power", value, 2.0)
    total = exporter.put("sum", (squares,), (*value.shape[:-1], 1), -1)
    epsilon = float(np.finfo(np.float32).eps) if epsilon is None else float(epsilon)
    inverse = exporter.each("power", exporter.each("affine", total, 1 / value.shape[-1], epsilon), -0.5)
    return _scaled(exporter, node, exporter.both("multiply", node, value, inverse), argument(node, 2, "weight"), None)


def _batch_norm(exporter: _Exporter, node: Fx) -> list[Value]:
    value, (scale, shift, mean, variance, _, epsilon) = exporter.value(node.args[0]), node.args[1:7]
    if len(value.shape) != 1:
        raise refused(node, "is no batch norm of a vector of features")
    centre = exporter.each("affine", exporter.value(mean), -1.0, 0.0)
    inverse = exporter.each("power", exporter.each("affine", exporter.value(variance), 1.0, float(epsilon)), -0.5)
    normed = exporter.both("multiply", node, exporter.both("add", node, value, centre), inverse)
    return [_scaled(exporter, node, normed, scale, shift)]


def _softmax(exporter: _Exporter, node: Fx) -> Value:
    value = exporter.value(node.args[0])
    return exporter.each("softmax", value, axis_of(node, value, node.args[1]))


def _sum_over(exporter: _Exporter, node: Fx, value: Value, axes: Sequence[int] | None) -> tuple[Value, int]:
    """The sum, with its axes kept, and over how many numbers it went."""
    if axes is None:
        raise refused(node, "would mix prompts")
    count = 1
    for axis in axes:
        place = axis_of(node, value, axis)
        shape = list(value.shape)
        count, shape[place] = count * shape[place], 1
        value = exporter.put("sum", (value,), shape, place)
    return value, count


def _sum(exporter: _Exporter, node: Fx) -> Value:
    total, _ = _sum_over(exporter, node, exporter.value(node.args[0]), argument(node, 1, "dim"))
    return _as_in_torch(exporter, node, total)


def _mean(exporter: _Exporter, node: Fx) -> Value:
    total, count = _sum_over(exporter, node, exporter.value(node.args[0]), argument(node, 1, "dim"))
    return _as_in_torch(exporter, node, exporter.each("affine", total, 1 / count, 0.0))


def _length(exporter: _Exporter, node: Fx) -> Value:
    if float(argument(node, 1, "ord", 2)) != 2:  # noqa: PLR2004 - the Euclidean one
        raise refused(node, "is another norm than the Euclidean one")
    squares = exporter.each("power", exporter.value(node.args[0]), 2.0)
    total, _ = _sum_over(exporter, node, squares, argument(node, 2, "dim"))
    return _as_in_torch(exporter, node, exporter.each("power", total, 0.5))


def _transpose(exporter: _Exporter, node: Fx) -> Value:
    value = exporter.value(node.args[0])
    return _swapped(exporter, value, *(axis_of(node, value, axis) for axis in node.args[1:3]))


def _swapped(exporter: _Exporter, value: Value, one: int, other: int) -> Value:
    shape = list(value.shape)
    shape[one], shape[other] = shape[other], shape[one]
    return value if one == other else exporter.put("swap", (value,), shape, one, other)


def _permute(exporter: _Exporter, node: Fx) -> Value:
    value = exporter.value(node.args[0])
    wanted = [axis_from_end(axis, value.rank) for axis in node.args[1]]
    if not value.fixed and wanted.pop(0) != -value.rank:
        raise refused(node, "moves the prompts' axis from the first place")
    places = list(range(-len(wanted), 0))
    for place, axis in zip(list(places), wanted, strict=True):
        now = places.index(axis) - len(places)
        value = _swapped(exporter, value, place, now)
        places[place], places[now] = places[now], places[place]
    return value


def _cut(exporter: _Exporter, value: Value, axis: int, start: int, stop: int) -> Value:
    shape = list(value.shape)
    if (start, stop) == (0, shape[axis]):
        return value
    shape[axis] = stop - start
    return exporter.put("cut", (value,), shape, axis, start, stop)


def _slice(exporter: _Exporter, node: Fx) -> Value:
    value, axis = exporter.value(node.args[0]), argument(node, 1, "dim", 0)
    start, stop, step = argument(node, 2, "start") or 0, argument(node, 3, "end"), argument(node, 4, "step", 1)
    whole = start == 0 and (stop is None or stop >= 2**62) and step == 1
    if whole:
        return value
    place = axis_of(node, value, axis)
    if step != 1:
        raise refused(node, "has a step")
    start, stop, _ = slice(start, stop).indices(value.shape[place])
    return _cut(exporter, value, place, start, stop)


def _select(exporter: _Exporter, node: Fx) -> Value:
    value = exporter.value(node.args[0])
    place = axis_of(node, value, node.args[1])
    start = node.args[2] % value.shape[place]
    return _as_in_torch(exporter, node, _cut(exporter, value, place, start, start + 1))


def _parts(exporter: _Exporter, node: Fx) -> list[Value]:
    """Chunk, split and unbind: the sizes are those that torch found."""
    value = exporter.value(node.args[0])
    unbound = named(node) == "unbind"
    place = axis_of(node, value, argument(node, 1 if unbound else 2, "dim", 0))
    found, start = [], 0
    for part in node.meta["val"]:
        stop = start + (1 if unbound else int(part.shape[place]))
        cut = _cut(exporter, value, place, start, stop)
        found.append(exporter.reshaped(cut, exporter.part_in_torch(node, part, value)) if unbound else cut)
        start = stop
    return found


def _getitem(exporter: _Exporter, node: Fx) -> Value:
    found = exporter.values(node.args[0])
    if not isinstance(found, list):
        raise refused(node, "takes a part of a single value")
    return found[int(node.args[1])]


def _join(exporter: _Exporter, node: Fx) -> Value:
    values = [exporter.value(it) for it in node.args[0]]
    if all(it.fixed for it in values):
        raise refused(node, "joins parameters alone")
    rank = max(it.rank for it in values)
    values = [exporter.of_rank(it, rank, node) for it in values]
    place = axis_of(node, values[0], argument(node, 1, "dim", 0))
    return exporter.put("join", values, exporter.shape_in_torch(node, values[0]), place)


def _stack(exporter: _Exporter, node: Fx) -> Value:
    values = [exporter.value(it) for it in node.args[0]]
    place = axis_from_end(argument(node, 1, "dim", 0), values[0].rank + 1)
    if any(it.fixed for it in values) or place == -values[0].rank - 1:
        raise refused(node, "would mix prompts")
    shape = list(values[0].shape)
    shape.insert(len(shape) + place + 1, 1)
    return exporter.put(
        "join", [exporter.reshaped(it, shape) for it in values], exporter.shape_in_torch(node, values[0]), place
    )


def _expand(exporter: _Exporter, node: Fx) -> Value:
    value = exporter.value(node.args[0])
    shape = exporter.shape_in_torch(node, value)
    fixed = value.fixed and len(shape) == node.meta["val"].ndim
    if not fixed:
        value = exporter.of_rank(value, len(shape) + 1, node)
    if value.shape == shape:
        return Value(value.number, shape, fixed)
    return exporter.put("expand", (value,), shape, *shape, fixed=fixed)


HANDLERS: Final[Mapping[str, Handler]] = {
    **{name: _each(name) for name in ("relu", "silu", "tanh", "sigmoid", "exp")},
    "gelu": _gelu,
    "softplus": _softplus,
    "elu": _elu,
    "leaky_relu": _each("leaky_relu", 0.01),
    "glu": _glu,
    "abs": _absolute,
    "pow": _each("power", 2.0),
    "square": _power(2.0),
    "sqrt": _power(0.5),
    "rsqrt": _power(-0.5),
    "reciprocal": _power(-1.0),
    "neg": lambda exporter, node: exporter.each("affine", exporter.value(node.args[0]), -1.0, 0.0),
    "clamp": _clamp,
    "hardtanh": _bounds(-1.0, 1.0),
    "relu6": _bounds(0.0, 6.0),
    "clamp_min": _clamp,
    "clamp_max": _clamp_max,
    "add": _add,
    "sub": _sub,
    "rsub": _rsub,
    "mul": _multiply,
    "div": _divide,
    "linear": _linear,
    **dict.fromkeys(("matmul", "mm", "bmm"), _matmul),
    "scaled_dot_product_attention": _attention,
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "_native_batch_norm_legit_no_training": _batch_norm,
    "softmax": _softmax,
    "sum": _sum,
    "mean": _mean,
    "linalg_vector_norm": _length,
    **dict.fromkeys(("reshape", "view", "_unsafe_view", "flatten", "unflatten", "unsqueeze"), _reshape),
    "squeeze": _squeeze,
    **dict.fromkeys(("contiguous", "clone", "detach", "alias", "lift_fresh_copy", "to", "_to_copy"), _same),
    "transpose": _transpose,
    "permute": _permute,
    "slice": _slice,
    "select": _select,
    **dict.fromkeys(("chunk", "split", "split_with_sizes", "unbind"), _parts),
    "getitem": _getitem,
    "cat": _join,
    "stack": _stack,
    **dict.fromkeys(("expand", "expand_as"), _expand),
}
