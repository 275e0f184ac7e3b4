"""Modules of a team's own, as graphs: held against torch, and against the same module's gradients."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from ol0 import Base
from ol0.controller.compatibility import differences
from ol0.controller.heads import Floats
from ol0.controller.trunk_form import Graph, Stack
from ol0.errors import ConfigError
from ol0.operator.setup.module import built_module, network_of_module
from support.modules import ASKED, D, K, Module, answers, asked


def attention(it: Module, x: torch.Tensor) -> torch.Tensor:
    tokens = torch.cat([it.token.expand(x.shape[0], -1, -1), x.reshape(-1, 3, 4)], dim=1)
    query, key, value = it.wide(tokens).chunk(3, dim=-1)
    shares = torch.softmax(query @ key.transpose(1, 2) / 2, dim=-1)
    return it.head((shares @ value)[:, 1:].flatten(1))


def heads_of_attention(it: Module, x: torch.Tensor) -> torch.Tensor:
    query, key, value = it.wide(x.view(-1, 3, 4)).unflatten(-1, (3, 2, 2)).permute(2, 0, 3, 1, 4)[0:3].unbind(0)
    return it.head(functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(-1, D))


def own_heads(it: Module, x: torch.Tensor) -> torch.Tensor:
    parts = [part.unflatten(-1, (2, 2)).transpose(1, 2) for part in it.wide(x.view(-1, 3, 4)).split(4, dim=-1)]
    return it.head(functional.scaled_dot_product_attention(*parts).transpose(1, 2).reshape(-1, D))


def mixture(it: Module, x: torch.Tensor) -> torch.Tensor:
    experts = torch.stack([it.head(x), it.head(-x), it.last(it.up(x).relu())], dim=1)
    return (it.gate(x).softmax(-1).unsqueeze(-1) * experts).sum(1)


FORWARDS: dict[str, Callable[[Module, torch.Tensor], torch.Tensor]] = {
    "a residual": lambda it, x: it.head(x + it.down(it.drop(functional.gelu(it.up(x), approximate="tanh")))),
    "another epsilon": lambda it, x: it.last(torch.sigmoid(it.norm(it.up(x)))),
    "batch norm": lambda it, x: it.last(functional.silu(it.batch(it.up(x)))),
    "rms norm": lambda it, x: it.head(it.rms(x)),
    "unit length": lambda it, x: it.head(functional.normalize(x, dim=-1)),
    "a mixture": mixture,
    "a gated half": lambda it, x: it.head(functional.glu(torch.cat([it.down(it.up(x)), x], dim=1), -1).abs()),
    "in place": lambda it, x: it.head(functional.relu(it.down(it.up(x)), inplace=True).add_(x)),
    "cosines": lambda it, x: functional.normalize(x, dim=-1) @ functional.normalize(it.points, dim=-1).T * 7,
    "cosines, computed weights": lambda it, x: functional.linear(
        functional.normalize(x, dim=-1), functional.normalize(it.points, dim=-1)
    ),
    "the first of two parts": lambda it, x: it.of_eight(it.up(x).chunk(2, dim=-1)[0]),
    "the first token": lambda it, x: it.head(it.wide(x.view(-1, 3, 4)).unbind(dim=1)[0]),
    "parameters one by one": lambda it, x: it.gate(x)[:, :1] * it.table.unbind(0)[1],
    "tied": lambda it, x: it.head(it.up(x).tanh() @ it.up.weight),
    "the same for all": lambda it, x: it.head.bias.expand(x.shape[0], -1),
    "a table": lambda it, x: (it.gate(x).softmax(dim=1) @ it.table) / it.temperature,
    "a softmax at the end": lambda it, x: it.last(it.up(x).tanh()).softmax(-1),
    "a logarithm at the end": lambda it, x: functional.log_softmax(it.last(it.up(x).tanh()), dim=1),
    "attention": attention,
    "attention of heads": own_heads,
    "activations": lambda it, x: it.last(
        functional.elu(it.up(x), 0.5) + functional.leaky_relu(it.up(x)) + functional.softplus(it.up(x)).sqrt()
    ),
    "bounds": lambda it, x: it.last(functional.relu6(it.up(x)) - functional.hardtanh(it.up(x)).clamp(min=-0.5)),
    "arithmetic": lambda it, x: it.last(
        (2 - it.up(x)).square() / (1 + it.up(x).exp()) - 3 * it.up(x).mean(1, keepdim=True)
    ),
    "slices": lambda it, x: it.head(torch.cat([x[:, :4], x[..., 4:8] * x[:, -4:], x[:, 2].unsqueeze(1), x[:, 9:]], 1)),
    "a shared layer": lambda it, x: it.head(it.down(it.up(it.down(it.up(x)).tanh()).tanh())),
}


@pytest.mark.parametrize("name", FORWARDS)
def test_a_base_answers_as_its_module_does(name: str) -> None:
    module = Module(FORWARDS[name]).train()
    base = Base.from_module(module, (ASKED, np.arange(len(ASKED)) % K))
    assert module.training  # it was traced, and not changed
    assert base.controller.trunk is not None
    assert isinstance(base.controller.trunk.form, Graph)
    wanted, found = asked(module), answers(base)
    if "at the end" in name:
        found = found - np.log(np.exp(found).sum(axis=1, keepdims=True))
        wanted = wanted - np.log(np.exp(wanted).sum(axis=1, keepdims=True)) if "log" in name else np.log(wanted)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    for row in (0, 7):
        np.testing.assert_array_equal(base.controller.inputs(ASKED[row]), base.controller.inputs(ASKED)[row])


def test_what_the_output_does_not_need_is_left_out() -> None:
    base = Base.from_module(Module(lambda it, x: it.last(torch.sigmoid(it.up(x)))))
    trunk = base.controller.trunk
    assert trunk is not None
    assert set(trunk.tensors) == {"up.weight", "up.bias"}
    assert base.found == (
        "hidden part    12 to 16, 2 operations, 208 weights; frozen",
        "head           16 to 5 choices",
    )


def test_layers_one_above_the_other_stay_a_stack_unless_some_of_them_are_to_learn() -> None:
    router = nn.Sequential(nn.Linear(D, 8), nn.ReLU(), nn.Linear(8, K))
    forms = [Base.from_module(router, trainable=it).controller.manifest.trunk for it in (False, True, ["0.*"])]
    assert [type(form) for form in forms] == [Stack, Stack, Graph]
    assert forms[2] is not None
    assert forms[2].trainable == ("0.weight", "0.bias")


class Skips(nn.Module):  # type: ignore[misc] # lint has no torch
    """Has the modules of a stack, and adds something between them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.between, self.last = nn.Linear(D, D), nn.ReLU(), nn.Linear(D, K)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.last(features + self.between(self.first(features)))


