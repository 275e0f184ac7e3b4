from dataclasses import replace

import numpy as np
import pytest

from ol0.config import OnlineLearningConfig
from ol0.controller.compatibility import differences
from ol0.controller.controller import Controller
from ol0.learning.batch import Batch
from ol0.learning.engines import trainer_of
from ol0.learning.on_trunk import OnTrunk
from ol0.learning.replay import LocalReplay
from ol0.learning.trainer import Trainer
from testbed.trunks import D, a_base_on, a_trunk

BASE = a_base_on(a_trunk((5,), "tanh"), (3,))
CONFIGS = {
    "values": OnlineLearningConfig(evidence_errors=0.0, min_replay=16, regret_budget=100.0),
    "gradient": OnlineLearningConfig(learner="gradient", evidence_errors=0.0, learning_rate=0.02, regret_budget=100.0),
}


def votes(count: int, seed: int, *, new: bool) -> Batch:
    """On old prompts the base is right; on new ones, which lie elsewhere, expert 2 is."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, D)).astype(np.float32)
    features[:, 0] += 4 if new else -4
    taken = rng.integers(0, 3, count)
    right = np.full(count, 2) if new else BASE.greedy(features)[:, 0]
    ones = np.ones(count, np.float32)
    users = np.asarray(rng.integers(0, 50, count), np.uint64)
    propensity = np.full((count, 1), 1 / 3, np.float32)
    rewards = (taken == right).astype(np.float32)
    return Batch(BASE.inputs(features), taken[:, None], propensity, rewards, ones, users)


def trained(config: OnlineLearningConfig) -> tuple[Trainer, LocalReplay]:
    anchors = votes(300, 1, new=False)
    replay = LocalReplay(2_000, anchors, config.priority_epsilon)
    trainer = trainer_of(BASE, anchors, config, 0)
    for start in range(12):
        replay.add(votes(50, 10 + start, new=True), start + 1)
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
