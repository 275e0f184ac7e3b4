import json
import math
import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from ol0.config import ServingConfig
from ol0.controller import trunk
from ol0.controller.checkpoint import digest_of, read_checkpoint, write_checkpoint
from ol0.controller.compatibility import differences
from ol0.controller.controller import Controller
from ol0.controller.heads import Doubles, Head, Mixer
from ol0.controller.operations import OPERATIONS
from ol0.controller.trunk import Trunk
from ol0.controller.trunk_form import Graph, Node, shapes_of
from ol0.controller.warmup import base_checkpoint
from ol0.errors import CheckpointError, ConfigError
from ol0.sdk.policy import GreedyPolicy
from testbed.trunks import D, a_base_on, a_gated_trunk, a_trunk

PROMPTS = np.random.default_rng(1).normal(size=(200, D)).astype(np.float32)
TRUNK = a_trunk((5, 4), norm=True, gain=0.5)
GATED = a_gated_trunk()


def written(base: Controller) -> bytes:
    rng, width = np.random.default_rng(7), base.above_trunk.dimension
    learnt = tuple(Head(rng.normal(size=(k, width)).astype(np.float32), np.zeros(k, np.float32)) for k in base.choices)
    return write_checkpoint(
        base.manifest, base.base, learnt, Mixer(np.linspace(-1, 1, width, dtype=np.float32), 0.2), base.trunk
    )


@pytest.mark.parametrize(
    ("activation", "at_one", "at_minus_one"),
    [
        ("relu", 1.0, 0.0),
        ("gelu", 0.8413447460685429, -0.15865525393145707),
        ("silu", 0.7310585786300049, -0.2689414213699951),
        ("tanh", 0.7615941559557649, -0.7615941559557649),
    ],
)
def test_activations_are_what_their_names_say(activation: str, at_one: float, at_minus_one: float) -> None:
    found = OPERATIONS[activation].compute(np.array([1.0, -1.0, 0.0, -1e4]))
    assert found[:3] == pytest.approx([at_one, at_minus_one, 0.0])
    assert found[3] == pytest.approx(-1.0 if activation == "tanh" else 0.0)


@pytest.mark.parametrize("norm", [False, True])
def test_a_layer_is_the_activation_of_the_norm_of_the_product(norm: bool) -> None:  # noqa: FBT001
    trunk = a_trunk((5,), "tanh", norm=norm, gain=0.5)
    weight, bias = trunk.tensors["0.weight"], trunk.tensors["0.bias"].tolist()
    for prompt in PROMPTS[:5]:
        values = [sum(w * x for w, x in zip(row, prompt, strict=True)) for row in weight.tolist()]
        values = [value + bias for value, bias in zip(values, bias, strict=True)]
        if norm:
            scale, shift = trunk.tensors["0.scale"].tolist(), trunk.tensors["0.shift"].tolist()
            mean = sum(values) / len(values)
            spread = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values) + 1e-5)
            normed = [(value - mean) / spread for value in values]
            values = [v * a + b for v, a, b in zip(normed, scale, shift, strict=True)]
        expected = [*(0.5 * math.tanh(value) for value in values), *prompt.tolist()]
        assert trunk(prompt).tolist() == pytest.approx(expected, abs=1e-5)


def test_a_prompt_gives_the_same_bits_alone_and_in_any_batch() -> None:
    trunk = a_trunk((128, 48), "gelu", norm=True, features=384)
    prompts = np.random.default_rng(1).normal(size=(200, 384)).astype(np.float32)
    together = trunk(prompts)
    for count in (1, 3, 50):
        np.testing.assert_array_equal(trunk(prompts[:count]), together[:count])
    np.testing.assert_array_equal(trunk(prompts[7]), together[7])


def test_a_head_of_the_hidden_features_scores_the_same_as_one_of_what_the_trunk_gives() -> None:
    hidden = Head(np.ones((3, 4), np.float32), np.arange(3, dtype=np.float32))
    inputs = TRUNK(PROMPTS)
    np.testing.assert_allclose(
        TRUNK.head(hidden).logits(inputs), hidden.logits(inputs[:, :4] / np.float32(0.5)), atol=1e-5
    )