def test_layers_with_something_between_them_are_no_stack() -> None:
    module = Skips()
    base = Base.from_module(module)
    assert isinstance(base.controller.manifest.trunk, Graph)
    np.testing.assert_allclose(answers(base), asked(module), rtol=1e-4, atol=1e-5)


class Masked(nn.Module):  # type: ignore[misc] # lint has no torch
    """A stack but for a skip, with a choice that is never taken."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.between, self.last = nn.Linear(D, D), nn.ReLU(), nn.Linear(D, K)
        self.last.bias.data[4] = -1e9

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.last(features + self.between(self.first(features)))


def test_a_choice_that_is_never_taken_hides_no_difference_of_the_others() -> None:
    module = Masked()
    base = Base.from_module(module)
    np.testing.assert_allclose(answers(base)[:, :4], asked(module)[:, :4], rtol=1e-4, atol=1e-5)
    with pytest.raises(ConfigError, match="traced with 7 features"):
        Base.from_module(nn.Sequential(nn.Linear(D, 8), nn.ReLU(), nn.Linear(8, K)), (ASKED[:, :7], np.arange(200) % K))


def test_a_weight_that_works_twice_is_one_tensor_and_has_all_its_names() -> None:
    module = Module(FORWARDS["tied"])
    trunk = Base.from_module(module, trainable="up.*").controller.trunk
    assert trunk is not None
    assert set(trunk.tuned) == {"up.weight", "up.bias"}
    tied = nn.Sequential(nn.Linear(D, D), nn.Tanh(), nn.Linear(D, D), nn.Sigmoid(), nn.Linear(D, K))
    tied[2].weight = tied[0].weight
    for pattern in ("0.weight", "2.weight"):
        (name,) = Base.from_module(tied, trainable=[pattern]).controller.manifest.trunk.trainable  # type: ignore[union-attr]
        assert name in {"0.weight", "2.weight"}
    with pytest.raises(ConfigError, match="nothing is below the last linear layer"):
        Base.from_module(nn.Linear(D, K), trainable=["0.*"])


def test_a_module_is_left_as_it_was_and_may_be_of_any_precision() -> None:
    module = nn.Sequential(nn.Linear(D, 8), nn.BatchNorm1d(8), nn.ReLU(inplace=True), nn.Linear(8, K))
    module.train()
    module[1].eval()
    base = Base.from_module(module)
    assert [it.training for it in module] == [True, False, True, True]
    np.testing.assert_allclose(answers(base), asked(module), rtol=1e-4, atol=1e-5)
    double = nn.Sequential(nn.Linear(D, 8), nn.Sigmoid(), nn.Linear(8, K)).double()
    with torch.no_grad():
        wanted = double(torch.from_numpy(ASKED).double()).numpy()
    np.testing.assert_allclose(answers(Base.from_module(double)), wanted, rtol=1e-4, atol=1e-5)
    assert double[0].weight.dtype == torch.float64
    np.testing.assert_array_equal(answers(Base.from_module(nn.DataParallel(module))), answers(Base.from_module(module)))


class Prototypes(nn.Module):  # type: ignore[misc] # lint has no torch
    """Has no parameter at all."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("points", torch.randn(K, D))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features @ self.points.T


