from dataclasses import replace

import numpy as np
import pytest
import torch

from ol0.config import OnlineLearningConfig
from ol0.controller.controller import Controller
from ol0.controller.heads import Head
from ol0.controller.trunk import Trunk
from ol0.controller.trunk_form import ACTIVATIONS, Graph, Node
from ol0.errors import ConfigError
from ol0.learning.batch import Batch
from ol0.learning.tuning.fisher import hidden_fisher
from ol0.learning.tuning.network import Weights, hidden, tensors_of, weights_of
from ol0.learning.tuning.objective import Examples, Objective, ValueHead
from ol0.learning.tuning.torch_tuner import TorchTuner, device_of
from ol0.learning.values.ridge import Moments, Posterior
from ol0.learning.values.scales import Scales
from testbed.trunks import D, a_base_on, a_trunk

CPU = torch.device("cpu")
CONFIG = OnlineLearningConfig(device="cpu")
SCALES = Scales(noise=0.1, shared=1.0, own=1.0, own_offset=1.0, slopes=1)


def prompts(count: int, seed: int = 0) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.random.default_rng(seed).normal(size=(count, D)).astype(np.float32)


def votes(base: Controller, count: int, seed: int = 0) -> Batch:
    """Choice 0 is right where two features have one sign, choice 1 elsewhere: no linear head can tell."""
    features, rng = prompts(count, seed), np.random.default_rng(seed + 1)
    taken = rng.integers(0, 2, count)
    right = (features[:, 0] * features[:, 1] < 0).astype(int)
    ones = np.ones(count, np.float32)
    rewards = (taken == right).astype(np.float32)
    return Batch(
        base.inputs(features),
        taken[:, None],
        ones[:, None] / 2,
        rewards,
        ones,
        rng.integers(0, 9, count).astype(np.uint64),
    )


def a_tuned_base(seed: int = 0, *, norm: bool = False) -> tuple[Controller, Trunk]:
    base = a_base_on(a_trunk((24,), "tanh", norm=norm, seed=seed).to_be_tuned(), (2,))
    assert base.trunk is not None
    return base, base.trunk


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("norm", [False, True], ids=["plain", "norm"])
def test_torch_computes_the_layers_that_hosts_serve_in_numpy(activation: str, norm: bool) -> None:  # noqa: FBT001
    trunk, features = a_trunk((7, 5), activation, norm=norm, gain=0.6), prompts(50)
    found = hidden(weights_of(trunk.tensors, CPU), trunk.form, torch.from_numpy(features))
    np.testing.assert_allclose(found.numpy(), trunk(features)[:, :5], atol=1e-5)


def test_layers_come_back_as_they_were() -> None:
    trunk = a_trunk((7, 5), norm=True)
    found = tensors_of(weights_of(trunk.tensors, CPU))
    assert found.keys() == trunk.tensors.keys()
    for name, tensor in found.items():
        np.testing.assert_array_equal(tensor, trunk.tensors[name])


@pytest.mark.parametrize("choices", [(3,), (4, 3)], ids=str)
def test_the_fisher_information_is_that_of_every_example_by_itself(choices: tuple[int, ...]) -> None:
    base = a_base_on(a_trunk((5, 4), "gelu", norm=True), choices)
    assert base.trunk is not None
    form, features = base.trunk.form, torch.from_numpy(prompts(20))
    weights = weights_of(base.trunk.tensors, CPU)
    wanted = looped_fisher(weights, tuple(weights), base, features)
    found = hidden_fisher(weights, tuple(weights), form, base.base, features)
    for name, tensor in wanted.items():
        np.testing.assert_allclose(found[name].numpy(), tensor.numpy(), rtol=1e-4, atol=1e-7)


SHARED = (  # a weight that works twice, on several vectors of a prompt, and tensors by themselves
    Node("reshape", (0,), (), (2, 3)),
    Node("linear", (1,), ("mix.weight", "mix.bias")),
    Node("tanh", (2,)),
    Node("linear", (3,), ("mix.weight",)),
    Node("tensor", (), ("place",)),
    Node("add", (4, 5)),
    Node("reshape", (6,), (), (6,)),
    Node("linear", (7,), ("out.weight", "out.bias")),
    Node("tensor", (), ("scale",)),
    Node("multiply", (8, 9)),
)
SHAPES = {
    "mix.weight": (3, 3),
    "mix.bias": (3,),
    "place": (2, 3),
    "out.weight": (4, 6),
    "out.bias": (4,),
    "scale": (4,),
}


