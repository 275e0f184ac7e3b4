import sys
from dataclasses import replace

import numpy as np
import pytest

from ol0.config import OnlineLearningConfig
from ol0.controller.compatibility import differences
from ol0.controller.controller import Controller
from ol0.errors import ConfigError
from ol0.learning.batch import Batch
from ol0.learning.engines import trainer_of
from ol0.learning.on_trunk import OnTrunk
from ol0.learning.replay import LocalReplay
from ol0.learning.trainer import Trainer
from testbed.trunks import D, a_base_on, a_gated_trunk, a_trunk

BASE = a_base_on(a_trunk((5,), "tanh"), (3,))
TUNED = a_base_on(a_trunk((5,), "tanh").to_be_tuned(), (3,))
GATED = a_base_on(a_gated_trunk().to_be_tuned(("gate.weight", "gate.bias")), (3,))
EITHER = pytest.mark.parametrize(
    ("base", "name"), [(TUNED, "0.weight"), (GATED, "gate.weight")], ids=["stack", "graph"]
)
CONFIGS = {
    "values": OnlineLearningConfig(evidence_errors=0.0, min_replay=16, regret_budget=100.0),
    "gradient": OnlineLearningConfig(learner="gradient", evidence_errors=0.0, learning_rate=0.02, regret_budget=100.0),
}


