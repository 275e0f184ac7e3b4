"""Operations of torch's that compute."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Final

import numpy as np

from ol0.operator.setup.tracing.exporter import (
    Exporter,
    Fx,
    Handler,
    Value,
    argument,
    axis_of,
    refused,
)
from ol0.operator.setup.tracing.shapes import as_in_torch, cut, permuted, swapped


def _each(operation: str, *defaults: float) -> Handler:
    def handler(exporter: Exporter, node: Fx) -> Value:
        numbers = [argument(node, place, "", default) for place, default in enumerate(defaults, start=1)]
        return exporter.each(operation, exporter.value(node.args[0]), *map(float, numbers))

    return handler


def _power(exponent: float) -> Handler:
    return lambda exporter, node: exporter.each("power", exporter.value(node.args[0]), exponent)


def _absolute(exporter: Exporter, node: Fx) -> Value:
    value = exporter.value(node.args[0])
    negative = exporter.each("relu", exporter.each("affine", value, -1.0, 0.0))
    return exporter.both("add", node, exporter.each("relu", value), negative)


def _glu(exporter: Exporter, node: Fx) -> Value:
    value = exporter.value(node.args[0])
    axis = axis_of(node, value, argument(node, 1, "dim", -1))
    half = value.shape[axis] // 2
    one, other = (cut(exporter, value, axis, start, start + half) for start in (0, half))
    return exporter.both("multiply", node, one, exporter.each("sigmoid", other))


def _gelu(exporter: Exporter, node: Fx) -> Value:
    exact = argument(node, 1, "approximate", "none") == "none"
    return exporter.each("gelu" if exact else "gelu_tanh", exporter.value(node.args[0]))


def _elu(exporter: Exporter, node: Fx) -> Value:
    if [float(it) for it in node.args[2:]] not in ([], [1.0], [1.0, 1.0]):
        raise refused(node, "has a scale")
    return exporter.each("elu", exporter.value(node.args[0]), float(argument(node, 1, "alpha", 1.0)))


def _softplus(exporter: Exporter, node: Fx) -> Value:
    if float(argument(node, 1, "beta", 1.0)) != 1 or float(argument(node, 2, "threshold", 20.0)) != 20:  # noqa: PLR2004
        raise refused(node, "has a beta or a threshold of its own")
    return exporter.each("softplus", exporter.value(node.args[0]))


def _bounds(least: float | None = None, most: float | None = None) -> Handler:
    """Between two numbers; where torch is told none, these."""

    def handler(exporter: Exporter, node: Fx) -> Value:
        value = exporter.value(node.args[0])
        low, high = argument(node, 1, "min", least), argument(node, 2, "max", most)
        value = value if low is None else exporter.each("at_least", value, float(low))
        return value if high is None else exporter.each("at_most", value, float(high))

    return handler


def _clamp_max(exporter: Exporter, node: Fx) -> Value:
    return exporter.each("at_most", exporter.value(node.args[0]), float(node.args[1]))


def _sum_of(exporter: Exporter, one: Fx, other: Fx, node: Fx, factor: float) -> Value:
    """One + factor * other, either of them a number or a value."""
    if isinstance(other, int | float):
        return exporter.each("affine", exporter.value(one), 1.0, factor * other)
    added = exporter.value(other)
    added = added if factor == 1 else exporter.each("affine", added, factor, 0.0)
    if isinstance(one, int | float):
        return exporter.each("affine", added, 1.0, float(one))
    return exporter.both("add", node, exporter.value(one), added)


def _add(exporter: Exporter, node: Fx) -> Value:
    return _sum_of(exporter, node.args[0], node.args[1], node, float(node.kwargs.get("alpha", 1)))


def _sub(exporter: Exporter, node: Fx) -> Value:
    return _sum_of(exporter, node.args[0], node.args[1], node, -float(node.kwargs.get("alpha", 1)))


def _rsub(exporter: Exporter, node: Fx) -> Value:
    return _sum_of(exporter, node.args[1], node.args[0], node, -float(node.kwargs.get("alpha", 1)))


def _multiply(exporter: Exporter, node: Fx) -> Value:
    one, other = node.args[:2]
    if isinstance(other, int | float):
        return exporter.each("affine", exporter.value(one), float(other), 0.0)
    return exporter.both("multiply", node, exporter.value(one), exporter.value(other))


def _divide(exporter: Exporter, node: Fx) -> Value:
    if node.kwargs:
        raise refused(node, "rounds")
    one, other = node.args[:2]
    if isinstance(other, int | float):
        return exporter.each("affine", exporter.value(one), 1 / other, 0.0)
    inverse = exporter.each("power", exporter.value(other), -1.0)
    if isinstance(one, int | float):
        return exporter.each("affine", inverse, float(one), 0.0)
    return exporter.both("multiply", node, exporter.value(one), inverse)


def _linear(exporter: Exporter, node: Fx) -> Value:
    value, weight, bias = exporter.value(node.args[0]), node.args[1], argument(node, 2, "bias")
    tensors = [it for it in (weight, bias) if it is not None]
    if not all(exporter.is_tensor(it) for it in tensors):
        turned = swapped(exporter, exporter.value(weight), -1, -2)
        product = _product(exporter, node, value, turned)
        return product if bias is None else exporter.both("add", node, product, exporter.value(bias))
    names = tuple(exporter.named_tensor(it) for it in tensors)
    return exporter.put("linear", (value,), (*value.shape[:-1], int(weight.meta["val"].shape[0])), tensors=names)


def _matmul(exporter: Exporter, node: Fx) -> Value:
    one, other = exporter.value(node.args[0]), node.args[1]
    if exporter.is_tensor(other) and other.meta["val"].ndim == 2 and not one.fixed:  # noqa: PLR2004
        shape = (*one.shape[:-1], int(other.meta["val"].shape[1]))
        return exporter.put("project", (one,), shape, tensors=(exporter.named_tensor(other),))
    return _product(exporter, node, one, exporter.value(other))


def _product(exporter: Exporter, node: Fx, one: Value, other: Value) -> Value:
    """Of matrices; a prompt's vector is a matrix of one row."""
    vector = not one.fixed and len(one.shape) == 1
    if vector:
        one = exporter.reshaped(one, (1, *one.shape))
    if min(len(one.shape), len(other.shape)) < 2 or one.shape[:-2] != other.shape[:-2]:  # noqa: PLR2004 - matrices
        raise refused(node, f"multiplies {one.shape} by {other.shape}: a prompt's own two matrices can be, or a weight")
    found = exporter.put("product", (one, other), (*one.shape[:-1], other.shape[-1]))
    return exporter.reshaped(found, found.shape[1:]) if vector else found