def test_a_module_of_buffers_alone_and_one_in_half_precision_are_taken() -> None:
    module = Prototypes()
    base = Base.from_module(module, (ASKED, np.arange(len(ASKED)) % K))
    np.testing.assert_allclose(answers(base), asked(module), rtol=1e-4, atol=1e-5)
    half = nn.Sequential(nn.Linear(D, 8), nn.Sigmoid(), nn.Linear(8, K)).bfloat16()
    found = answers(Base.from_module(half))
    np.testing.assert_allclose(found, asked(half.float()), rtol=1e-4, atol=1e-5)


class Deep(nn.Module):  # type: ignore[misc] # lint has no torch
    """Blocks of four operations."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.blocks, self.head = nn.ModuleList(nn.Linear(D, D) for _ in range(blocks)), nn.Linear(D, K)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = x + block(x).tanh() * 0.1
        return self.head(x)


def test_a_deep_module_is_held_up_to_the_limit() -> None:
    module = Deep(63)
    np.testing.assert_allclose(answers(Base.from_module(module)), asked(module), rtol=1e-4, atol=1e-5)
    with pytest.raises(ConfigError, match="is not 1 to 256 nodes"):
        Base.from_module(Deep(65))


def test_weights_that_are_not_finite_are_refused() -> None:
    module = nn.Sequential(nn.Linear(D, 8), nn.ReLU(), nn.Linear(8, K))
    module[0].weight.data[0, 0] = torch.inf
    with pytest.raises(ConfigError, match="not finite"):
        Base.from_module(module)


def test_only_what_is_trainable_is_there_twice_and_the_base_answers_as_ever() -> None:
    module = Module(FORWARDS["a table"])
    frozen, base = Base.from_module(module), Base.from_module(module, trainable=["gate.*", "table"])
    trunk = base.controller.trunk
    assert trunk is not None
    assert set(trunk.tuned) == {"gate.weight", "gate.bias", "table"}
    assert set(trunk.tensors) > set(trunk.tuned)
    np.testing.assert_array_equal(answers(base), answers(frozen))
    assert "the learner tunes a copy of gate.*, table (54 weights)" in base.found[0]
    assert any("trunk: " in it for it in differences(base.controller, frozen.controller))
    with pytest.raises(ConfigError, match=r"no parameter of the hidden part is like 'gates\.\*': it has gate\.weight"):
        Base.from_module(module, trainable=["gates.*"])


def counted(it: Module, x: torch.Tensor) -> torch.Tensor:
    it.calls = getattr(it, "calls", 0) + 1
    return it.last(torch.sigmoid(it.up(x)) * it.calls)


@pytest.mark.parametrize(
    ("forward", "said"),
    [
        (lambda it, x: it.head(x - x.mean(dim=0)), "mean, at .* would mix prompts"),
        (lambda it, x: it.head(x.flip(0).sigmoid()), "flip, at .* is none that a checkpoint can hold"),
        (lambda it, x: it.head(x[: len(x)]), r"as len\(x\) does; x\.shape\[0\] can be traced"),
        (lambda it, x: it.head((x @ x.T) @ x), "moves the prompts' axis from the first place"),
        (
            lambda it, x: it.head(it.wide(x.reshape(-1, 3, 4).transpose(0, 1).sum(0))),
            "transpose, at .* would mix prompts",
        ),
        (lambda it, x: it.head(it.wide(x.reshape(-1, 4))), "view, at .* would mix prompts, or moves their axis"),
        (lambda it, x: it.head(x)[:, 0], r"gives \(\) for a prompt; a router gives a number for each choice"),
        (lambda it, x: it.head(x) if bool(x.sum() > 0) else it.head(-x), "cannot be traced with 12 features"),
        (lambda it, x: it.last(x), "cannot be traced with 12 features: .*If it takes another number"),
        (counted, "answers otherwise than the operations of its forward: it may keep a state"),
        (lambda it, x: it.head(x) * (it.count.add_(1)), "the forward changes a buffer"),
        (lambda it, x: it.head(functional.dropout(x, 0.5, training=True)), "native_dropout, at .* is none"),
        (lambda it, x: it.head(x.int().float()), "gives torch.int32; only torch.float32 is computed"),
        (lambda it, x: it.head(torch.div(x, 0.5, rounding_mode="floor")), "div, at .* rounds"),
        (lambda it, x: it.head(functional.softplus(x, 1, 5)), "has a beta or a threshold of its own"),
        (lambda it, x: it.head(it.rms_of_two(x.view(-1, 3, 4)).flatten(1)), "rms_norm, at .* takes several axes"),
        (lambda it, x: it.head((x.unsqueeze(1) * 1).squeeze()), "squeeze, at .* name the axis"),
        (lambda it, x: it.head(x.clamp(-1e9, 1e9)), r"clamp, at .* has the number -1e\+09; up to 1e\+06 can be held"),
        (lambda it, x: (it.head(x.tanh()), it.gate(x)), "gives something else than one tensor"),
        (lambda it, x: {"logits": it.head(x.tanh())}, "gives something else than one tensor"),
        (
            lambda it, x: it.head(x.reshape(-1, 1, 2, 1, 3, 1, 2).tanh().flatten(1)),
            "cannot be held: the operation",
        ),
        (lambda it, x: it.head(x * float("nan")), "has the number nan"),
        (lambda it, x: it.nothing(x), "cannot be traced with 12 features: .*nothing"),
        (heads_of_attention, "would mix prompts|moves the prompts' axis|moves their axis"),
    ],
)
def test_what_cannot_be_held_is_refused_by_name(
    forward: Callable[[Module, torch.Tensor], torch.Tensor], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        network_of_module(Module(forward), D)


FILE = """
import torch
from torch import nn

