"""AR1's encoder and heads against what torch computed, and against the formula written out once more."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ol0.ar1.checkpoint import AR1Checkpoint, read_ar1
from ol0.ar1.encoder import AR1Encoder
from ol0.ar1.encoder_file import read_encoder, write_encoder
from ol0.ar1.policy import TAU, WEIGHTS, AR1Heads, bias_with_hysteresis, from_raw, to_raw
from ol0.ar1.states import States
from ol0.controller.checkpoint import digest_of
from ol0.controller.hysteresis import Hysteresis
from ol0.errors import CheckpointError, RangeError
from unit.ar1.torch_files import DATA, LAYOUTS
from unit.ar1.worlds import made_up_states, small_policy

TOLERANCE = 1e-5
PARTS = ("expert", "scope", "span", "rank")

Doubles = NDArray[np.float64]


def recorded(name: str) -> dict[str, NDArray[np.float32]]:
    with np.load(DATA / "outputs.npz") as archive:
        return {key.removeprefix(f"{name}."): archive[key] for key in archive.files if key.startswith(f"{name}.")}


def states_of(arrays: Mapping[str, NDArray[np.float32]], case: str) -> States:
    return States(
        arrays["chunk_summary"],
        arrays["retrieval_features"],
        arrays["value_features"],
        arrays["vision_features"],
        arrays["prev_action"] if case == "after" else None,
    )


def opened(name: str) -> tuple[AR1Checkpoint, AR1Encoder, AR1Heads]:
    checkpoint = read_ar1(DATA / f"{name}.pt")
    encoder = AR1Encoder(checkpoint.architecture, checkpoint.tensors, "f" * 64)
    return checkpoint, encoder, AR1Heads.of(checkpoint.tensors)


@pytest.mark.parametrize("case", ["after", "first"])
@pytest.mark.parametrize(("file", "name"), [*((layout, "small") for layout in LAYOUTS), ("half", "half")])
def test_features_heads_and_actions_are_those_of_torch(file: str, name: str, case: str) -> None:
    # Given states, and what torch's own transformer made of them.
    checkpoint, encoder, heads = opened(file)
    arrays = recorded(name)
    states = states_of(arrays, case)
    # When they are encoded here.
    features = encoder.encode(states)
    logits, bias = heads.logits(features), heads.bias_scale(features)
    # Then every output is the same.
    pairs = {
        "encoded_state": features,
        "bias_scale": bias,
        "state_values": heads.state_value(features),
        **{f"{part}_logits": values for part, values in zip(PARTS, logits, strict=True)},
    }
    for output, found in pairs.items():
        np.testing.assert_allclose(found, arrays[f"{case}.{output}"], rtol=0, atol=TOLERANCE, err_msg=output)
    actions = np.stack([values.argmax(axis=1) for values in logits], axis=1)
    if states.prev_action is not None:
        previous = from_raw(states.prev_action, checkpoint.architecture)
        actions = Hysteresis(WEIGHTS, TAU).taken(logits, actions, previous)
        bias = bias_with_hysteresis(bias, states.prev_action[:, 4])
    np.testing.assert_allclose(to_raw(actions, bias), arrays[f"{case}.actions"], rtol=0, atol=TOLERANCE)


def written_out(tensors: Mapping[str, NDArray[np.float32]], states: States, heads: int = 8) -> Doubles:
    """The repaired formula in double precision, with all of its attention: queries, keys, heads and the softmax."""
    t = {name: tensor.astype(np.float64) for name, tensor in tensors.items()}

    def linear(name: str, x: Doubles) -> Doubles:
        return np.asarray(x @ t[f"{name}.weight"].T + t[f"{name}.bias"])

    def norm(name: str, x: Doubles) -> Doubles:
        mean, deviation = x.mean(axis=-1, keepdims=True), np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)
        return np.asarray((x - mean) / deviation * t[f"{name}.weight"] + t[f"{name}.bias"])

    def attention(name: str, x: Doubles) -> Doubles:
        rows, hidden = x.shape
        stacked = x @ t[f"{name}.in_proj_weight"].T + t[f"{name}.in_proj_bias"]
        # One token: (rows, heads, tokens, width).
        q, k, v = (one.reshape(rows, 1, heads, hidden // heads).swapaxes(1, 2) for one in np.split(stacked, 3, axis=1))
        scores = q @ k.swapaxes(2, 3) / np.sqrt(hidden // heads)
        weights = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
        return linear(f"{name}.out_proj", (weights @ v).swapaxes(1, 2).reshape(rows, hidden))

    quarter, rows = t["action_proj.bias"].size, len(states)
    action = np.zeros((rows, quarter))
    if states.prev_action is not None:
        action = linear("action_proj", states.prev_action.astype(np.float64))
    absent = np.zeros((rows, t["vision_proj.weight"].shape[1]))
    vision = absent if states.vision_features is None else states.vision_features.astype(np.float64)
    position = linear("pos_proj", np.arange(rows, dtype=np.float64)[:, None])
    auxiliary = [linear("retrieval_proj", states.retrieval_features.astype(np.float64)), linear("vision_proj", vision)]
    auxiliary += [linear("value_proj", states.value_features.astype(np.float64)), action, position]
    x = linear("chunk_proj", states.chunk_summary.astype(np.float64))
    x = x + np.concatenate(auxiliary, axis=1)[:, : x.shape[1]]
    for number in range(sum(name.endswith("norm1.bias") for name in t)):
        layer = f"state_encoder.layers.{number}"
        x = norm(f"{layer}.norm1", x + attention(f"{layer}.self_attn", x))
        x = norm(f"{layer}.norm2", x + linear(f"{layer}.linear2", np.maximum(linear(f"{layer}.linear1", x), 0)))
    return x


@pytest.mark.parametrize("previous", [True, False])
@pytest.mark.parametrize("pictures", [True, False])
def test_features_are_those_of_the_formula_with_all_of_its_attention(previous: bool, pictures: bool) -> None:  # noqa: FBT001
    checkpoint, encoder, _ = small_policy()
    states = made_up_states(20, seed=3)
    if previous:
        actions = np.random.default_rng(4).integers(0, 2, (20, 4)).astype(np.intp)
        states = replace(states, prev_action=to_raw(actions, np.full(20, 1.3, np.float32)))
    if not pictures:
        states = replace(states, vision_features=None)
    np.testing.assert_allclose(encoder.encode(states), written_out(checkpoint.tensors, states), rtol=0, atol=TOLERANCE)


def test_a_row_without_a_previous_action_gets_not_even_the_bias_of_its_projection() -> None:
    _, encoder, _ = small_policy()
    states = made_up_states(3, seed=5)
    raw = to_raw(np.zeros((3, 4), np.intp), np.ones(3, np.float32))
    raw[1] = np.nan
    mixed = encoder.encode(replace(states, prev_action=raw))
    nothing, zeros = encoder.encode(states), encoder.encode(replace(states, prev_action=np.zeros((3, 5), np.float32)))
    np.testing.assert_allclose(mixed[1], nothing[1], atol=1e-6)
    assert np.abs(mixed[0] - nothing[0]).max() > 0.01
    assert np.abs(zeros - nothing).max() > 0.01


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"chunk_summary": np.zeros((2, 23), np.float32)}, r"chunk_summary has shape \(2, 23\); \(2, 24\) is right"),
        ({"value_features": np.full((2, 5), np.nan, np.float32)}, "value_features holds a number that is not finite"),
        ({"prev_action": np.array([[0, 0, 1, 8, np.nan]] * 2, np.float32)}, "prev_action holds"),
        ({"vision_features": np.zeros((1, 10), np.float32)}, r"vision_features has shape \(1, 10\)"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(change: dict[str, NDArray[np.float32]], words: str) -> None:
    _, encoder, _ = small_policy()
    with pytest.raises(RangeError, match=words):
        encoder.encode(replace(made_up_states(2, seed=0), **change))


def test_the_encoders_own_file_gives_the_same_features_under_its_fingerprint(tmp_path: Path) -> None:
    checkpoint, encoder, _ = small_policy()
    data, path = write_encoder(checkpoint), tmp_path / "encoder.safetensors"
    path.write_bytes(data)
    again = read_encoder(path, digest_of(data))
    states = made_up_states(5, seed=1)
    np.testing.assert_array_equal(again.encode(states), encoder.encode(states))
    assert again.fingerprint == digest_of(data)
    with pytest.raises(CheckpointError, match="the controller reads the features of eeeeeeeeeeee"):
        read_encoder(path, "e" * 64)


@pytest.mark.parametrize("data", [b"", b"\x10" + bytes(7) + b"{}", bytes(100)])
def test_what_is_no_encoder_file_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "encoder.safetensors"
    path.write_bytes(data)
    with pytest.raises(CheckpointError):
        read_encoder(path)