def _einsum(exporter: Exporter, node: Fx) -> Value:
    """Of two values, one of which may be a parameter, as a product of matrices."""
    inputs, arrow, output = node.args[0].replace(" ", "").partition("->")
    labels, values = inputs.split(","), [exporter.value(it) for it in node.args[1]]
    if len(labels) != 2 or "." in inputs or any(len(set(it)) < len(it) for it in labels):  # noqa: PLR2004 - two
        raise refused(node, "is no sum over letters of two values, each letter once in a value")
    if not arrow:
        output = "".join(sorted(set(labels[0]) ^ set(labels[1])))
    # Those that prompts have stand first, and the prompts' letter is the first of theirs.
    (one, left), (other, right) = sorted(zip(values, labels, strict=True), key=lambda it: it[0].fixed)
    prompts = left[:1]
    if one.fixed:
        raise refused(node, "is of parameters alone")
    if output[:1] != prompts or (prompts in right if other.fixed else right[:1] != prompts):
        raise refused(node, "would mix prompts, or moves their axis from the first place")
    left, right, output = left[1:], right.removeprefix(prompts), output[1:]
    shared = set(left) & set(right)
    both, inner = [it for it in output if it in shared], sorted(shared - set(output))
    rows, columns = ([it for it in output if it in mine and it not in shared] for mine in (left, right))
    if {*both, *rows, *inner} != set(left) or {*both, *columns, *inner} != set(right):
        raise refused(node, "sums over a letter that one of the values alone has")
    size = dict(zip((*left, *right), (*one.shape, *other.shape), strict=True))
    outer, high, wide, deep = ([size[it] for it in letters] for letters in (both, rows, columns, inner))
    one = _arranged(exporter, one, left, [*both, *rows, *inner], (*outer, prod(high), prod(deep)))
    other = _arranged(exporter, other, right, [*both, *inner, *columns], (*outer, prod(deep), prod(wide)))
    found = exporter.put("product", (one, other), (*outer, prod(high), prod(wide)))
    found = exporter.reshaped(found, (*outer, *high, *wide))
    return _arranged(exporter, found, [*both, *rows, *columns], output, [size[it] for it in output])


def _arranged(
    exporter: Exporter, value: Value, letters: Sequence[str], wanted: Sequence[str], shape: Sequence[int]
) -> Value:
    """With its axes, which have these letters, in the wanted order and then in this shape."""
    order = [letters.index(it) - len(letters) for it in wanted]
    return exporter.reshaped(permuted(exporter, value, order), shape)


