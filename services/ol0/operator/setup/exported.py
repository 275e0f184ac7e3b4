"""Any torch module as a graph of the operations that a checkpoint may hold: what its forward does, without its code."""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from ol0.controller.heads import Floats, Head
from ol0.controller.operations import Number, Shape
from ol0.controller.trunk import Trunk
from ol0.controller.trunk_form import MAX_NODES, Graph, Node
from ol0.errors import ConfigError
from ol0.operator.setup.network import TRANSPOSED, Network

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
        module: an ``nn.Module`` of (n, D) to (n, K). It is traced, in evaluation mode, and not changed.
        features: D.

    Raises:
        ConfigError: its forward cannot be traced, or does something that a checkpoint cannot hold; names the operation
            and the line of the forward.
    """
    import torch  # noqa: PLC0415 - an extra; whoever has a module has it

    training = module.training
    example = next(module.parameters()).new_zeros((3, features))
    try:
        rows = torch.export.Dim("prompts", min=2)
        traced = torch.export.export(module.eval(), (example,), dynamic_shapes=({0: rows},), strict=False)
    except Exception as error:  # torch raises errors of many kinds, its own and the forward's
        raise ConfigError(
            f"the module's forward cannot be traced with {features} features: {_why(error)}. {WAY_OUT}"
        ) from error
    finally:
        module.train(training)
    return _Exporter(traced, features).network()


def _why(error: Exception) -> str:
    text = str(error).strip()
    if "specialized it to be a constant" in text:
        return "it asks how many prompts there are as a plain number, as len(x) does; x.shape[0] can be traced"
    return f"{text.splitlines()[0]:.300}. If it takes another number of features, bring labelled prompts, too"


@dataclass
class _Exporter:
    """Turns torch's graph into nodes, from its output backwards: what the output does not need is left out."""

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

    def network(self) -> Network:
        """Nodes and tensors below the last linear layer, which becomes the head; all of them if there is none."""
        (output,) = (node for node in self.traced.graph.nodes if node.op == "output")
        (last,) = output.args[0]
        if named(last) in ENDS and _axis(last.args[1], 2) == -1:
            last = last.args[0]
        if named(last) == "linear" and (below := self.value(last.args[0])).rank == 2:  # noqa: PLR2004 - (n, H)
            head = Head(self.array(last.args[1]), self._bias(last))
        else:
            below = self.value(last)
            size = below.shape[-1] if below.shape else 0
            head = Head(np.eye(size, dtype=np.float32), np.zeros(size, np.float32))
        if below.fixed or len(below.shape) != 1:
            raise ConfigError(f"the module gives {below.shape} for a prompt; a router gives a number for each choice")
        if not self.nodes:
            return Network(None, head, ())
        if len(self.nodes) > MAX_NODES:
            raise ConfigError(f"its forward takes {len(self.nodes)} operations; {MAX_NODES} are the most. {WAY_OUT}")
        trunk = Trunk(Graph(tuple(self.nodes), self.features, 1.0), self.tensors)
        size = sum(tensor.size for tensor in self.tensors.values())
        found = f"hidden part    {self.features} to {below.shape[0]}, {len(self.nodes)} operations, {size:,} weights"
        return Network(trunk, head, (found,))

    def value(self, node: Fx) -> Value:
        """What a node gives."""
        found = self.values(node)
        if isinstance(found, list):
            raise refused(node, "gives several values")
        return found

    def values(self, node: Fx) -> "Value | list[Value]":
        """What a node gives, or each of what it gives."""
        if node not in self._done:
            self._done[node] = self._converted(node)
        return self._done[node]

    def _converted(self, node: Fx) -> "Value | list[Value]":
        if node.op == "placeholder":
            return self.held(node) if node.name in self._names else Value(0, (self.features,))
        if (handler := HANDLERS.get(named(node))) is None:
            raise refused(node, "is none that a checkpoint can hold")
        try:
            found = handler(self, node)
        except (TypeError, ValueError, IndexError, AttributeError) as error:
            raise refused(node, f"is called in a way that cannot be held ({error})") from error
        if isinstance(found, Value) and not found.fixed and found.shape != self.shape_in_torch(node, found):
            raise refused(node, f"gives {found.shape} here and {self.shape_in_torch(node, found)} in torch")
        return found

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
        """A parameter's or buffer's numbers.

        Raises:
            ConfigError: it is the result of a computation, or holds no float32.
        """
        if node.op != "placeholder" or node.name not in self._names:
            raise refused(node, "has to be a parameter itself")
        return np.array(self._held[self._names[node.name]].detach().cpu().numpy(), np.float32)

    def named_tensor(self, node: Fx, *, transposed: bool = False) -> str:
        """Puts a parameter among the tensors, and returns its name there."""
        array, name = self.array(node), self._names[node.name]
        name = f"{name}{TRANSPOSED}" if transposed else name
        self.tensors.setdefault(name, np.ascontiguousarray(array.T if transposed else array))
        return name

    def _bias(self, node: Fx) -> Floats:
        bias = argument(node, 2, "bias")
        return np.zeros(len(self.array(node.args[1])), np.float32) if bias is None else self.array(bias)

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
        rank = max(one.rank, other.rank)
        one, other = (self._of_rank(it, rank, node) if not (one.fixed and other.fixed) else it for it in (one, other))
        return self.put(operation, (one, other), np.broadcast_shapes(one.shape, other.shape))

    def _of_rank(self, value: Value, rank: int, node: Fx) -> Value:
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

    def of_shape_in_torch(self, node: Fx, value: Value) -> Value:
        """The same numbers in the shape that torch says the node has."""
        return self.reshaped(value, self.shape_in_torch(node, value))

    def shape_in_torch(self, node: Fx, value: Value) -> Shape:
        """Of one prompt's part.

        Raises:
            ConfigError: its first axis is not that of the prompts any more.
        """
        sizes = tuple(node.meta["val"].shape)
        if value.fixed and all(isinstance(size, int) for size in sizes):
            return sizes
        given = next(it for it in self.traced.graph.nodes if it.op == "placeholder" and it.name not in self._names)
        if not sizes or sizes[0] != given.meta["val"].shape[0] or not all(isinstance(it, int) for it in sizes[1:]):
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