def test_a_checkpoint_brings_its_trunk_and_serves_alike_in_a_batch_and_prompt_by_prompt() -> None:
    base = a_base_on(TRUNK)
    controller = read_checkpoint(data := written(base))
    assert controller.manifest.trunk == TRUNK.form
    assert controller.dimension == D
    np.testing.assert_array_equal(controller.inputs(PROMPTS), TRUNK(PROMPTS))
    greedy = controller.greedy(PROMPTS)
    assert (greedy != base.greedy(PROMPTS)).any()
    policy = GreedyPolicy(controller)
    assert [policy.greedy(prompt) for prompt in PROMPTS] == [tuple(row) for row in greedy.tolist()]
    assert digest_of(written(base)) == digest_of(data)


def test_a_tuned_checkpoint_brings_both_and_the_base_answers_through_it_as_ever() -> None:
    plain, base = a_base_on(TRUNK), a_base_on(TRUNK.to_be_tuned())
    changed = replace(base.trunk or TRUNK, tuned=a_trunk((5, 4), norm=True, seed=3).tensors)
    data = write_checkpoint(base.manifest, base.base, base.learnt, base.mixer, changed)
    controller = read_checkpoint(data)
    assert controller.dimension == base.dimension == plain.dimension
    assert differences(controller, base) == []
    np.testing.assert_array_equal(controller.greedy(PROMPTS), plain.greedy(PROMPTS))
    # The third part is what the changed layers give, alone as in a batch, and of what other layers gave
    seen = controller.inputs(PROMPTS)
    np.testing.assert_array_equal(seen[:, :-4], plain.inputs(PROMPTS))
    np.testing.assert_array_equal(seen[:, -4:], replace(TRUNK, tensors=changed.tuned)(PROMPTS)[:, :4])
    np.testing.assert_array_equal(controller.inputs(PROMPTS[3]), seen[3])
    np.testing.assert_array_equal(changed.as_tuned(base.inputs(PROMPTS)), seen)


def test_a_checkpoint_that_is_not_tuned_has_the_bytes_that_it_always_had() -> None:
    assert b"tuned" not in written(a_base_on(TRUNK))
    assert any(it.startswith("trunk: ") for it in differences(a_base_on(TRUNK), a_base_on(TRUNK.to_be_tuned())))


def test_what_is_above_the_trunk_is_a_controller_of_what_the_trunk_gives() -> None:
    base = a_base_on(TRUNK)
    above = base.above_trunk
    np.testing.assert_array_equal(above.greedy(TRUNK(PROMPTS)), base.greedy(PROMPTS))
    assert above.above_trunk is above


def test_another_trunk_is_another_base() -> None:
    base, other = a_base_on(TRUNK), a_base_on(a_trunk((5, 4), norm=True, gain=0.5, seed=1))
    assert differences(base, other) == ["its base heads or hidden layers are not those of the base, byte for byte"]
    tanh = a_trunk((5, 4), "tanh", norm=True, gain=0.5)
    assert any(it.startswith("trunk: ") for it in differences(base, a_base_on(tanh)))


