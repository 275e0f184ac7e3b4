import json
import math
import struct
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load, save

from ol0.config import ServingConfig
from ol0.controller.checkpoint import digest_of, read_checkpoint, write_checkpoint
from ol0.controller.compatibility import differences
from ol0.controller.controller import Controller
from ol0.controller.heads import Head, Mixer
from ol0.controller.trunk import ACTIVATIONS
from ol0.controller.warmup import base_checkpoint
from ol0.errors import CheckpointError, ConfigError
from ol0.sdk.policy import GreedyPolicy
from testbed.trunks import D, a_base_on, a_trunk

PROMPTS = np.random.default_rng(1).normal(size=(200, D)).astype(np.float32)
TRUNK = a_trunk((5, 4), norm=True, gain=0.5)


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
    found = ACTIVATIONS[activation](np.array([1.0, -1.0, 0.0, -1e4]))
    assert found[:3] == pytest.approx([at_one, at_minus_one, 0.0])
    assert found[3] == pytest.approx(-1.0 if activation == "tanh" else 0.0)


@pytest.mark.parametrize("norm", [False, True])
def test_a_layer_is_the_activation_of_the_norm_of_the_product(norm: bool) -> None:  # noqa: FBT001
    trunk = a_trunk((5,), "tanh", norm=norm, gain=0.5)
    (layer,) = trunk.layers
    for prompt in PROMPTS[:5]:
        values = [sum(w * x for w, x in zip(row, prompt, strict=True)) for row in layer.weight.tolist()]
        values = [value + bias for value, bias in zip(values, layer.bias.tolist(), strict=True)]
        if layer.scale is not None and layer.shift is not None:
            mean = sum(values) / len(values)
            spread = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values) + 1e-5)
            normed = [(value - mean) / spread for value in values]
            values = [v * a + b for v, a, b in zip(normed, layer.scale.tolist(), layer.shift.tolist(), strict=True)]
        expected = [*(0.5 * math.tanh(value) for value in values), *prompt.tolist()]
        assert trunk(prompt).tolist() == pytest.approx(expected, abs=1e-5)


def test_a_prompt_gives_the_same_bits_alone_and_in_any_batch() -> None:
    trunk = a_trunk((64, 48), "gelu", norm=True)
    together = trunk(PROMPTS)
    for count in (1, 3, 50):
        np.testing.assert_array_equal(trunk(PROMPTS[:count]), together[:count])
    np.testing.assert_array_equal(trunk(PROMPTS[7]), together[7])


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
    plain, base = a_base_on(TRUNK), a_base_on(TRUNK.trainable)
    changed = replace(base.trunk or TRUNK, tuned=a_trunk((5, 4), norm=True, seed=3).layers)
    data = write_checkpoint(base.manifest, base.base, base.learnt, base.mixer, changed)
    controller = read_checkpoint(data)
    assert controller.dimension == base.dimension == plain.dimension
    assert differences(controller, base) == []
    np.testing.assert_array_equal(controller.greedy(PROMPTS), plain.greedy(PROMPTS))
    # The third part is what the changed layers give, alone as in a batch, and of what other layers gave
    seen = controller.inputs(PROMPTS)
    np.testing.assert_array_equal(seen[:, :-4], plain.inputs(PROMPTS))
    np.testing.assert_array_equal(seen[:, -4:], replace(TRUNK, layers=changed.tuned)(PROMPTS)[:, :4])
    np.testing.assert_array_equal(controller.inputs(PROMPTS[3]), seen[3])
    np.testing.assert_array_equal(changed.as_tuned(base.inputs(PROMPTS)), seen)


def test_a_checkpoint_that_is_not_tuned_has_the_bytes_that_it_always_had() -> None:
    assert b"tuned" not in written(a_base_on(TRUNK))
    assert any(it.startswith("trunk: ") for it in differences(a_base_on(TRUNK), a_base_on(TRUNK.trainable)))


def test_what_is_above_the_trunk_is_a_controller_of_what_the_trunk_gives() -> None:
    base = a_base_on(TRUNK)
    above = base.above_trunk
    np.testing.assert_array_equal(above.greedy(TRUNK(PROMPTS)), base.greedy(PROMPTS))
    assert above.above_trunk is above


def test_another_trunk_is_another_base() -> None:
    base, other = a_base_on(TRUNK), a_base_on(a_trunk((5, 4), norm=True, gain=0.5, seed=1))
    assert differences(base, other) == ["its base heads or hidden layers are not those of the base, byte for byte"]
    tanh = replace(TRUNK, form=replace(TRUNK.form, activation="tanh"))
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
        (tampered(trunk__1__weight=np.zeros((4, 6), np.float32)), r"trunk\.1\.weight has shape \(4, 6\), not \(4, 5\)"),
        (tampered(trunk__0__weight=np.zeros((5, 7), np.float32)), r"trunk\.0\.weight has shape \(5, 7\), not \(5, 6\)"),
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


def test_a_base_that_is_too_large_is_refused_with_the_way_out() -> None:
    rng = np.random.default_rng(0)
    sizes = (2_500, 2_500, 2_500, 2_500)
    trunk = a_trunk(sizes)
    head = trunk.head(Head(rng.normal(size=(3, 2_500)).astype(np.float32), np.zeros(3, np.float32)))
    with pytest.raises(ConfigError, match="take narrower layers, or let the host compute the first ones"):
        base_checkpoint(["expert"], (head,), ServingConfig().epsilon, trunk=trunk)
