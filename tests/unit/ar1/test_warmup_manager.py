import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np
import pytest

import ol0
from ol0.ar1.baseline import fisher_of
from ol0.ar1.description import describe
from ol0.ar1.warmup import Imported, WarmupManager, WarmupResult
from ol0.config import OnlineLearningConfig, ServingConfig, WarmupConfig
from ol0.controller.checkpoint import digest_of
from ol0.controller.controller import Controller
from ol0.controller.hysteresis import Hysteresis
from ol0.controller.suite import read_suite
from ol0.controller.warmup import Anchor
from ol0.errors import ConfigError
from ol0.learning.gradient.ewc import diagonal_fisher
from ol0.learning.parts import Parts, with_bias
from ol0.sdk.options import Options
from ol0.sdk.router import Router
from unit.ar1.torch_files import policy_tensors, save
from unit.ar1.worlds import SMALL, made_up_states, small_policy, write_calibration

EPSILON = 0.4


class NotedModel:
    """Remembers what it was given."""

    def __init__(self) -> None:
        self.adopted: list[tuple[Controller, Sequence[Anchor]]] = []

    def adopt(self, base: Controller, anchors: Sequence[Anchor]) -> None:
        self.adopted.append((base, anchors))


def manager(calibration: Path | None, anchors: int = 100) -> WarmupManager:
    config = WarmupConfig(calibration=calibration, fisher_samples=50)
    return WarmupManager(config, OnlineLearningConfig(anchors=anchors), ServingConfig(epsilon=EPSILON))


def imported(tmp_path: Path) -> Imported:
    return manager(write_calibration(tmp_path / "logged.npz")).import_ar1(SMALL)


def warm_up(warmup: WarmupManager, checkpoint: Path, model: NotedModel) -> WarmupResult:
    return asyncio.run(warmup.warmup_from_ar1(checkpoint, model))


# -- what comes of a checkpoint -----------------------------------------------------------------------------------


def test_the_base_is_the_policys_own_heads_on_the_features_of_its_encoder(tmp_path: Path) -> None:
    checkpoint, encoder, heads = small_policy()
    found = imported(tmp_path)
    states = made_up_states(30, seed=9)
    features = encoder.encode(states)
    np.testing.assert_array_equal(found.encoder.encode(states), features)
    logits = heads.logits(features)
    np.testing.assert_array_equal(found.base.greedy(features), np.stack([one.argmax(axis=1) for one in logits], axis=1))
    for pi, values in zip(found.base.policy(features), logits, strict=True):
        np.testing.assert_allclose(pi, np.exp(values) / np.exp(values).sum(axis=1, keepdims=True), atol=1e-5)
    manifest = found.base.manifest
    assert (manifest.parts, manifest.step, manifest.epsilon) == (("expert", "scope", "span", "rank"), 0, EPSILON)
    assert manifest.encoder == found.encoder.fingerprint == digest_of(found.encoder_file)
    assert manifest.hysteresis == Hysteresis((0.4, 0.2, 0.2, 0.2), 0.5 * 0.1)
    assert found.base.choices == checkpoint.architecture.choices == (3, 2, 3, 4)


def test_the_same_files_give_the_same_bytes_and_anchors(tmp_path: Path) -> None:
    one, other = imported(tmp_path), imported(tmp_path)
    assert (one.base_file, one.encoder_file) == (other.base_file, other.encoder_file)
    assert one.baseline is not None
    assert other.baseline is not None
    assert one.baseline.anchors == other.baseline.anchors
    one.baseline.write_suite(tmp_path / "one")
    other.baseline.write_suite(tmp_path / "other")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_anchors_and_suite_share_no_row_and_the_suite_is_what_was_rewarded(tmp_path: Path) -> None:
    baseline = manager(write_calibration(tmp_path / "logged.npz"), anchors=1_000).import_ar1(SMALL).baseline
    assert baseline is not None
    assert len(baseline.anchors) == 300
    suite = {row.tobytes() for row in baseline.suite.features}
    assert not suite & {anchor.decision.features for anchor in baseline.anchors}
    assert 50 <= len(suite) < 100
    assert (baseline.suite.rewards >= 0.5).all()
    baseline.write_suite(tmp_path / "suite")
    written = read_suite(tmp_path / "suite")
    np.testing.assert_array_equal(written.best, 1)
    assert (len(written), written.choices) == (len(suite), (3, 2, 3, 4))


