"""Every operation of hidden layers, held against torch's, its own rule of shapes, and a prompt alone."""

import warnings
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from ol0.controller.heads import Doubles
from ol0.controller.operations import MAX_VALUE, OPERATIONS, Number, Shape
from ol0.controller.trunk_form import Node, shapes_of
from ol0.learning.tuning.network import COMPUTE

ROWS = 7


@dataclass(frozen=True)
class Case:
    """An operation, the shapes of what it takes and its arguments."""

    operation: str
    values: tuple[Shape, ...]
    tensors: tuple[Shape, ...] = ()
    arguments: tuple[Number, ...] = ()

    def given(self) -> tuple[list[Doubles], list[Doubles]]:
        rng = np.random.default_rng(0)
        values = [rng.normal(size=(ROWS, *shape)) for shape in self.values]
        if self.operation == "power":
            values = [np.abs(it) + 0.1 for it in values]
        return values, [rng.normal(size=shape) for shape in self.tensors]

    @property
    def shape(self) -> Shape:
        return OPERATIONS[self.operation].shape((*self.values, *self.tensors), self.arguments)


CASES = [
    *(Case(name, ((5,),)) for name in ("relu", "gelu", "gelu_tanh", "silu", "tanh", "sigmoid", "softplus", "exp")),
    Case("elu", ((5,),), arguments=(0.7,)),
    Case("leaky_relu", ((5,),), arguments=(0.1,)),
    Case("power", ((5,),), arguments=(-0.5,)),
    Case("affine", ((5,),), arguments=(2.0, -1.0)),
    Case("at_least", ((5,),), arguments=(0.2,)),
    Case("at_most", ((5,),), arguments=(0.2,)),
    Case("normed", ((3, 5),), arguments=(1e-5,)),
    Case("softmax", ((3, 5),), arguments=(-2,)),
    Case("sum", ((3, 5),), arguments=(-2,)),
    Case("add", ((3, 5), (3, 1))),
    Case("multiply", ((3, 5), (1, 5))),
    Case("product", ((2, 3, 5), (2, 5, 4))),
    Case("linear", ((5,),), ((4, 5), (4,))),
    Case("linear", ((3, 5),), ((4, 5),)),
    Case("project", ((5,),), ((5, 4),)),
    Case("project", ((3, 5),), ((5, 4),)),
    Case("reshape", ((3, 4),), arguments=(2, 6)),
    Case("expand", ((3, 1),), arguments=(3, 4)),
    Case("swap", ((2, 3, 4),), arguments=(-3, -1)),
    Case("cut", ((3, 5),), arguments=(-1, 1, 4)),
    Case("cut", ((3, 5),), arguments=(-2, 0, 2)),
    Case("join", ((3, 2), (3, 4)), arguments=(-1,)),
]


def test_no_operation_is_without_a_case_or_without_torch() -> None:
    assert {case.operation for case in CASES} | {"tensor"} == set(OPERATIONS) == set(COMPUTE)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.operation)
def test_numpy_computes_what_torch_does_in_the_shape_of_the_rule(case: Case) -> None:
    values, tensors = case.given()
    found = OPERATIONS[case.operation].compute(*values, *tensors, *case.arguments)
    theirs = COMPUTE[case.operation](*(torch.from_numpy(it) for it in (*values, *tensors)), *case.arguments)
    np.testing.assert_allclose(found, theirs.numpy(), rtol=1e-8, atol=1e-8)
    assert found.shape == (ROWS, *case.shape)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.operation)
def test_a_prompt_alone_gets_what_it_gets_among_others(case: Case) -> None:
    values, tensors = case.given()
    together = OPERATIONS[case.operation].compute(*values, *tensors, *case.arguments)
    for row in range(ROWS):
        alone = OPERATIONS[case.operation].compute(*(it[row : row + 1] for it in values), *tensors, *case.arguments)
        np.testing.assert_allclose(alone[0], together[row], rtol=1e-12)