def _axis(axis: int, rank: int) -> int:
    return axis - rank if axis >= 0 else axis


def axis_of(node: Fx, value: Value, axis: int) -> int:
    """Counted from the last one.

    Raises:
        ConfigError: it is the prompts'.
    """
    found = _axis(axis, value.rank)
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


def _reshape(exporter: _Exporter, node: Fx) -> Value:
    return exporter.of_shape_in_torch(node, exporter.value(node.args[0]))


def _gelu(exporter: _Exporter, node: Fx) -> Value:
    exact = argument(node, 1, "approximate", "none") == "none"
    return exporter.each("gelu" if exact else "gelu_tanh", exporter.value(node.args[0]))


def _elu(exporter: _Exporter, node: Fx) -> Value:
    if [float(it) for it in node.args[2:]] not in ([], [1.0], [1.0, 1.0]):
        raise refused(node, "has a scale")
    return exporter.each("elu", exporter.value(node.args[0]), float(argument(node, 1, "alpha", 1.0)))


def _softplus(exporter: _Exporter, node: Fx) -> Value:
    if float(argument(node, 1, "beta", 1.0)) != 1:
        raise refused(node, "has a beta")
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
    one, other = node.args[:2]
    if isinstance(other, int | float):
        return exporter.each("affine", exporter.value(one), 1 / other, 0.0)
    inverse = exporter.each("power", exporter.value(other), -1.0)
    return exporter.both("multiply", node, exporter.value(one), inverse)


def _linear(exporter: _Exporter, node: Fx) -> Value:
    value, weight = exporter.value(node.args[0]), exporter.named_tensor(node.args[1])
    bias = argument(node, 2, "bias")
    names = (weight,) if bias is None else (weight, exporter.named_tensor(bias))
    shape = (*value.shape[:-1], len(exporter.tensors[weight]))
    return exporter.put("linear", (value,), shape, tensors=names, fixed=value.fixed)


def _matmul(exporter: _Exporter, node: Fx) -> Value:
    one, other = node.args[:2]
    if other.op == "placeholder" and other.meta["val"].ndim == 2 and not (left := exporter.value(one)).fixed:  # noqa: PLR2004
        weight = exporter.named_tensor(other, transposed=True)
        shape = (*left.shape[:-1], len(exporter.tensors[weight]))
        return exporter.put("linear", (left,), shape, tensors=(weight,))
    return _product(exporter, node, exporter.value(one), exporter.value(other))


def _product(exporter: _Exporter, node: Fx, one: Value, other: Value) -> Value:
    if min(len(one.shape), len(other.shape)) < 2 or one.shape[:-2] != other.shape[:-2]:  # noqa: PLR2004 - matrices
        raise refused(node, f"multiplies {one.shape} by {other.shape}: a prompt's own two matrices can be, or a weight")
    return exporter.put("product", (one, other), (*one.shape[:-1], other.shape[-1]))


