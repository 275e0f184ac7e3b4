"""What hidden layers may compute, by name: on the values of each prompt by itself, never across prompts.

A value has shape (n, ...), the first axis is the prompt, and no operation can name it: axes are counted from the last
one, as -1, and shapes are those of one prompt. So no prompt's answer depends on those beside it. Everything is computed
in float64.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import erf
from typing import Final, TypeVar

import numpy as np

from ol0.controller.heads import Doubles

NORM_EPSILON: Final = 1e-5  # torch's default
MAX_VALUE: Final = 2**20
"""Numbers that one value may have for one prompt: 8 MB."""
MAX_RANK: Final = 5
LEAST_EPSILON: Final = 1e-12

Shape = tuple[int, ...]
"""Of what one prompt has: without the first axis."""
Number = int | float

T = TypeVar("T")

_erf = np.frompyfunc(erf, 1, 1)  # numpy has none; a layer of 128 takes 10 us


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation.

    Attributes:
        shape: the result's shape, of those of the values and tensors that it takes and of its arguments; raises
            ValueError where they do not fit.
        compute: the result (n, ...), of the same.
        tensors: how many it may take, from fewest to most.
        cost: multiplications, or what takes as long, for each number of the result, of the shapes that it takes.
    """

    shape: Callable[[tuple[Shape, ...], tuple[Number, ...]], Shape]
    compute: Callable[..., Doubles]
    tensors: tuple[int, ...] = (0,)
    cost: Callable[[tuple[Shape, ...]], int] = lambda _: 1


def _relu(values: Doubles) -> Doubles:
    return np.maximum(values, 0)


def _gelu(values: Doubles) -> Doubles:
    """The exact one: x times the normal distribution function of x (Hendrycks and Gimpel, 2016)."""
    return np.asarray(values * 0.5 * (1 + _erf(values / np.sqrt(2)).astype(np.float64)))


def _gelu_tanh(values: Doubles) -> Doubles:
    """Their approximation of it."""
    return np.asarray(values * 0.5 * (1 + np.tanh(np.sqrt(2 / np.pi) * (values + 0.044715 * values**3))))


def _sigmoid(values: Doubles) -> Doubles:
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -700, None))))


def _silu(values: Doubles) -> Doubles:
    return np.asarray(values * _sigmoid(values))


def _elu(values: Doubles, alpha: Number) -> Doubles:
    return np.where(values > 0, values, alpha * np.expm1(np.minimum(values, 0)))


def _leaky_relu(values: Doubles, slope: Number) -> Doubles:
    return np.where(values > 0, values, slope * values)


def _affine(values: Doubles, factor: Number, shift: Number) -> Doubles:
    return np.asarray(factor * values + shift)


def _linear(values: Doubles, weight: Doubles, bias: Doubles | None = None) -> Doubles:
    product = values @ weight.T
    return np.asarray(product if bias is None else product + bias)


def _tensor(tensor: Doubles) -> Doubles:
    return tensor[None]


def _sum(values: Doubles, axis: Number) -> Doubles:
    return np.asarray(values.sum(axis=int(axis), keepdims=True))


def _softmax(values: Doubles, axis: Number) -> Doubles:
    exponentials = np.exp(values - values.max(axis=int(axis), keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=int(axis), keepdims=True))


def _normed(values: Doubles, epsilon: Number) -> Doubles:
    """Mean 0 and variance 1 along the last axis (Ba, Kiros and Hinton, "Layer normalization", 2016)."""
    centred = values - values.mean(axis=-1, keepdims=True)
    return np.asarray(centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + epsilon))


def _reshape(values: Doubles, *sizes: Number) -> Doubles:
    return values.reshape(len(values), *map(int, sizes))


def _expand(values: Doubles, *sizes: Number) -> Doubles:
    return np.broadcast_to(values, (len(values), *map(int, sizes)))


def _swap(values: Doubles, one: Number, other: Number) -> Doubles:
    return values.swapaxes(int(one), int(other))


def _cut(values: Doubles, axis: Number, start: Number, stop: Number) -> Doubles:
    return np.moveaxis(np.moveaxis(values, int(axis), -1)[..., int(start) : int(stop)], -1, int(axis))