def test_a_tensor_is_the_same_value_for_every_prompt() -> None:
    tensor = np.arange(6.0).reshape(2, 3)
    (found,) = OPERATIONS["tensor"].compute(tensor)
    np.testing.assert_array_equal(found, tensor)
    joined = OPERATIONS["join"].compute(np.ones((ROWS, 1, 3)), OPERATIONS["tensor"].compute(tensor), -2)
    assert joined.shape == (ROWS, 3, 3)


@pytest.mark.parametrize("name", ["exp", "sigmoid", "silu", "softplus", "elu"])
def test_large_numbers_overflow_nowhere_but_where_they_must(name: str) -> None:
    far = np.array([[-1e4, 1e4 if name != "exp" else 0.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = OPERATIONS[name].compute(far, *([1.0] if name == "elu" else []))
    assert np.isfinite(found).all()


@pytest.mark.parametrize(
    ("node", "said"),
    [
        (Node("softmax", (0,), (), (0,)), "the prompts' cannot be named"),
        (Node("softmax", (0,), (), (-2,)), "the prompts' cannot be named"),
        (Node("sum", (0,), (), (1,)), "the prompts' cannot be named"),
        (Node("sum", (0,), (), (-1.0,)), "the prompts' cannot be named"),
        (Node("swap", (0,), (), (-1, -2)), "the prompts' cannot be named"),
        (Node("cut", (0,), (), (-2, 0, 1)), "the prompts' cannot be named"),
        (Node("join", (0, 0), (), (-2,)), "the prompts' cannot be named"),
        (Node("cut", (0,), (), (-1, 3, 7)), "3 to 7 is no part of 6"),
        (Node("cut", (0,), (), (-1, 3, 3)), "3 to 3 is no part of 6"),
        (Node("relu", ()), "0 in place of 1"),
        (Node("relu", (0,), (), (1,)), "1 in place of 0"),
        (Node("add", (0,)), "1 in place of 2"),
        (Node("join", (), (), (-1,)), "it takes nothing"),
        (Node("linear", (0,), ("wide",)), r"a weight of \(4, 7\) do"),
        (Node("linear", (0,), ("right", "long")), r"a bias of \(5,\) do"),
        (Node("linear", (0,), ("long",)), r"a weight of \(5,\) do"),
        (Node("add", (0, 1)), "not the same number of axes"),
        (Node("multiply", (0, 2)), "broadcast"),
        (Node("product", (0, 0)), "not two matrices"),
        (Node("reshape", (0,), (), (4,)), r"\(6,\) cannot become \(4,\)"),
        (Node("reshape", (0,), (), (-1,)), "are no sizes"),
        (Node("reshape", (0,), (), (2.0, 3.0)), "are no sizes"),
        (Node("reshape", (0,), (), (1, 1, 1, 1, 1, 6)), "are no sizes"),
        (Node("expand", (0,), (), (MAX_VALUE, 6)), "cannot become"),
        (Node("normed", (0,), (), (0.0,)), "is not 1e-12 or more"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused_with_both_shapes(node: Node, said: str) -> None:
    tensors = {"wide": (4, 7), "right": (4, 6), "long": (5,)}
    before = (Node("reshape", (0,), (), (2, 3)), Node("linear", (0,), ("right",)))
    with pytest.raises(ValueError, match=f"the operation {node.operation}.*{said}"):
        shapes_of((*before, node), 6, tensors)


def test_a_value_that_would_be_too_large_is_refused_before_it_is_computed() -> None:
    nodes = (
        Node("reshape", (0,), (), (1, 2_048)),
        Node("reshape", (0,), (), (2_048, 1)),
        Node("multiply", (1, 2)),
    )
    with pytest.raises(ValueError, match=r"\(2048, 2048\) is empty, or has over 1,048,576 numbers"):
        shapes_of(nodes, 2_048, {})
