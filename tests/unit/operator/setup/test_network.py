"""Routers written in torch, held against torch itself."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from ol0 import Base
from ol0.controller.heads import Floats
from ol0.errors import CheckpointError, ConfigError
from ol0.operator.setup.network import Network, linear_network, network_of
from ol0.operator.setup.tensor_file import read_tensors

D, K = 12, 5
ASKED = np.random.default_rng(0).normal(size=(300, D)).astype(np.float32)
ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh}


def a_router(activation: str = "relu", *, norm: bool = False, hidden: tuple[int, ...] = (16, 8)) -> nn.Sequential:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for below, size in zip((D, *hidden), hidden, strict=False):
        layers += [nn.Linear(below, size), *([nn.LayerNorm(size)] if norm else []), ACTIVATIONS[activation]()]
    router = nn.Sequential(*layers, nn.Linear(hidden[-1] if hidden else D, K))
    for parameter in router.parameters():  # layer norms too: ones and zeros would hide a mistake
        nn.init.normal_(parameter, std=0.5)
    return router


def answers(network: Network) -> Floats:
    head, trunk = network.above(ASKED)
    return head.logits(ASKED if trunk is None else trunk(ASKED))


def asked(router: nn.Module) -> Floats:
    with torch.no_grad():
        return np.asarray(router(torch.tensor(ASKED)).numpy())


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("hidden", [(16,), (16, 8)])
def test_a_state_dict_answers_as_torch_does(
    tmp_path: Path,
    activation: str,
    hidden: tuple[int, ...],
    norm: bool,  # noqa: FBT001
) -> None:
    router = a_router(activation, norm=norm, hidden=hidden)
    torch.save(router.state_dict(), path := tmp_path / "router.pt")
    network = network_of(read_tensors(path).named, activation)
    np.testing.assert_allclose(answers(network), asked(router), atol=1e-5 * np.abs(asked(router)).max())


def test_safetensors_and_npz_bring_the_same_though_they_keep_no_order(tmp_path: Path) -> None:
    router = a_router(hidden=(16, 15, 14, 13, 12))  # more than ten places: "10" sorts before "2"
    state = router.state_dict()
    save_file(state, tmp_path / "router.safetensors")
    np.savez(tmp_path / "router.npz", **{name: tensor.numpy() for name, tensor in state.items()})
    for name in ("router.safetensors", "router.npz"):
        np.testing.assert_allclose(
            answers(network_of(read_tensors(tmp_path / name).named, "relu")), asked(router), atol=1e-4
        )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_types_of_numbers_are_taken(tmp_path: Path, dtype: torch.dtype) -> None:
    router = a_router().to(dtype)
    torch.save(router.state_dict(), path := tmp_path / "router.pt")
    np.testing.assert_allclose(answers(network_of(read_tensors(path).named, "relu")), asked(router.float()), atol=1e-4)


def test_wrappers_and_containers_are_recognised_and_said(tmp_path: Path) -> None:
    router = a_router()
    wrapped = {f"module._orig_mod.{name}": tensor for name, tensor in router.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": wrapped}, path := tmp_path / "router.pt")
    tensors = read_tensors(path)
    np.testing.assert_allclose(answers(network_of(tensors.named, "relu")), asked(router), atol=1e-4)
    told = "\n".join(tensors.lines())
    assert "0.weight                 16 x 12" in told
    assert "names came with module. and _orig_mod., which was left out" in told
    assert "they were under 'state_dict'" in told


def test_the_layers_of_a_gate_are_picked_out_of_a_larger_file(tmp_path: Path) -> None:
    gate = a_router()
    state = {f"gate.{name}": tensor for name, tensor in gate.state_dict().items()}
    torch.save(
        {"encoder.weight": torch.ones(4, 4, 4), "encoder.steps": torch.tensor(3), **state}, path := tmp_path / "a.pt"
    )
    tensors = read_tensors(path).named
    with pytest.raises(ConfigError, match=r"encoder holds weight \(4, 4, 4\).*--layers A,B,C"):
        network_of(tensors, "relu")
    np.testing.assert_allclose(
        answers(network_of(tensors, "relu", ["gate.0", "gate.2", "gate.4"])), asked(gate), atol=1e-4
    )


def state(*modules: nn.Module) -> Mapping[str, Floats]:
    return {name: tensor.numpy() for name, tensor in nn.Sequential(*modules).state_dict().items()}


@pytest.mark.parametrize(
    ("tensors", "activation", "order", "said"),
    [
        (
            state(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3)),
            "none",
            [],
            "name the activation, one of relu, gelu, silu",
        ),
        (state(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3)), "relu", ["0", "3"], "there is no layer '3'"),
        (state(nn.Linear(4, 4), nn.ReLU(), nn.Linear(5, 3)), "relu", [], r"\(4, 4\) is followed by one of \(3, 5\)"),
        (state(nn.Linear(4, 4), nn.ReLU(), nn.LayerNorm(4), nn.Linear(4, 3)), "relu", [], "comes after the activation"),
        (state(nn.Linear(4, 4), nn.LayerNorm(5)), "relu", [], "does not follow a linear layer of its size"),
        (state(nn.Linear(4, 4), nn.LayerNorm(4)), "relu", [], "the last layer is a layer norm"),
        (state(nn.LayerNorm(4)), "relu", [], "does not follow a linear layer"),
        (state(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)), "relu", [], "1 holds .*running_mean"),
        (
            state(nn.Linear(4, 4), nn.LayerNorm(4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3)),
            "relu",
            [],
            "some hidden layers have a layer norm and some have none",
        ),
        ({"0.weight": np.ones((3, 4), np.float32), "0.bias": np.ones(4, np.float32)}, "none", [], "has a bias of"),
        (
            {"0.weight": np.ones((3, 4), np.float32), "0.bias": np.ones(3, np.float32)} | {},
            "none",
            ["1"],
            "no layer '1'",
        ),
    ],
)
def test_what_cannot_be_served_is_named(
    tensors: Mapping[str, Floats], activation: str, order: list[str], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        network_of(tensors, activation, order)


class Functional(nn.Module):  # type: ignore[misc] # lint has no torch
    """Its activation is no module."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(D, 16), nn.Linear(16, K)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.last(self.first(features).relu())