def test_an_anchor_is_the_logged_decision_with_its_propensity_and_group(tmp_path: Path) -> None:
    propensity = np.random.default_rng(1).uniform(0.1, 1, (400, 4))
    path = write_calibration(
        tmp_path / "logged.npz", changes={"propensity": propensity, "group": [f"g{n % 3}" for n in range(400)]}
    )
    found = manager(path).import_ar1(SMALL)
    assert found.baseline is not None
    assert len(found.baseline.anchors) == 100
    assert {anchor.decision.group for anchor in found.baseline.anchors} == {"g0", "g1", "g2"}
    for anchor in found.baseline.anchors:
        assert anchor.decision.digest == found.base.digest
        assert np.isclose(propensity, anchor.decision.propensity, atol=1e-6).all(axis=1).sum() == 1
        assert all(0 <= one < most for one, most in zip(anchor.decision.action, found.base.choices, strict=True))
    assert {anchor.reward for anchor in found.baseline.anchors} == {0.0, 1.0}


def test_without_propensities_the_log_was_made_by_argmax(tmp_path: Path) -> None:
    baseline = imported(tmp_path).baseline
    assert baseline is not None
    assert {anchor.decision.propensity for anchor in baseline.anchors} == {(1.0,) * 4}


def test_the_fisher_information_is_the_learners_of_the_same_heads(tmp_path: Path) -> None:
    found = imported(tmp_path)
    features = found.encoder.encode(made_up_states(25, seed=2))
    parts = Parts(found.base.choices)
    expected = diagonal_fisher(with_bias(features), parts.stack(found.base.base), parts)
    np.testing.assert_allclose(fisher_of(found.base, features), expected, rtol=1e-4, atol=1e-7)
    assert found.baseline is not None
    assert found.baseline.fisher.shape == (17, 12)


def test_figures_of_the_base_are_counted_over_the_whole_file(tmp_path: Path) -> None:
    path = write_calibration(tmp_path / "logged.npz")
    baseline = manager(path).import_ar1(SMALL).baseline
    assert baseline is not None
    metrics = baseline.metrics
    assert metrics.samples == 400
    assert 0.9 < metrics.agreement_rate < 1
    assert metrics.task_success_rate == pytest.approx(0.8, abs=0.06)
    assert 0.9 <= metrics.canary_pass_rate <= 1
    assert 0 < metrics.coherence_score < 1


# -- the Python API -----------------------------------------------------------------------------------------------


def test_the_manager_puts_the_base_and_its_anchors_into_a_model(tmp_path: Path) -> None:
    model = NotedModel()
    result = warm_up(manager(write_calibration(tmp_path / "logged.npz")), SMALL, model)
    assert (result.success, result.error_message) == (True, None)
    assert (result.fisher_computed, result.canary_baseline_established, result.safety_validated) == (True, True, True)
    assert result.duration_seconds > 0
    assert result.baseline_metrics is not None
    assert result.imported is not None
    ((base, anchors),) = model.adopted
    assert base.digest == result.imported.base.digest
    assert len(anchors) == 100


def test_without_a_calibration_file_the_result_says_what_is_not_there() -> None:
    model = NotedModel()
    result = warm_up(ol0.WarmupManager(), SMALL, model)
    assert result.success
    assert (result.fisher_computed, result.canary_baseline_established, result.safety_validated) == (False,) * 3
    assert result.baseline_metrics is None
    assert [anchors for _, anchors in model.adopted] == [()]


def test_a_checkpoint_that_is_refused_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    model, tensors = NotedModel(), policy_tensors()
    tensors["value_head.bias"][0] = np.nan
    result = warm_up(manager(None), save(tmp_path / "a.pt", tensors), model)
    assert not result.success
    assert "value_head.bias holds a number that is not finite" in (result.error_message or "")
    assert result.imported is None
    assert model.adopted == []