def tampered(manifest: dict[str, object] | None = None, **tensors: object) -> bytes:
    data = written(a_base_on(TRUNK))
    held: dict[str, object] = {**load(data), **{name.replace("__", "."): value for name, value in tensors.items()}}
    (length,) = struct.unpack_from("<Q", data)
    fields = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["ol0"])
    fields["trunk"] |= manifest or {}
    kept = {name: np.asarray(tensor) for name, tensor in held.items() if tensor is not None}
    return save(kept, metadata={"ol0": json.dumps(fields)})


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (tampered(trunk__0__bias=None), r"trunk\.0\.bias is missing"),
        (tampered(trunk__1__scale=None), r"trunk\.1\.scale is missing"),
        (tampered(trunk__2__weight=np.zeros((4, 4), np.float32)), r"trunk\.2\.weight is unknown"),
        (
            tampered(trunk__1__weight=np.zeros((4, 6), np.float32)),
            r"with 1\.weight, 1\.bias: a weight of \(4, 6\) and a bias of \(4,\) do",
        ),
        (
            tampered(trunk__0__weight=np.zeros((5, 7), np.float32)),
            r"makes \(4,\) of 7 features; with them, that is not the 10",
        ),
        (tampered(trunk__0__bias=np.full(5, np.inf, np.float32)), r"trunk\.0\.bias holds a number that is not finite"),
        (tampered({"layers": 1}), r"trunk\.1\.bias is unknown"),
        (tampered({"layers": True}), "trunk .* is not 1 to 8 layers"),
        (tampered({"layers": 9}), "trunk .* is not 1 to 8 layers"),
        (tampered({"activation": "eval"}), "an activation of relu, gelu, silu, tanh"),
        (tampered({"norm": 1}), "whether there is a norm"),
        (tampered({"gain": 0}), "a gain above 0"),
        (tampered({"gain": True}), "a gain above 0"),
        (tampered({"more": 0}), "trunk .* is not"),
        (tampered({"tuned": False}), "at most tuned = true"),
        (tampered({"tuned": 1}), "at most tuned = true"),
        (tampered({"tuned": True}), r"tuned\.0\.bias is missing"),
        (tampered(tuned__0__bias=np.zeros(5, np.float32)), r"tuned\.0\.bias is unknown"),
    ],
)
def test_every_flaw_of_a_trunk_is_named(data: bytes, complaint: str) -> None:
    with pytest.raises(CheckpointError, match=complaint):
        read_checkpoint(data)


def graph(change: Callable[[dict[str, Any]], object]) -> bytes:
    """A base whose manifest was changed."""
    data = base_checkpoint(
        ["expert"], (GATED.head(Head(np.ones((3, 5), np.float32), np.zeros(3, np.float32))),), 0.1, trunk=GATED
    )
    (length,) = struct.unpack_from("<Q", data)
    fields = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["ol0"])
    change(fields["trunk"])
    return save(dict(load(data)), metadata={"ol0": json.dumps(fields)})


def node(number: int, *entry: object) -> Callable[[dict[str, Any]], object]:
    return lambda trunk: trunk["nodes"].__setitem__(number, list(entry))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (node(1, "eval", [1], [], []), r"node 1 of the trunk is .*: not an operation of relu, .*, numbers of earlier"),
        (node(1, "tanh", [2], [], []), "node 1 of the trunk"),
        (node(1, "tanh", [-1], [], []), "node 1 of the trunk"),
        (node(1, "tanh", [True], [], []), "node 1 of the trunk"),
        (node(1, "tanh", [1], ["up.weight"], []), "node 1 of the trunk"),
        (node(0, "linear", [0], [], []), "node 0 of the trunk"),
        (node(0, "linear", [0], [7], []), "node 0 of the trunk"),
        (node(0, "linear", [0], ["x" * 101], []), "node 0 of the trunk"),
        (node(1, "affine", [1], [], [1e7, 0]), "node 1 of the trunk"),
        (node(1, "affine", [1], [], [True, 0]), "node 1 of the trunk"),
        (node(1, "affine", [1], [], ["1", 0]), "node 1 of the trunk"),
        (node(1, "tanh", [1], []), "node 1 of the trunk"),
        (node(1, "tanh", [1, 1], [], []), "the operation tanh: 2 in place of 1"),
        (node(1, "softmax", [1], [], [0]), "axis 0 is none of .*, and the prompts' cannot be named"),
        (node(4, "product", [2, 4], [], []), "the operation product: .* are not two matrices"),
        (node(4, "reshape", [4], [], [5, 1]), r"the trunk makes \(5, 1\) of 6 features"),
        (node(2, "linear", [0], ["door.weight"], []), r"trunk\.door\.weight is missing"),
        (lambda trunk: trunk.update(nodes=[]), "is not 1 to 256 nodes"),
        (lambda trunk: trunk.update(nodes=trunk["nodes"] * 52), "is not 1 to 256 nodes"),
        (lambda trunk: trunk.update(features=0), "a number of features"),
        (lambda trunk: trunk.update(features=7), r"a weight of \(5, 6\) and a bias of \(5,\) do not fit \(7,\)"),
        (lambda trunk: trunk.update(gain=0), "a gain above 0"),
        (lambda trunk: trunk.update(more=1), "is not 1 to 256 nodes"),
        (lambda trunk: trunk.update(trainable=["door.weight"]), "names of trainable tensors"),
        (lambda trunk: trunk.update(trainable=["up.bias", "up.weight"]), "in the order of the nodes"),
        (lambda trunk: trunk.update(trainable=["up.bias"]), r"tuned\.up\.bias is missing"),
    ],
)
def test_every_flaw_of_a_graph_is_named(change: Callable[[dict[str, Any]], object], complaint: str) -> None:
    with pytest.raises(CheckpointError, match=complaint):
        read_checkpoint(graph(change))