def test_a_module_becomes_a_base_that_answers_alike() -> None:
    router = a_router("gelu", norm=True)
    base = Base.from_module(nn.Sequential(nn.Dropout(0.5), *router))
    heads = base.controller
    np.testing.assert_array_equal(heads.greedy(ASKED)[:, 0], asked(router).argmax(axis=1))
    assert base.found[0] == "hidden layer   12 to 16, layer norm, gelu; frozen"
    assert base.found[-1] == "head           8 to 5 choices"
    assert Base.from_module(nn.Linear(D, K)).controller.trunk is None


@pytest.mark.parametrize(
    "module",
    [
        Functional(),
        nn.Sequential(nn.Linear(D, 4), nn.Sigmoid(), nn.Linear(4, K)),
        nn.Sequential(nn.Linear(D, 4), nn.GELU(approximate="tanh"), nn.Linear(4, K)),
        nn.Sequential(nn.Linear(D, 4), nn.ReLU(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, K)),
        nn.Sequential(nn.Linear(D, 4), nn.LayerNorm(4, eps=1e-3), nn.ReLU(), nn.Linear(4, K)),
    ],
)
def test_a_module_that_is_no_stack_answers_alike_as_well(module: nn.Module) -> None:
    base = Base.from_module(module)
    np.testing.assert_array_equal(base.controller.greedy(ASKED)[:, 0], asked(module).argmax(axis=1))
    assert module.training


def test_a_module_whose_width_nothing_says_is_refused() -> None:
    with pytest.raises(ConfigError, match="bring labelled prompts, too"):
        Base.from_module(nn.LSTM(4, 4))


def test_a_score_for_two_classes_becomes_two_choices() -> None:
    weight, bias = np.ones((1, D), np.float32), np.array([0.5], np.float32)
    network = linear_network(weight, bias)
    np.testing.assert_array_equal(answers(network).argmax(axis=1), (ASKED.sum(axis=1) + 0.5 > 0).astype(int))


@pytest.mark.parametrize(
    ("weight", "bias", "said"),
    [
        (np.ones(4, np.float32), None, r"\(K, D\): a row for each choice"),
        (np.ones((4, 3), np.float32), np.ones(3, np.float32), "transpose the weight"),
        (np.ones((4, 3), np.float32), np.ones(2, np.float32), r"expected \(K, D\) and \(K,\)"),
        (np.full((4, 3), np.nan, np.float32), None, "not finite"),
    ],
)
def test_a_weight_that_is_none_is_named(weight: Floats, bias: Floats | None, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        linear_network(weight, bias)


class Payload:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path, ("/tmp/made-by-a-pickle",))  # noqa: S108 - never made: that is the test


def test_a_file_that_asks_for_code_is_refused(tmp_path: Path) -> None:
    torch.save({"weight": torch.ones(2, 2), "more": Payload()}, path := tmp_path / "router.pt")
    with pytest.raises(CheckpointError, match="nothing of it was run"):
        read_tensors(path)


@pytest.mark.parametrize(
    ("saved", "said"),
    [
        (torch.ones(3), "it holds no dictionary"),
        ({"epoch": 3}, "it holds no tensors of numbers"),
        ({"weight": torch.tensor([[float("nan")]])}, "weight holds a number that is not finite"),
    ],
)
def test_a_file_without_a_router_is_named(tmp_path: Path, saved: object, said: str) -> None:
    torch.save(saved, path := tmp_path / "router.pt")
    with pytest.raises(ConfigError, match=said):
        read_tensors(path)