def _join(*values_and_axis: Doubles | Number) -> Doubles:
    *values, axis = values_and_axis
    rows = next((len(np.asarray(value)) for value in values if np.shape(value)[0] != 1), 1)  # a tensor has one row
    return np.concatenate(
        [np.broadcast_to(value, (rows, *np.shape(value)[1:])) for value in values], axis=int(np.asarray(axis))
    )


def _one(arguments: int = 0) -> Callable[[tuple[Shape, ...], tuple[Number, ...]], Shape]:
    """The rule of an operation on every number of one value by itself."""

    def rule(shapes: tuple[Shape, ...], given: tuple[Number, ...]) -> Shape:
        (shape,) = _exactly(shapes, 1)
        _exactly(given, arguments)
        return shape

    return rule


def _broadcast(shapes: tuple[Shape, ...], given: tuple[Number, ...]) -> Shape:
    one, other = _exactly(shapes, 2)
    _exactly(given, 0)
    if len(one) != len(other):
        raise ValueError(f"{one} and {other} have not the same number of axes")
    return np.broadcast_shapes(one, other)


def _product_shape(shapes: tuple[Shape, ...], given: tuple[Number, ...]) -> Shape:
    one, other = _exactly(shapes, 2)
    _exactly(given, 0)
    if min(len(one), len(other)) < 2 or one[:-2] != other[:-2] or one[-1] != other[-2]:  # noqa: PLR2004 - matrices
        raise ValueError(f"{one} and {other} are not two matrices that can be multiplied")
    return (*one[:-1], other[-1])


def _linear_shape(shapes: tuple[Shape, ...], given: tuple[Number, ...]) -> Shape:
    values, weight, *bias = shapes
    _exactly(given, 0)
    if len(weight) != 2 or not values or weight[1] != values[-1] or bias not in ([], [weight[:1]]):  # noqa: PLR2004
        raise ValueError(f"a weight of {weight}{f' and a bias of {bias[0]}' if bias else ''} do not fit {values}")
    return (*values[:-1], weight[0])


def _project_shape(shapes: tuple[Shape, ...], given: tuple[Number, ...]) -> Shape:
    values, weight = _exactly(shapes, 2)
    return _linear_shape((values, weight[::-1]), given)


def _sum_shape(shapes: tuple[Shape, ...], given: tuple[Number, ...]) -> Shape:
    shape = _along(shapes, given)
    place = len(shape) + int(given[0])
    return (*shape[:place], 1, *shape[place + 1 :])


def _inner(shapes: tuple[Shape, ...]) -> int:
    """Multiplications of each number of a product."""
    return shapes[0][-1]


def _along(shapes: tuple[Shape, ...], given: tuple[Number, ...]) -> Shape:
    (shape,), (axis,) = _exactly(shapes, 1), _exactly(given, 1)
    _check_axes(shape, axis)
    return shape


def _normed_shape(shapes: tuple[Shape, ...], given: tuple[Number, ...]) -> Shape:
    shape = _one(1)(shapes, given)
    _check_axes(shape, -1)
    if given[0] < LEAST_EPSILON:
        raise ValueError(f"epsilon {given[0]} is not {LEAST_EPSILON} or more")
    return shape


def _reshape_shape(shapes: tuple[Shape, ...], given: tuple[Number, ...]) -> Shape:
    (shape,), sizes = _exactly(shapes, 1), _sizes(given)
    if math.prod(sizes) != math.prod(shape):
        raise ValueError(f"{shape} cannot become {sizes}")
    return sizes


def _expand_shape(shapes: tuple[Shape, ...], given: tuple[Number, ...]) -> Shape:
    (shape,), sizes = _exactly(shapes, 1), _sizes(given)
    if len(shape) != len(sizes) or np.broadcast_shapes(shape, sizes) != sizes:
        raise ValueError(f"{shape} cannot become {sizes}")
    return sizes


def _swap_shape(shapes: tuple[Shape, ...], given: tuple[Number, ...]) -> Shape:
    (shape,), (one, other) = _exactly(shapes, 1), _exactly(given, 2)
    _check_axes(shape, one, other)
    sizes = list(shape)
    sizes[int(one)], sizes[int(other)] = sizes[int(other)], sizes[int(one)]
    return tuple(sizes)