def test_a_graph_that_nothing_is_wrong_with_opens_and_its_copies_have_its_shapes() -> None:
    controller = read_checkpoint(graph(lambda _: None))
    assert controller.manifest.trunk == GATED.form
    base = a_base_on(GATED.to_be_tuned(("gate.bias",)))
    tensors = {**load(written(base)), "tuned.gate.bias": np.zeros(4, np.float32)}
    (length,) = struct.unpack_from("<Q", written(base))
    manifest = json.loads(written(base)[8 : 8 + length])["__metadata__"]
    with pytest.raises(CheckpointError, match=r"tuned\.gate\.bias has shape \(4,\), not \(5,\)"):
        read_checkpoint(save(tensors, metadata=manifest))


def test_a_graph_that_looks_at_no_feature_gives_every_prompt_the_same() -> None:
    same = Trunk(Graph((Node("tensor", (), ("value",)),), D, 1.0), {"value": np.arange(5, dtype=np.float32)})
    joined = Graph((*same.form.nodes, Node("join", (1, 0), (), (-1,))), D, 1.0)
    for it in (same, Trunk(joined, same.tensors)):
        for rows in (0, 1, 3):
            found = it(PROMPTS[:rows])
            assert len(found) == rows
            np.testing.assert_array_equal(found[:, :5], np.tile(np.arange(5, dtype=np.float32), (rows, 1)))


@pytest.mark.parametrize(("operation", "times"), [("relu", 6), ("gelu", 2)])
def test_what_would_take_too_much_is_refused_before_anything_is_computed(operation: str, times: int) -> None:
    nodes = [Node("linear", (0,), ("up.weight",)), Node("reshape", (1,), (), (5, 1))]
    nodes += [Node("expand", (2,), (), (5, 120_000)), *(Node(operation, (3,)) for _ in range(times))]
    shapes_of(nodes[:-1], D, {"up.weight": (5, D)})
    with pytest.raises(ValueError, match="multiplications; 4,194,304 and 67,108,864 are the most"):
        shapes_of(nodes, D, {"up.weight": (5, D)})


def test_a_large_batch_is_computed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    together = GATED(PROMPTS)
    most = []

    def counted(values: Doubles) -> Doubles:
        most.append(len(values))
        return np.tanh(values)

    tanh = replace(OPERATIONS["tanh"], compute=counted)
    monkeypatch.setattr(trunk, "AT_ONCE", 100 * D)
    monkeypatch.setattr(trunk, "OPERATIONS", {**OPERATIONS, "tanh": tanh})
    np.testing.assert_array_equal(a_gated_trunk()(PROMPTS), together)
    assert max(most) == 100 * D // (D + 5 * 5)
    assert sum(most) == len(PROMPTS)


def test_a_base_that_is_too_large_is_refused_with_the_way_out() -> None:
    rng = np.random.default_rng(0)
    sizes = (2_500, 2_500, 2_500, 2_500)
    trunk = a_trunk(sizes)
    head = trunk.head(Head(rng.normal(size=(3, 2_500)).astype(np.float32), np.zeros(3, np.float32)))
    with pytest.raises(ConfigError, match="take narrower layers, or let the host compute the first ones"):
        base_checkpoint(["expert"], (head,), ServingConfig().epsilon, trunk=trunk)
