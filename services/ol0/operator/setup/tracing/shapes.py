"""Operations of torch's that move numbers, and compute none."""

from collections.abc import Mapping, Sequence
from typing import Final

from ol0.operator.setup.tracing.exporter import (
    Exporter,
    Fx,
    Handler,
    Value,
    argument,
    axis_from_end,
    axis_of,
    named,
    refused,
)


def _same(exporter: Exporter, node: Fx) -> "Value | list[Value]":
    return exporter.values(node.args[0])


def as_in_torch(exporter: Exporter, node: Fx, value: Value) -> Value:
    """The same numbers in the shape that torch says the node has."""
    return exporter.reshaped(value, exporter.shape_in_torch(node, value))


def _reshape(exporter: Exporter, node: Fx) -> Value:
    return as_in_torch(exporter, node, exporter.value(node.args[0]))


def _squeeze(exporter: Exporter, node: Fx) -> Value:
    if len(node.args) == 1:
        raise refused(node, "without an axis drops that of the prompts where there is one: name the axis")
    return _reshape(exporter, node)


def _transpose(exporter: Exporter, node: Fx) -> Value:
    value = exporter.value(node.args[0])
    return swapped(exporter, value, *(axis_of(node, value, axis) for axis in node.args[1:3]))


def swapped(exporter: Exporter, value: Value, one: int, other: int) -> Value:
    """With two axes, counted from the last one, in each other's place."""
    shape = list(value.shape)
    shape[one], shape[other] = shape[other], shape[one]
    return value if one == other else exporter.put("swap", (value,), shape, one, other)


def _permute(exporter: Exporter, node: Fx) -> Value:
    value = exporter.value(node.args[0])
    wanted = [axis_from_end(axis, value.rank) for axis in node.args[1]]
    if not value.fixed and wanted.pop(0) != -value.rank:
        raise refused(node, "moves the prompts' axis from the first place")
    return permuted(exporter, value, wanted)


def permuted(exporter: Exporter, value: Value, wanted: Sequence[int]) -> Value:
    """With its axes in this order, each counted from the last one."""
    places = list(range(-len(wanted), 0))
    for place, axis in zip(list(places), wanted, strict=True):
        now = places.index(axis) - len(places)
        value = swapped(exporter, value, place, now)
        places[place], places[now] = places[now], places[place]
    return value


def cut(exporter: Exporter, value: Value, axis: int, start: int, stop: int) -> Value:
    """A part along an axis, counted from the last one."""
    shape = list(value.shape)
    if (start, stop) == (0, shape[axis]):
        return value
    shape[axis] = stop - start
    return exporter.put("cut", (value,), shape, axis, start, stop)


def _slice(exporter: Exporter, node: Fx) -> Value:
    value, axis = exporter.value(node.args[0]), argument(node, 1, "dim", 0)
    start, stop, step = argument(node, 2, "start") or 0, argument(node, 3, "end"), argument(node, 4, "step", 1)
    whole = start == 0 and (stop is None or stop >= 2**62) and step == 1
    if whole:
        return value
    place = axis_of(node, value, axis)
    if step != 1:
        raise refused(node, "has a step")
    start, stop, _ = slice(start, stop).indices(value.shape[place])
    return cut(exporter, value, place, start, stop)


def _select(exporter: Exporter, node: Fx) -> Value:
    value = exporter.value(node.args[0])
    place = axis_of(node, value, node.args[1])
    start = node.args[2] % value.shape[place]
    return as_in_torch(exporter, node, cut(exporter, value, place, start, start + 1))


def _parts(exporter: Exporter, node: Fx) -> list[Value]:
    """Chunk, split and unbind: the sizes are those that torch found."""
    value = exporter.value(node.args[0])
    unbound = named(node) == "unbind"
    place = axis_of(node, value, argument(node, 1 if unbound else 2, "dim", 0))
    found, start = [], 0
    for part in node.meta["val"]:
        stop = start + (1 if unbound else int(part.shape[place]))
        taken = cut(exporter, value, place, start, stop)
        found.append(exporter.reshaped(taken, exporter.part_in_torch(node, part, value)) if unbound else taken)
        start = stop
    return found


def _getitem(exporter: Exporter, node: Fx) -> Value:
    found = exporter.values(node.args[0])
    if not isinstance(found, list):
        raise refused(node, "takes a part of a single value")
    return found[int(node.args[1])]


def _join(exporter: Exporter, node: Fx) -> Value:
    values = [exporter.value(it) for it in node.args[0]]
    if all(it.fixed for it in values):
        raise refused(node, "joins parameters alone")
    rank = max(it.rank for it in values)
    values = [exporter.of_rank(it, rank, node) for it in values]
    place = axis_of(node, values[0], argument(node, 1, "dim", 0))
    return exporter.put("join", values, exporter.shape_in_torch(node, values[0]), place)


def _stack(exporter: Exporter, node: Fx) -> Value:
    values = [exporter.value(it) for it in node.args[0]]
    place = axis_from_end(argument(node, 1, "dim", 0), values[0].rank + 1)
    if any(it.fixed for it in values) or place == -values[0].rank - 1:
        raise refused(node, "would mix prompts")
    shape = list(values[0].shape)
    shape.insert(len(shape) + place + 1, 1)
    return exporter.put(
        "join", [exporter.reshaped(it, shape) for it in values], exporter.shape_in_torch(node, values[0]), place
    )


def _expand(exporter: Exporter, node: Fx) -> Value:
    value = exporter.value(node.args[0])
    shape = exporter.shape_in_torch(node, value)
    fixed = value.fixed and len(shape) == node.meta["val"].ndim
    if not fixed:
        value = exporter.of_rank(value, len(shape) + 1, node)
    if value.shape == shape:
        return Value(value.number, shape, fixed)
    return exporter.put("expand", (value,), shape, *shape, fixed=fixed)


SHAPES: Final[Mapping[str, Handler]] = {
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