def votes(count: int, seed: int, *, new: bool, base: Controller = BASE) -> Batch:
    """On old prompts the base is right; on new ones, which lie elsewhere, expert 2 is."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, D)).astype(np.float32)
    features[:, 0] += 4 if new else -4
    taken = rng.integers(0, 3, count)
    right = np.full(count, 2) if new else base.greedy(features)[:, 0]
    ones = np.ones(count, np.float32)
    users = np.asarray(rng.integers(0, 50, count), np.uint64)
    propensity = np.full((count, 1), 1 / 3, np.float32)
    rewards = (taken == right).astype(np.float32)
    return Batch(base.inputs(features), taken[:, None], propensity, rewards, ones, users)


def trained(config: OnlineLearningConfig, base: Controller = BASE) -> tuple[Trainer, LocalReplay]:
    anchors = votes(300, 1, new=False, base=base)
    replay = LocalReplay(2_000, anchors, config.priority_epsilon)
    trainer = trainer_of(base, anchors, config, 0)
    for start in range(12):
        replay.add(votes(50, 10 + start, new=True, base=base), start + 1)
        trainer.update(replay)
    return trainer, replay


def new_prompts() -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    features = np.random.default_rng(99).normal(size=(400, D)).astype(np.float32)
    features[:, 0] += 4
    return features


@pytest.mark.parametrize("learner", CONFIGS)
def test_it_learns_above_the_trunk_and_its_candidates_belong_to_the_base(learner: str) -> None:
    trainer, _ = trained(CONFIGS[learner])
    assert isinstance(trainer, OnTrunk)
    made = trainer.candidate(BASE.digest, 1)
    assert made.controller.manifest.base == BASE.digest
    assert differences(made.controller, BASE) == []
    prompts = new_prompts()
    assert (BASE.greedy(prompts)[:, 0] == 2).mean() < 0.5
    assert (made.controller.greedy(prompts)[:, 0] == 2).mean() > 0.8


@pytest.mark.parametrize("learner", CONFIGS)
def test_a_snapshot_brings_the_same_candidate_back(learner: str) -> None:
    trainer, replay = trained(CONFIGS[learner])
    before, snapshot = trainer.candidate(BASE.digest, 1), trainer.snapshot()
    other = trainer_of(BASE, replay.anchors(), CONFIGS[learner], 0)
    other.follow(before.controller)
    other.restore(snapshot)
    assert other.candidate(BASE.digest, 1).data == before.data
    trainer.start_from(before.controller)  # of a controller with a trunk, as a rollback without a snapshot asks
    assert trainer.snapshot() != snapshot


def test_a_base_without_a_trunk_has_the_learner_itself() -> None:
    plain: Controller = replace(BASE.above_trunk)
    assert not isinstance(trainer_of(plain, votes(100, 1, new=False), CONFIGS["values"], 0), OnTrunk)


# -- hidden layers that learn -------------------------------------------------------------------------------------


@EITHER
def test_tuned_layers_travel_in_candidates_that_belong_to_the_base(base: Controller, name: str) -> None:
    trainer, _ = trained(CONFIGS["values"], base)
    made = trainer.candidate(base.digest, 1)
    assert differences(made.controller, base) == []
    assert made.controller.trunk is not None
    assert base.trunk is not None
    assert made.controller.trunk.tuned.keys() == base.trunk.tuned.keys()
    assert not np.array_equal(made.controller.trunk.tuned[name], base.trunk.tuned[name])
    np.testing.assert_array_equal(made.controller.trunk.tensors[name], base.trunk.tensors[name])
    prompts = new_prompts()
    assert (base.greedy(prompts)[:, 0] == 2).mean() < 0.5
    assert (made.controller.greedy(prompts)[:, 0] == 2).mean() > 0.8
    # And the base's own heads answer through them as they did
    seen = made.controller.inputs(prompts)
    for mine, its in zip(made.controller.base, base.base, strict=True):
        np.testing.assert_array_equal(mine.logits(seen), its.logits(base.inputs(prompts)))


@EITHER
def test_the_first_candidate_is_tuned(base: Controller, name: str) -> None:
    anchors, config = votes(300, 1, new=False, base=base), CONFIGS["values"]
    trainer, replay = trainer_of(base, anchors, config, 0), LocalReplay(2_000, anchors, config.priority_epsilon)
    replay.add(votes(200, 10, new=True, base=base), 1)
    trainer.update(replay)
    made = trainer.candidate(base.digest, 1).controller.trunk
    assert made is not None
    assert not np.array_equal(made.tuned[name], made.tensors[name])


@EITHER
def test_a_snapshot_brings_tuned_layers_back_and_they_go_on_alike(base: Controller, name: str) -> None:
    config = CONFIGS["values"]
    trainer, replay = trained(config, base)
    before, snapshot = trainer.candidate(base.digest, 1), trainer.snapshot()
    other = trainer_of(base, replay.anchors(), config, 0)
    other.restore(snapshot)
    back = other.candidate(base.digest, 1)
    assert back.data == before.data
    assert back.controller.trunk is not None
    assert base.trunk is not None
    assert not np.array_equal(back.controller.trunk.tuned[name], base.trunk.tuned[name])
    replay.add(votes(400, 77, new=True, base=base), 99)
    for each in (trainer, other):
        each.update(replay)
    assert trainer.candidate(base.digest, 2).data == other.candidate(base.digest, 2).data != before.data


def test_what_is_excluded_is_forgotten_by_tuned_layers_too() -> None:
    # Given a learner that learnt from everything
    trainer, replay = trained(CONFIGS["values"], TUNED)
    learnt = trainer.candidate(TUNED.digest, 1)
    # When half of it is excluded
    replay.exclude(np.arange(300, 600))
    trainer.update(replay)
    # Then its layers are those of one that never saw it
    fresh = trainer_of(TUNED, replay.anchors(), CONFIGS["values"], 0)
    fresh.update(replay)
    found, wanted, before = (it.trunk for it in (*(one.candidate(TUNED.digest, 1) for one in (trainer, fresh)), learnt))
    assert found is not None
    assert wanted is not None
    assert before is not None
    np.testing.assert_array_equal(found.tuned["0.weight"], wanted.tuned["0.weight"])
    assert not np.array_equal(found.tuned["0.weight"], before.tuned["0.weight"])


def test_ahead_is_held_against_what_serves_through_its_own_layers() -> None:
    trainer, replay = trained(CONFIGS["values"], TUNED)
    proposal = trainer.candidate(TUNED.digest, 1)
    assert trainer.lead > 0
    trainer.follow(proposal.controller)
    replay.add(votes(400, 78, new=True, base=TUNED), 99)
    trainer.update(replay)
    assert trainer.candidate(TUNED.digest, 2).summary["lead"] < proposal.summary["lead"] / 2


def test_the_numpy_engine_leaves_the_layers_as_they_are() -> None:
    trainer, _ = trained(CONFIGS["values"].model_copy(update={"engine": "numpy"}), TUNED)
    trunk = trainer.candidate(TUNED.digest, 1).controller.trunk
    assert trunk is not None
    np.testing.assert_array_equal(trunk.tuned["0.weight"], trunk.tensors["0.weight"])


def test_without_torch_a_base_whose_layers_are_to_be_tuned_is_refused_with_the_cure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "ol0.learning.tuning.torch_tuner", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in [name for name in sys.modules if name.startswith("ol0.learning.tuning.")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ConfigError, match=r"pip install 'ol0\[torch\]', or set online_learning.engine to numpy"):
        trainer_of(TUNED, votes(100, 1, new=False, base=TUNED), CONFIGS["values"], 0)