def build():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 6), nn.Sigmoid(), nn.Linear(6, 5))

router = build()
needs = lambda size: nn.Linear(size, 2)

def leaves():
    raise SystemExit(3)

number = lambda: 3
"""


def test_a_module_is_built_by_the_function_that_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "team_router.py").write_text(FILE)
    (tmp_path / "broken.py").write_text("import numpy\nnumpy.nothing_here")
    monkeypatch.chdir(tmp_path)
    built, itself = built_module("team_router:build"), built_module("team_router:router")
    np.testing.assert_array_equal(asked(built), asked(itself))
    doubled = {name: 2 * tensor.numpy() for name, tensor in built.state_dict().items()}
    np.testing.assert_allclose(asked(built_module("team_router:build", doubled)), asked(loaded(doubled)))
    for place, said in [
        ("team_router", "names no module: expected package"),
        ("team_routers:build", "team_routers cannot be imported from"),
        ("team_router:built", "team_router has no built"),
        ("team_router:number", "gives int, no torch module"),
        ("team_router:needs", "cannot be called without arguments: TypeError"),
        ("team_router:leaves", "cannot be called without arguments: SystemExit: 3"),
        ("./team_router:build", "names no module"),
        (".team_router:build", "names no module"),
        ("broken:build", "broken cannot be imported from .*: AttributeError: .*nothing_here"),
    ]:
        with pytest.raises(ConfigError, match=said):
            built_module(place)
    with pytest.raises(ConfigError, match=r"tensors are not those of team_router:build: .*0\.weight"):
        built_module("team_router:build", {"1.weight": np.zeros((3, 3), np.float32)})


def loaded(tensors: dict[str, Floats]) -> nn.Module:
    router = nn.Sequential(nn.Linear(12, 6), nn.Sigmoid(), nn.Linear(6, 5))
    router.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in tensors.items()})
    return router