def _attention(exporter: Exporter, node: Fx) -> Value:
    if argument(node, 3, "attn_mask") is not None or argument(node, 5, "is_causal") or argument(node, 4, "dropout_p"):
        raise refused(node, "has a mask or a dropout")
    query, key, value = (exporter.value(it) for it in node.args[:3])
    scale = argument(node, 6, "scale")
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    products = _product(exporter, node, query, swapped(exporter, key, -1, -2))
    scores = exporter.each("affine", products, float(scale), 0.0)
    return _product(exporter, node, exporter.each("softmax", scores, -1), value)


def _layer_norm(exporter: Exporter, node: Fx) -> Value:
    value = exporter.value(node.args[0])
    if len(node.args[1]) != 1:
        raise refused(node, "takes several axes")
    normed = exporter.each("normed", value, float(argument(node, 4, "eps", 1e-5)))
    return _scaled(exporter, node, normed, argument(node, 2, "weight"), argument(node, 3, "bias"))


def _scaled(exporter: Exporter, node: Fx, value: Value, scale: Fx, shift: Fx) -> Value:
    for operation, tensor in (("multiply", scale), ("add", shift)):
        if tensor is not None:
            value = exporter.both(operation, node, value, exporter.value(tensor))
    return value


def _rms_norm(exporter: Exporter, node: Fx) -> Value:
    value = exporter.value(node.args[0])
    if len(node.args[1]) != 1:
        raise refused(node, "takes several axes")
    epsilon = argument(node, 3, "eps")
    total, count = _sum_over(exporter, node, exporter.each("power", value, 2.0), (-1,))
    epsilon = float(np.finfo(np.float32).eps) if epsilon is None else float(epsilon)
    inverse = exporter.each("power", exporter.each("affine", total, 1 / count, epsilon), -0.5)
    return _scaled(exporter, node, exporter.both("multiply", node, value, inverse), argument(node, 2, "weight"), None)


def _batch_norm(exporter: Exporter, node: Fx) -> list[Value]:
    value, (scale, shift, mean, variance, _, epsilon) = exporter.value(node.args[0]), node.args[1:7]
    if len(value.shape) != 1:
        raise refused(node, "is no batch norm of a vector of features")
    centre = exporter.each("affine", exporter.value(mean), -1.0, 0.0)
    inverse = exporter.each("power", exporter.each("affine", exporter.value(variance), 1.0, float(epsilon)), -0.5)
    normed = exporter.both("multiply", node, exporter.both("add", node, value, centre), inverse)
    return [_scaled(exporter, node, normed, scale, shift)]


def _softmax(exporter: Exporter, node: Fx) -> Value:
    value = exporter.value(node.args[0])
    return exporter.each("softmax", value, axis_of(node, value, node.args[1]))


def _sum_over(exporter: Exporter, node: Fx, value: Value, axes: Sequence[int] | None) -> tuple[Value, int]:
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


def _sum(exporter: Exporter, node: Fx) -> Value:
    total, _ = _sum_over(exporter, node, exporter.value(node.args[0]), argument(node, 1, "dim"))
    return as_in_torch(exporter, node, total)


def _mean(exporter: Exporter, node: Fx) -> Value:
    total, count = _sum_over(exporter, node, exporter.value(node.args[0]), argument(node, 1, "dim"))
    return as_in_torch(exporter, node, exporter.each("affine", total, 1 / count, 0.0))


def _length(exporter: Exporter, node: Fx) -> Value:
    if float(argument(node, 1, "ord", 2)) != 2:  # noqa: PLR2004 - the Euclidean one
        raise refused(node, "is another norm than the Euclidean one")
    squares = exporter.each("power", exporter.value(node.args[0]), 2.0)
    total, _ = _sum_over(exporter, node, squares, argument(node, 2, "dim"))
    return as_in_torch(exporter, node, exporter.each("power", total, 0.5))


ARITHMETIC: Final[Mapping[str, Handler]] = {
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
    "clamp": _bounds(),
    "hardtanh": _bounds(-1.0, 1.0),
    "relu6": _bounds(0.0, 6.0),
    "clamp_min": _bounds(),
    "clamp_max": _clamp_max,
    "add": _add,
    "sub": _sub,
    "rsub": _rsub,
    "mul": _multiply,
    "div": _divide,
    "linear": _linear,
    **dict.fromkeys(("matmul", "mm", "bmm"), _matmul),
    "einsum": _einsum,
    "scaled_dot_product_attention": _attention,
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "_native_batch_norm_legit_no_training": _batch_norm,
    "softmax": _softmax,
    "sum": _sum,
    "mean": _mean,
    "linalg_vector_norm": _length,
}
