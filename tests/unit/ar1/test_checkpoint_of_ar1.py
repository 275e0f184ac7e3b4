from pathlib import Path

import numpy as np
import pytest

from ol0.ar1.architecture import Architecture
from ol0.ar1.checkpoint import read_ar1
from ol0.ar1.layout import unknown_keys
from ol0.errors import CheckpointError
from unit.ar1.torch_files import DATA, LAYOUTS, Array, Raw, Writer, policy_tensors, save, save_members

SMALL = Architecture(
    hidden=16, layers=2, feedforward=64, summary=24, retrieval=6, vision=10, value=5, experts=3, max_span=3
)


def refused(tmp_path: Path, content: object, *words: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        read_ar1(save(tmp_path / "a.pt", content))
    for word in words:
        assert word in str(caught.value)


def prefixed(tensors: dict[str, Array]) -> dict[str, Array]:
    return {f"macro_policy.{name}": tensor for name, tensor in tensors.items()}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_policy(layout: str) -> None:
    plain, found = policy_tensors(), read_ar1(DATA / f"{layout}.pt")
    assert found.architecture == SMALL
    assert found.tensors.keys() == plain.keys() - {"hysteresis_count"}
    assert found.counters["hysteresis_count"] == 3
    assert found.numbers == sum(tensor.size for tensor in plain.values()) == 7_377
    for name, tensor in found.tensors.items():
        np.testing.assert_array_equal(tensor, plain[name])
        assert tensor.dtype == np.float32


@pytest.mark.parametrize(
    ("layout", "name"),
    [
        ("pg_final_policy", "PGTrainer: router_state_dict with macro_policy."),
        ("bc_best_model", "BCTrainer: policy_state_dict"),
        ("agentic_final_model", "train_agentic_router: router_state_dict with macro_policy., policy_state_dict"),
        ("bare_macro_policy", "bare state_dict"),
        ("bare_router", "bare state_dict with macro_policy."),
    ],
)
def test_the_layout_is_named_after_its_writer(layout: str, name: str) -> None:
    assert read_ar1(DATA / f"{layout}.pt").layout.name == name


ODD = {
    "negative_bit": "bare state_dict",
    "no_checksums": "bare state_dict",
    "wrapped_router": "PGTrainer: router_state_dict with macro_policy. wrapped in module.",
}


@pytest.mark.parametrize(("name", "layout"), ODD.items())
def test_rarer_files_of_torch_are_read_as_torch_reads_them(name: str, layout: str) -> None:
    found = read_ar1(DATA / f"{name}.pt")
    np.testing.assert_array_equal(found.tensors["expert_head.weight"], np.load(DATA / "expert_heads.npz")[name])
    assert (found.layout.name, found.architecture) == (layout, SMALL)
    assert found.checksums == (name != "no_checksums")


def test_the_file_that_ar1s_own_warm_up_writes_is_taken_without_its_fisher_information(tmp_path: Path) -> None:
    parameters = {name: tensor for name, tensor in policy_tensors().items() if name.endswith(("weight", "bias"))}
    content = {
        "model_state_dict": policy_tensors(),
        "warmup_metrics": {"timing": {"total_time": 1.0}, "validation": {"errors": []}},
        "warmup_config": {"checkpoint_path": "final_policy.pt", "fisher_samples": 1000, "baseline_samples": 500},
        "warmup_timestamp": 1.7e9,
        "phase": "streaming",
        "fisher_matrix": {"fisher_diag": parameters, "theta_star": parameters},
    }
    layout = read_ar1(save(tmp_path / "a.pt", content)).layout
    assert layout.name == "AR1's own warm-up: model_state_dict"
    assert layout.unused["fisher_matrix"] == 2 * len(parameters)
    assert unknown_keys(layout) == []


@pytest.mark.parametrize(
    ("before", "within", "words"),
    [
        ("module.", "", "module."),
        ("_orig_mod.", "", "_orig_mod."),
        ("module._orig_mod.", "", "module. and _orig_mod."),
        ("_orig_mod.module.module.", "", "module. and _orig_mod."),
        ("module.", "_orig_mod.", "module. and _orig_mod."),
        ("", "module.", "module."),
    ],
)
def test_what_wrapped_the_policy_is_taken_off_its_names_and_named(
    tmp_path: Path, before: str, within: str, words: str
) -> None:
    bare = {f"{before}{within}{name}": tensor for name, tensor in policy_tensors().items()}
    router = {f"{before}macro_policy.{within}{name}": tensor for name, tensor in policy_tensors().items()}
    router |= {f"{before}{name}": np.array(2) for name in ("flip_count", "step_count")}
    for content, place in ((router, "router_state_dict with macro_policy."), (bare, "policy_state_dict")):
        found = read_ar1(save(tmp_path / "a.pt", {place.partition(" ")[0]: content, "step": 1}))
        assert found.layout.name.endswith(f"{place} wrapped in {words}")
        np.testing.assert_array_equal(found.tensors["span_head.weight"], policy_tensors()["span_head.weight"])


def test_one_part_of_a_policy_may_be_wrapped(tmp_path: Path) -> None:
    tensors = {name.replace("state_encoder.", "state_encoder._orig_mod."): it for name, it in policy_tensors().items()}
    assert read_ar1(save(tmp_path / "a.pt", tensors)).layout.name == "bare state_dict wrapped in _orig_mod."


def test_a_tensor_that_is_there_wrapped_and_unwrapped_is_refused(tmp_path: Path) -> None:
    tensors = policy_tensors() | {"module.expert_head.bias": np.zeros(3, np.float32)}
    refused(tmp_path, tensors, "the file itself holds expert_head.bias twice")


def test_results_of_a_long_training_beside_the_policy_are_taken(tmp_path: Path) -> None:
    # Beyond five megabytes of figures
    results = {"rewards": [number / 7 for number in range(600_000)]}
    content = {"router_state_dict": prefixed(policy_tensors()), "config": {}, "training_results": results}
    assert read_ar1(save(tmp_path / "a.pt", content)).architecture == SMALL


def test_tensors_that_lie_over_each_other_to_look_larger_than_the_file_are_refused(tmp_path: Path) -> None:
    # A thousand layers of one storage: twelve megabytes from forty kilobytes
    shapes = Architecture(16, 1_000, 64, 24, 6, 10, 5, 3, 3).shapes()
    storage = Raw(Writer().write(("storage", Raw(b"ctorch\nFloatStorage\n"), "0", "cpu", 1_024)) + b"Q")
    counter = Raw(Writer().write(("storage", Raw(b"ctorch\nLongStorage\n"), "1", "cpu", 1)) + b"Q")
    tensors = {name: slice_of(counter if name == "hysteresis_count" else storage, it) for name, it in shapes.items()}
    members = {"data.pkl": Writer().pickle(tensors), "data/0": bytes(4_096), "data/1": bytes(8)}
    with pytest.raises(CheckpointError, match=r"numbers in a file of .* tensors lie over each other"):
        read_ar1(save_members(tmp_path / "a.pt", members))


def slice_of(storage: Raw, shape: tuple[int, ...]) -> Raw:
    strides = tuple(int(np.prod(shape[axis + 1 :])) for axis in range(len(shape)))
    arguments = Writer().write((storage, 0, shape, strides, False, None))
    return Raw(b"ctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"R")


@pytest.mark.parametrize("key", ["model_state_dict", "state_dict", "model"])
def test_the_keys_that_ar1s_own_warm_up_reads_are_taken_with_and_without_the_prefix(tmp_path: Path, key: str) -> None:
    for tensors in (policy_tensors(), prefixed(policy_tensors())):
        assert read_ar1(save(tmp_path / "a.pt", {key: tensors, "epoch": 1})).architecture == SMALL


def test_of_two_policies_in_a_file_the_routers_is_used_and_the_difference_told() -> None:
    found = read_ar1(DATA / "agentic_final_model.pt")
    assert found.differing == ("expert_head.bias",)
    np.testing.assert_array_equal(found.tensors["expert_head.bias"], policy_tensors()["expert_head.bias"])


def test_float16_is_widened_and_counters_stay_whole() -> None:
    found, raw = read_ar1(DATA / "half.pt"), policy_tensors("half")
    assert found.dtypes == {"float16": 37, "int64": 1}
    assert raw["chunk_proj.weight"].dtype == np.float16
    for name, tensor in found.tensors.items():
        np.testing.assert_array_equal(tensor, raw[name].astype(np.float32))
    assert found.counters == {"hysteresis_count": 3}


def test_the_default_policy_has_the_tensors_that_it_is_known_for() -> None:
    shapes = Architecture(256, 3, 1024, 512, 64, 768, 32, 3, 4).shapes()
    assert len(shapes) == 62
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == 2_560_514


def test_a_counter_beyond_what_a_float_holds_is_kept(tmp_path: Path) -> None:
    tensors = policy_tensors() | {"hysteresis_count": np.array(2**53 + 1)}
    assert read_ar1(save(tmp_path / "a.pt", tensors)).counters == {"hysteresis_count": 2**53 + 1}


def test_tensors_that_are_missing_unknown_mis_shaped_or_of_another_type_are_all_named_at_once(tmp_path: Path) -> None:
    tensors = policy_tensors()
    del tensors["rank_head.bias"]
    tensors["extra_head.weight"] = np.zeros(3, np.float32)
    tensors["chunk_proj.weight"] = tensors["chunk_proj.weight"][:8]
    tensors["value_head.weight"] = tensors["value_head.weight"].astype(np.float64)
    tensors["hysteresis_count"] = np.array(3.0, np.float32)
    refused(
        tmp_path,
        tensors,
        "rank_head.bias is missing",
        "extra_head.weight is unknown",
        "chunk_proj.weight has shape (8, 24), not (16, 24)",
        "value_head.weight is float64",
        "hysteresis_count is float32; int64 is right",
    )


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["expert_head.weight", "action_history", "state_encoder.layers.1.norm2.bias"])
def test_a_number_that_is_not_finite_is_refused_by_name(tmp_path: Path, name: str, number: float) -> None:
    tensors = policy_tensors()
    tensors[name].flat[-1] = number
    tensors["pos_proj.bias"].flat[0] = number
    refused(tmp_path, tensors, f"{name} holds a number that is not finite", "pos_proj.bias holds")


def test_the_policy_that_is_not_used_is_checked_as_well(tmp_path: Path) -> None:
    wrong = policy_tensors() | {"expert_head.bias": np.full(3, np.nan, np.float32)}
    content = {"router_state_dict": prefixed(policy_tensors()), "policy_state_dict": wrong, "training_results": {}}
    refused(tmp_path, content, "policy_state_dict: expert_head.bias holds")


@pytest.mark.parametrize("name", ["expert_head.weight", "chunk_proj.weight", "state_encoder.layers.0.linear1.weight"])
def test_one_tensor_alone_does_not_change_what_the_others_agree_on(tmp_path: Path, name: str) -> None:
    tensors = policy_tensors()
    tensors[name] = np.zeros((40, 7), np.float32)
    with pytest.raises(CheckpointError, match=rf"{name.replace('.', '[.]')} has shape \(40, 7\)"):
        read_ar1(save(tmp_path / "a.pt", tensors))


def test_a_whole_layer_that_is_missing_is_missing_tensor_by_tensor(tmp_path: Path) -> None:
    tensors = {name: one for name, one in policy_tensors().items() if "layers.0." not in name}
    refused(tmp_path, tensors, "state_encoder.layers.0.norm1.bias is missing")


def test_a_width_that_eight_attention_heads_cannot_share_is_refused(tmp_path: Path) -> None:
    tensors = policy_tensors()
    shapes = Architecture(12, 2, 48, 24, 6, 10, 5, 3, 3).shapes()
    narrow = {name: np.zeros(shape, tensors[name].dtype) for name, shape in shapes.items()}
    refused(tmp_path, narrow, "hidden_dim is 12, which is no multiple of 8")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([1, 2], "holds no dictionary"),
        ({}, "the file itself is no state_dict"),
        ({"step": 3}, "the file itself holds entries that are not tensors: step"),
        ({"router_state_dict": 3}, "router_state_dict is no state_dict"),
        ({"policy_state_dict": {"chunk_proj.weight": "none"}}, "holds entries that are not tensors: chunk_proj.weight"),
    ],
)
def test_a_file_without_a_policy_is_refused(tmp_path: Path, content: object, words: str) -> None:
    refused(tmp_path, content, words)


def test_tensors_beside_the_policy_that_belong_to_nothing_known_are_refused(tmp_path: Path) -> None:
    content = {"router_state_dict": prefixed(policy_tensors()), "expert_deltas": {"code": [np.zeros(3, np.float32)]}}
    refused(tmp_path, content, "tensors that belong to no AR1 policy are under expert_deltas")
    mixed = prefixed(policy_tensors()) | {"chunk_proj.bias": np.zeros(16, np.float32)}
    refused(tmp_path, {"router_state_dict": mixed}, "holds tensors of no AR1 policy: chunk_proj.bias")