def _cut_shape(shapes: tuple[Shape, ...], given: tuple[Number, ...]) -> Shape:
    (shape,), (axis, start, stop) = _exactly(shapes, 1), _exactly(given, 3)
    _check_axes(shape, axis)
    start, stop = _sizes((start, stop))
    place = len(shape) + int(axis)
    if not start < stop <= shape[place]:
        raise ValueError(f"{start} to {stop} is no part of {shape[place]}")
    return (*shape[:place], stop - start, *shape[place + 1 :])


def _join_shape(shapes: tuple[Shape, ...], given: tuple[Number, ...]) -> Shape:
    (axis,) = _exactly(given, 1)
    if not shapes:
        raise ValueError("it takes nothing")
    for shape in shapes:
        _check_axes(shape, axis)
    place = len(shapes[0]) + int(axis)
    rests = {(*shape[:place], *shape[place + 1 :]) for shape in shapes}
    if len(rests) > 1 or len({len(shape) for shape in shapes}) > 1:
        raise ValueError(f"{', '.join(map(str, shapes))} do not fit beside each other")
    return (*shapes[0][:place], sum(shape[place] for shape in shapes), *shapes[0][place + 1 :])


def _exactly(given: tuple[T, ...], count: int) -> tuple[T, ...]:
    if len(given) != count:
        raise ValueError(f"{len(given)} in place of {count}")
    return given


def _check_axes(shape: Shape, *axes: Number) -> None:
    for axis in axes:
        if type(axis) is not int or not -len(shape) <= axis < 0:
            raise ValueError(f"axis {axis} is none of {shape}: the last is -1, and the prompts' cannot be named")


def _sizes(given: tuple[Number, ...]) -> Shape:
    if not all(type(size) is int and 0 <= size <= MAX_VALUE for size in given) or len(given) > MAX_RANK:
        raise ValueError(f"{given!r:.100} are no sizes: {MAX_RANK} whole numbers of 0 to {MAX_VALUE:,} at most")
    return tuple(int(size) for size in given)


OPERATIONS: Final[Mapping[str, Operation]] = {
    "relu": Operation(_one(), _relu),
    "gelu": Operation(_one(), _gelu, cost=lambda _: 64),  # the error function is Python's
    "gelu_tanh": Operation(_one(), _gelu_tanh),
    "silu": Operation(_one(), _silu),
    "tanh": Operation(_one(), np.tanh),
    "sigmoid": Operation(_one(), _sigmoid),
    "softplus": Operation(_one(), lambda values: np.logaddexp(0, values)),
    "exp": Operation(_one(), np.exp),
    "elu": Operation(_one(1), _elu),
    "leaky_relu": Operation(_one(1), _leaky_relu),
    "power": Operation(_one(1), np.power),
    "affine": Operation(_one(2), _affine),
    "at_least": Operation(_one(1), np.maximum),
    "at_most": Operation(_one(1), np.minimum),
    "normed": Operation(_normed_shape, _normed),
    "softmax": Operation(_along, _softmax),
    "sum": Operation(_sum_shape, _sum),
    "add": Operation(_broadcast, np.add),
    "multiply": Operation(_broadcast, np.multiply),
    "product": Operation(_product_shape, np.matmul, cost=_inner),
    "linear": Operation(_linear_shape, _linear, (1, 2), _inner),
    "project": Operation(_project_shape, np.matmul, (1,), _inner),
    "tensor": Operation(_one(), _tensor, (1,)),
    "reshape": Operation(_reshape_shape, _reshape),
    "expand": Operation(_expand_shape, _expand),
    "swap": Operation(_swap_shape, _swap),
    "cut": Operation(_cut_shape, _cut),
    "join": Operation(_join_shape, _join),
}


def check_size(shape: Shape) -> Shape:
    """A result's shape, if it is not too large.

    Raises:
        ValueError: it is, or it is empty.
    """
    if not 0 < math.prod(shape) <= MAX_VALUE or len(shape) > MAX_RANK:
        raise ValueError(f"a result of {shape} is empty, or has over {MAX_VALUE:,} numbers or {MAX_RANK} axes")
    return shape
