"""A small world for the learner's tests: a base, its anchors, live traffic and serving states."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ol0.config import OnlineLearningConfig
from ol0.controller.checkpoint import read_checkpoint, write_checkpoint
from ol0.controller.controller import Controller, Manifest
from ol0.controller.heads import Head, Mixer
from ol0.learning.anchors import AnchorSet
from ol0.learning.batch import Batch
from ol0.learning.gradient.trainer import HeadTrainer
from ol0.learning.replay import LocalReplay
from ol0.records import Mode, Release, ServingState

DIMENSION = 6
EPSILON = 0.3
SHAPES = [(3,), (2, 3), (2, 3, 4), (2, 3, 4, 2)]  # choices of one to four parts
# Faster steps than the default, because tests make few of them; for the same reason nobody asks for evidence. Drawn by
# priority, because the default is one case of it.
SMALL = OnlineLearningConfig(
    learner="gradient",
    anchor_weight=0.3,
    regret_budget=0.8,
    learning_rate=0.006,
    batch_size=32,
    steps_per_update=2,
    examples_per_update=8,
    min_replay=16,
    evidence_errors=0.0,
    lead_errors=0.0,
    priority_alpha=0.6,
)

Array64 = NDArray[np.float64]


def make_base(choices: tuple[int, ...] = (3,), seed: int = 0) -> Controller:
    rng = np.random.default_rng(seed)
    heads = tuple(
        Head(rng.normal(size=(k, DIMENSION)).astype(np.float32) / 2, rng.normal(size=k).astype(np.float32) / 2)
        for k in choices
    )
    manifest = Manifest(None, None, 0, tuple(f"part{number}" for number in range(len(choices))), EPSILON)
    return read_checkpoint(write_checkpoint(manifest, heads, heads, Mixer.closed(DIMENSION)))


def logged(base: Controller, n: int, *, seed: int = 1, new: bool = False) -> Batch:
    """Decisions of the base. On its own prompts it is right; on new ones, which lie elsewhere, its next choice is."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, DIMENSION)).astype(np.float32)
    features[:, 0] += 3 if new else -3
    greedy = base.greedy(features)
    choices = np.array(base.choices)
    taken = np.where(rng.random(greedy.shape) < EPSILON, rng.integers(0, choices, greedy.shape), greedy)
    right = (greedy + 1) % choices if new else greedy
    rewards = rng.random(n) < 0.05 + 0.9 * (taken == right).mean(axis=1)
    propensities = (1 - EPSILON) * (taken == greedy) + EPSILON / choices
    users = rng.integers(0, 40, n).astype(np.uint64)
    as_floats = propensities.astype(np.float32), rewards.astype(np.float32), np.ones(n, np.float32)
    return Batch(features, taken, *as_floats, users)


def as_float64(batch: Batch) -> Batch:
    return replace(
        batch,
        features=batch.features.astype(np.float64),
        propensities=batch.propensities.astype(np.float64),
        rewards=batch.rewards.astype(np.float64),
        weights=batch.weights.astype(np.float64),
    )


def make_replay(base: Controller, config: OnlineLearningConfig = SMALL, *, examples: int = 200) -> LocalReplay:
    replay = LocalReplay(config.replay_size, logged(base, 200), config.priority_epsilon)
    if examples:
        replay.add(logged(base, examples, seed=2, new=True), watermark_ms=1_000)
    return replay


def make_learner(base: Controller, config: OnlineLearningConfig = SMALL) -> HeadTrainer:
    return HeadTrainer(base, AnchorSet.split(logged(base, 200), config.calibration_share, 3), config, 3)


def trained(base: Controller, config: OnlineLearningConfig = SMALL, updates: int = 10) -> HeadTrainer:
    learner, replay = make_learner(base, config), make_replay(base, config)
    for _ in range(updates):
        learner.update(replay)
    return learner


def numeric_gradient(function: Callable[[Array64], float], at: Array64) -> Array64:
    """Central differences."""
    gradient, step = np.zeros_like(at), 1e-5
    for index in np.ndindex(at.shape):
        up, down = at.copy(), at.copy()
        up[index] += step
        down[index] -= step
        gradient[index] = (function(up) - function(down)) / (2 * step)
    return gradient


def release_of(controller: Controller, data: bytes) -> Release:
    return Release(controller.digest, controller.manifest.step, data, ())


def serving(base: Controller, **changes: object) -> ServingState:
    """The base serves and nothing else has happened, but for the changes."""
    data = write_checkpoint(base.manifest, base.base, base.learnt, base.mixer)
    release = release_of(base, data)
    state = ServingState(
        sequence=1,
        time_ms=0,
        mode=Mode.APPLY,
        frozen=False,
        base=release,
        live=release,
        staged=None,
        decided_step=0,
        cooldown_until_ms=0,
        failures=0,
    )
    return replace(state, **changes)