def test_a_base_that_fails_its_own_suite_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    model = NotedModel()
    path = write_calibration(tmp_path / "logged.npz", wrong=0.6, changes={"reward": np.ones(400)})
    result = warm_up(manager(path), SMALL, model)
    assert not result.success
    assert "of its canary suite, below warmup.canary_threshold = 90%" in (result.error_message or "")
    assert model.adopted == []


# -- what a host does with it -------------------------------------------------------------------------------------


def test_a_router_serves_the_four_parts_and_explores_each_by_itself(tmp_path: Path) -> None:
    # Given the base of an AR1 policy, and a state.
    found = imported(tmp_path)
    features = found.encoder.encode(made_up_states(1, seed=6))[0]
    greedy = found.base.greedy(features)
    router = Router.local(found.base_file, options=Options(rng=Random(0)))
    # When it is decided upon many times.
    count, explored = 4_000, Counter[int]()
    for _ in range(count):
        with router.prompt("session") as prompt:
            choice = prompt.decide(features)
        for part, (action, choices) in enumerate(zip(choice.action, found.base.choices, strict=True)):
            expected = EPSILON / choices + (1 - EPSILON) * (action == greedy[part])
            assert choice.propensity[part] == pytest.approx(expected)
            explored[part] += action != greedy[part]
    # Then every part leaves the greedy choice as often as exploration says.
    for part, choices in enumerate(found.base.choices):
        assert explored[part] / count == pytest.approx(EPSILON * (1 - 1 / choices), abs=0.03)


def test_a_description_names_layout_architecture_tensors_heads_and_checks(tmp_path: Path) -> None:
    text = "\n".join(describe(imported(tmp_path), 0.9))
    for words in (
        "PGTrainer: router_state_dict with macro_policy.",
        "policy_optimizer_state_dict (144 tensors)",
        "hidden_dim 16, 2 layers, feed-forward 64",
        "3 experts, max_span 3",
        "50 of the policy with 7,377 numbers; 2 of the router: 49 float32, 3 int64",
        "4 choices: 8, 16, 32, 64",
        "every tensor is known, of the right shape and type, and finite",
        "400 rows: 100 anchors",
        "warmup.canary_threshold = 90%: enough",
    ):
        assert words in text


# -- the calibration file -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"reward": None}, "reward missing; it holds "),
        ({"rewards": np.zeros(400)}, "arrays rewards are unknown"),
        ({"reward": np.full(400, 1.5)}, "reward must be within 0..1"),
        ({"reward": np.full(400, np.nan)}, "reward must be within 0..1"),
        ({"propensity": np.zeros((400, 4))}, "propensity above 0"),
        ({"propensity": np.ones(400)}, r"propensity \(n, 4\)"),
        ({"group": ["a"]}, r"group \(n,\) do not fit"),
        ({"action": np.zeros((400, 3))}, r"action has shape \(400, 3\); \(400, 4\) or \(400, 5\) is right"),
        ({"action": np.zeros((400, 4))}, "row 0: 0 is no span"),
        ({"chunk_summary": np.zeros((399, 24))}, "chunk_summary has 399 rows, reward 400"),
        ({"retrieval_features": np.zeros((400, 64))}, r"retrieval_features has shape \(400, 64\); \(400, 6\) is right"),
        ({"reward": np.zeros(400)}, "0 have a reward of 0.5 or more; at least 50 are needed"),
        ({"reward": np.array([{}] * 400)}, "holds Python objects, which are never loaded"),
        ({"group": np.array([{}] * 400)}, "holds Python objects, which are never loaded"),
    ],
)
def test_a_calibration_file_that_does_not_fit_is_refused(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    path = write_calibration(tmp_path / "logged.npz", changes=changes)
    with pytest.raises(ConfigError, match=words):
        manager(path).import_ar1(SMALL)


def test_a_calibration_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "logged.npz").write_text("rows")
    for path in (tmp_path / "logged.npz", tmp_path / "missing.npz"):
        with pytest.raises(ConfigError, match="npz"):
            manager(path).import_ar1(SMALL)
