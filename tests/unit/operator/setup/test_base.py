from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save

from ol0 import Base, OnlineLearner, OnlineLearningConfig
from ol0.controller.suite import read_suite
from ol0.errors import ConfigError
from ol0.operator.setup.base_folder import read_saved_base
from ol0.records import FeaturesDtype

D, COUNT = 8, 1_200
RNG = np.random.default_rng(0)
X = RNG.normal(size=(COUNT, D)).astype(np.float32)
RIGHT = RNG.normal(size=(3, D)).astype(np.float32)
Y = (X @ RIGHT.T).argmax(axis=1)
NAMES = np.array(["code", "large", "small"])[Y]
KINDS = np.array(["a", "b"])[np.arange(COUNT) % 2]


def test_labels_make_a_base_that_knows_them_a_suite_that_it_has_not_seen_and_anchors() -> None:
    base = Base.from_labels(X, NAMES, KINDS, anchors=500)
    assert base.names == ("code", "large", "small")
    assert base.suite is not None
    assert len(base.suite) == COUNT // 4
    assert base.share > 0.8
    assert (base.controller.greedy(X)[:, 0] == Y).mean() > 0.8
    assert len(base.anchors) == 500
    asked = {anchor.decision.features for anchor in base.anchors}
    assert not asked & {row.astype("<f4").tobytes() for row in base.suite.features}
    assert {anchor.decision.group for anchor in base.anchors} == {"a", "b"}
    told = "\n".join(base.found)
    assert "choices        3: code, large, small" in told
    assert "kinds          a 600, b 600" in told


def test_the_same_labels_and_seed_give_the_same_bytes_and_another_seed_others() -> None:
    first, again, other = (Base.from_labels(X, Y, seed=seed) for seed in (1, 1, 2))
    assert (first.data, first.anchors) == (again.data, again.anchors)
    assert first.data != other.data


def test_a_linear_router_is_taken_as_it_is() -> None:
    base = Base.from_linear(RIGHT, labels=(X, Y), epsilon=0.25)
    np.testing.assert_array_equal(base.controller.greedy(X)[:, 0], Y)
    assert base.share == 1.0
    assert base.controller.manifest.epsilon == 0.25
    assert {anchor.decision.group for anchor in base.anchors} == {None}


def test_without_labels_there_is_a_base_and_nothing_else(tmp_path: Path) -> None:
    Base.from_linear(RIGHT).save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["base.safetensors"]
    saved = read_saved_base(tmp_path)
    assert (saved.suite, saved.warmup.anchors) == (None, ())


def test_labels_of_another_router_are_refused() -> None:
    with pytest.raises(ConfigError, match="the labels have 8 features and 4 choices, the router 8 and 3"):
        Base.from_linear(RIGHT, labels=(X, np.arange(COUNT) % 4))


def test_a_folder_brings_back_what_was_saved(tmp_path: Path) -> None:
    base = Base.from_labels(X, NAMES, KINDS, anchors=100)
    base.save(tmp_path / "mine")
    saved = read_saved_base(tmp_path / "mine")
    assert saved.controller.digest == base.controller.digest
    assert saved.warmup.checkpoint == base.data
    assert saved.warmup.suite_pass_share == pytest.approx(base.share)
    assert base.suite is not None
    np.testing.assert_array_equal(read_suite(tmp_path / "mine/suite.safetensors").features, base.suite.features)
    for ours, theirs in zip(saved.warmup.anchors, base.anchors, strict=True):
        one, two = ours.decision, theirs.decision
        assert (one.digest, one.features, one.features_dtype) == (two.digest, two.features, FeaturesDtype.FLOAT32)
        assert (one.action, one.propensity, one.group, ours.reward) == (
            two.action,
            two.propensity,
            two.group,
            theirs.reward,
        )
    assert read_saved_base(tmp_path / "mine").warmup.anchors == saved.warmup.anchors


def test_a_folder_whose_files_do_not_belong_together_is_refused(tmp_path: Path) -> None:
    Base.from_labels(X, Y, anchors=100).save(tmp_path)
    (tmp_path / "base.safetensors").write_bytes(Base.from_linear(RIGHT[:, :4]).data)
    with pytest.raises(ConfigError, match="`ol0 base` writes both again"):
        read_saved_base(tmp_path)


@pytest.mark.parametrize("damage", ["half", "without rewards", "without groups"])
def test_damaged_anchors_are_named(tmp_path: Path, damage: str) -> None:
    Base.from_labels(X, Y, anchors=100).save(tmp_path)
    data = (path := tmp_path / "anchors.safetensors").read_bytes()
    left_out = damage.removeprefix("without ")
    kept = {name: array for name, array in load(data).items() if name != left_out}
    path.write_bytes(data[: len(data) // 2] if damage == "half" else save(kept))
    with pytest.raises(ConfigError, match="holds no anchors"):
        read_saved_base(tmp_path)


def test_a_folder_without_a_base_is_no_base(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"base\.safetensors"):
        read_saved_base(tmp_path)


def test_a_learner_in_process_goes_on_from_it() -> None:
    base, learner = Base.from_labels(X, Y, anchors=200), OnlineLearner(OnlineLearningConfig(min_replay=100))
    learner.adopt(base.controller, base.anchors)
    assert learner.base.digest == base.controller.digest