@pytest.mark.parametrize("left_out", ["nothing", "out.bias", "mix.weight"])
def test_the_fisher_information_of_a_graph_is_exact_where_a_weight_works_more_than_once(left_out: str) -> None:
    rng = np.random.default_rng(5)
    tensors = {name: rng.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}
    base = a_base_on(Trunk(Graph(SHARED, D, 0.7), tensors), (3, 2))
    assert base.trunk is not None
    form, features = base.trunk.form, torch.from_numpy(prompts(20))
    trained = tuple(name for name in SHAPES if name != left_out)
    weights = weights_of(tensors, CPU)
    np.testing.assert_allclose(hidden(weights, form, features), base.trunk(features.numpy())[:, :4], atol=1e-5)
    wanted = looped_fisher(weights, trained, base, features)
    found = hidden_fisher(weights, trained, form, base.base, features)
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        np.testing.assert_allclose(found[name].numpy(), tensor.numpy(), rtol=1e-4, atol=1e-7)


def looped_fisher(weights: Weights, trained: tuple[str, ...], base: Controller, features: torch.Tensor) -> Weights:
    """By the definition: one backward pass for every example and every outcome."""
    assert base.trunk is not None
    leaves = {name: weights[name].detach().requires_grad_() for name in trained}
    total = {name: torch.zeros_like(it) for name, it in leaves.items()}
    for row in features:
        for head in base.base:
            above = hidden(weights | leaves, base.trunk.form, row[None])
            logits = above @ torch.tensor(head.weight)[:, : above.shape[1]].T + torch.tensor(head.bias)
            logs = logits.log_softmax(dim=1)[0]
            for outcome in range(head.choices):
                slopes = torch.autograd.grad(logs[outcome], list(leaves.values()), retain_graph=True)
                for name, slope in zip(leaves, slopes, strict=True):
                    total[name] += (logs[outcome].exp() * slope**2).detach() / len(features)
    return total