def _attention(exporter: _Exporter, node: Fx) -> Value:
    if argument(node, 3, "attn_mask") is not None or argument(node, 5, "is_causal", default=False):
        raise refused(node, "has a mask")
    query, key, value = (exporter.value(it) for it in node.args[:3])
    scale = argument(node, 6, "scale") or query.shape[-1] ** -0.5
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
    epsilon = argument(node, 3, "eps")
    squares = exporter.each("power", value, 2.0)
    total = exporter.put("sum", (squares,), (*value.shape[:-1], 1), -1)
    epsilon = float(np.finfo(np.float32).eps) if epsilon is None else float(epsilon)
    inverse = exporter.each("power", exporter.each("affine", total, 1 / value.shape[-1], epsilon), -0.5)
    return _scaled(exporter, node, exporter.both("multiply", node, value, inverse), argument(node, 2, "weight"), None)


def _batch_norm(exporter: _Exporter, node: Fx) -> Value:
    value, (scale, shift, mean, variance) = exporter.value(node.args[0]), node.args[1:5]
    if len(value.shape) != 1 or mean is None:
        raise refused(node, "is no batch norm with running statistics of a vector of features")
    centre = exporter.each("affine", exporter.value(mean), -1.0, 0.0)
    epsilon = float(node.args[7])
    inverse = exporter.each("power", exporter.each("affine", exporter.value(variance), 1.0, epsilon), -0.5)
    normed = exporter.both("multiply", node, exporter.both("add", node, value, centre), inverse)
    return _scaled(exporter, node, normed, scale, shift)


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
    return exporter.of_shape_in_torch(node, total)


def _mean(exporter: _Exporter, node: Fx) -> Value:
    total, count = _sum_over(exporter, node, exporter.value(node.args[0]), argument(node, 1, "dim"))
    return exporter.of_shape_in_torch(node, exporter.each("affine", total, 1 / count, 0.0))


def _length(exporter: _Exporter, node: Fx) -> Value:
    if float(argument(node, 1, "ord", 2)) != 2:  # noqa: PLR2004 - the Euclidean one
        raise refused(node, "is another norm than the Euclidean one")
    squares = exporter.each("power", exporter.value(node.args[0]), 2.0)
    total, _ = _sum_over(exporter, node, squares, argument(node, 2, "dim"))
    return exporter.of_shape_in_torch(node, exporter.each("power", total, 0.5))


def _transpose(exporter: _Exporter, node: Fx) -> Value:
    value = exporter.value(node.args[0])
    return _swapped(exporter, value, *(axis_of(node, value, axis) for axis in node.args[1:3]))


def _swapped(exporter: _Exporter, value: Value, one: int, other: int) -> Value:
    shape = list(value.shape)
    shape[one], shape[other] = shape[other], shape[one]
    return value if one == other else exporter.put("swap", (value,), shape, one, other)


def _permute(exporter: _Exporter, node: Fx) -> Value:
    value = exporter.value(node.args[0])
    wanted = [_axis(axis, value.rank) for axis in node.args[1]]
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
    return exporter.of_shape_in_torch(node, _cut(exporter, value, place, start, start + 1))


def _parts(exporter: _Exporter, node: Fx) -> list[Value]:
    """Chunk, split and unbind: the sizes are those that torch found."""
    value = exporter.value(node.args[0])
    unbound = named(node) == "unbind"
    place = axis_of(node, value, argument(node, 1 if unbound else 2, "dim", 0))
    found, start = [], 0
    for part in node.meta["val"]:
        stop = start + (1 if unbound else int(part.shape[place]))
        cut = _cut(exporter, value, place, start, stop)
        found.append(exporter.reshaped(cut, part.shape[1:]) if unbound else cut)
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
    values = [exporter._of_rank(it, rank, node) for it in values]  # noqa: SLF001 - of this file
    place = axis_of(node, values[0], argument(node, 1, "dim", 0))
    return exporter.put("join", values, exporter.shape_in_torch(node, values[0]), place)


def _stack(exporter: _Exporter, node: Fx) -> Value:
    values = [exporter.value(it) for it in node.args[0]]
    place = _axis(argument(node, 1, "dim", 0), values[0].rank + 1)
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
        value = exporter._of_rank(value, len(shape) + 1, node)  # noqa: SLF001 - of this file
    if value.shape == shape:
        return Value(value.number, shape, fixed)
    return exporter.put("expand", (value,), shape, *shape, fixed=fixed)


HANDLERS: Final[Mapping[str, Handler]] = {
    **{name: _each(name) for name in ("relu", "silu", "tanh", "sigmoid", "exp")},
    "gelu": _gelu,
    "softplus": _softplus,
    "elu": _elu,
    "leaky_relu": _each("leaky_relu", 0.01),
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
    "batch_norm": _batch_norm,
    "softmax": _softmax,
    "sum": _sum,
    "mean": _mean,
    "linalg_vector_norm": _length,
    **dict.fromkeys(("reshape", "view", "flatten", "unflatten", "unsqueeze", "squeeze"), _reshape),
    **dict.fromkeys(("dropout", "contiguous", "clone", "detach", "alias", "lift_fresh_copy", "to"), _same),
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