def test_for_fixed_layers_the_objective_ends_where_the_closed_form_does() -> None:
    # Given votes on three choices that are seen through hidden layers
    base = a_base_on(a_trunk((6,), "tanh").to_be_tuned(), (3,))
    assert base.trunk is not None
    rng = np.random.default_rng(3)
    inputs = base.inputs(prompts(600)).astype(np.float64)
    taken, weights = rng.integers(0, 3, 600), rng.uniform(0.5, 1.5, 600)
    rewards = rng.random(600) < 1 / (1 + np.exp(-inputs @ rng.normal(size=(inputs.shape[1], 3))))[np.arange(600), taken]
    width = inputs.shape[1]
    scales = Scales(noise=0.2, shared=0.02, own=0.02, own_offset=0.05, slopes=width)
    x = np.column_stack([inputs, np.ones(600)])
    closed = Posterior.of(Moments.of(x, taken, rewards.astype(float), weights, 3), scales).weights

    # When the named terms are made small by a general method, the layers staying as they are
    layers = {name: it.double() for name, it in weights_of(base.trunk.tensors, CPU).items()}
    objective = Objective(base.trunk.form, 1.0, float(weights.sum()), layers, layers, layers, 0.0, 0.0)
    beside = torch.from_numpy(inputs)
    examples = Examples(
        beside[:, : -base.trunk.hidden],
        beside[:, base.trunk.hidden : -base.trunk.hidden],
        torch.from_numpy(taken[:, None]),
        torch.from_numpy(rewards.astype(float)),
        torch.from_numpy(weights),
    )
    shapes = ((width,), (3, width), (3,))
    free = [torch.zeros(*shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    head = ValueHead(free[0], free[1], free[2], scales)
    search = torch.optim.LBFGS(free, max_iter=500, line_search_fn="strong_wolfe", tolerance_grad=1e-10)

    def loss() -> torch.Tensor:
        search.zero_grad()
        total = torch.stack([*objective.terms(layers, (head,), examples).values()]).sum()
        total.backward()
        return total

    search.step(loss)

    # Then it answers other prompts as the closed form does
    fresh = base.inputs(prompts(2_000, seed=9)).astype(np.float64)
    values = fresh @ (head.shared + head.own).detach().numpy().T + head.offset.detach().numpy()
    answers = (np.column_stack([fresh, np.ones(2_000)]) @ closed.T).argmax(axis=1)
    assert (values.argmax(axis=1) == answers).mean() > 0.995


def tuned(base: Controller, trunk: Trunk, rounds: int, **numbers: float) -> Trunk:
    live, logged = votes(base, 3_000, 2), votes(base, 50, 3)
    tuner = TorchTuner(base, logged, CONFIG.model_copy(update=numbers))
    assert tuner.trunk == trunk
    width = base.inputs(prompts(1)).shape[1]
    head = Head(np.zeros((2, width), np.float32), np.full(2, 0.5, np.float32))
    for _ in range(rounds):
        trunk = tuner.tune(trunk, [(head, SCALES)], live, np.ones(3_000))
    return trunk


def test_tuned_layers_say_what_no_head_could_tell_before() -> None:
    # Given what the best linear head explains of the votes, before and after
    base, trunk = a_tuned_base()
    live = votes(base, 3_000, 4)
    right = (live.rewards > 0) == (live.actions[:, 0] == 1)

    def told(inputs: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> float:
        x, y = np.column_stack([inputs, np.ones(len(inputs))]).astype(np.float64), right * 2.0 - 1
        weight = np.linalg.solve(x.T @ x + np.eye(x.shape[1]), x.T @ y)
        return float(((x @ weight > 0) == right).mean())

    changed = tuned(base, trunk, 4, tuning_rate=1e-2)
    assert told(live.features) < 0.75
    assert told(changed.as_tuned(live.features)) > told(live.features) + 0.1
    # And what is frozen is as it was
    assert changed.tensors is trunk.tensors
    np.testing.assert_array_equal(
        changed.as_tuned(live.features)[:, : -trunk.hidden], live.features[:, : -trunk.hidden]
    )


def test_the_same_examples_tune_to_the_same_bits() -> None:
    base, trunk = a_tuned_base()
    one, other = tuned(base, trunk, 1), tuned(base, trunk, 1)
    assert one.tuned.keys() == other.tuned.keys()
    for name, tensor in one.tuned.items():
        np.testing.assert_array_equal(tensor, other.tuned[name])


@pytest.mark.parametrize("term", ["ewc_lambda", "proximal_mu"])
def test_what_holds_the_layers_to_the_base_holds_them(term: str) -> None:
    base, trunk = a_tuned_base()
    moved = [
        float(np.square(tuned(base, trunk, 1, **{term: strength}).tuned["0.weight"] - trunk.tensors["0.weight"]).sum())
        for strength in (0.0, 1e3)
    ]
    assert moved[1] < moved[0] / 4


def test_a_device_that_is_not_there_is_refused_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_of("auto") == CPU
    with pytest.raises(ConfigError, match="set it to cpu or auto"):
        device_of("cuda")


def test_terms_are_named_and_nothing_holds_what_has_not_moved() -> None:
    base, trunk = a_tuned_base()
    layers = weights_of(trunk.tensors, CPU)
    batch = votes(base, 20)
    inputs = torch.from_numpy(batch.features)
    examples = Examples(
        inputs[:, : -trunk.hidden],
        inputs[:, trunk.hidden : -trunk.hidden],
        torch.from_numpy(batch.actions),
        torch.from_numpy(batch.rewards),
        torch.ones(20),
    )
    width = inputs.shape[1]
    head = ValueHead(torch.zeros(width), torch.zeros(2, width), torch.full((2,), 0.5), SCALES)
    terms = Objective(trunk.form, 1.0, 20.0, layers, layers, layers, 1.0, 1.0).terms(layers, (head,), examples)
    assert set(terms) == {"values", "prior", "ewc", "proximal"}
    assert float(terms["values"]) == pytest.approx(0.25 / (2 * SCALES.noise))
    assert [float(terms[name]) for name in ("prior", "ewc", "proximal")] == [0, 0, 0]
    # And away from base and from where the round began, both say how far
    ones = {name: torch.ones_like(tensor) for name, tensor in layers.items()}
    away, count = {name: layers[name] + 1 for name in layers}, sum(tensor.numel() for tensor in layers.values())
    moved = Objective(trunk.form, 1.0, 20.0, layers, ones, layers, 3.0, 5.0).terms(away, (head,), examples)
    assert float(moved["ewc"]) == pytest.approx(3 * count / 2, rel=1e-4)
    assert float(moved["proximal"]) == pytest.approx(5 * count / 2, rel=1e-4)


def test_anchors_are_not_needed() -> None:
    base, _ = a_tuned_base()
    none = votes(base, 0)
    tuner = TorchTuner(base, none, CONFIG)
    live = votes(base, 100)
    width = live.features.shape[1]
    head = Head(np.zeros((2, width), np.float32), np.zeros(2, np.float32))
    after = tuner.tune(tuner.trunk, [(head, replace(SCALES, noise=0.3))], live, np.ones(100))
    assert all(np.isfinite(tensor).all() for tensor in after.tuned.values())
