"""What does the learner reach on real prompts, against the frozen base and without a gate in between?

    python benchmarks/learning.py [--seeds 10-14] [--data FILE] [--inverted 0.1] [--null]

The stream is that of the demo data: the base is trained on 75 % of the old kinds with full labels; 2,000 of those
prompts, logged by the base with exploration, are the anchors. Then every new prompt comes once, is served by the newest
candidate with exploration, and gets a vote. ``new`` is the greedy success on held-out new prompts, ``old`` its change
on held-out old ones, both in points and beside the frozen base. Choose on seeds 10-14, report on 0-4.
``--inverted`` is the share of users who always say the opposite; ``--null`` sends old prompts instead of new ones, so
that there is nothing to learn: then ``new`` are kinds that nobody sends, and must not move.
A second stream, 64 random features and five actions, has numbers of its own that nothing was tuned on.
"""

import argparse
import os
import sys
import time
from dataclasses import dataclass, replace
from itertools import repeat, starmap
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ol0.config import OnlineLearningConfig
from ol0.controller.checkpoint import read_checkpoint, write_checkpoint
from ol0.controller.controller import Controller, Manifest
from ol0.controller.heads import Floats, Head, Mixer
from ol0.learner.adam import Adam
from ol0.learner.anchors import AnchorSet
from ol0.learner.batch import Batch
from ol0.learner.learner import HeadTrainer
from ol0.learner.parts import Parts, with_bias
from ol0.learner.replay import LocalReplay
from ol0.learner.training import train

DATA = Path(__file__).parents[1] / "services/ol0/soak/data/debian_sections.npz"
SINGLE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
EPSILON = 0.1
UPDATES_PER_CANDIDATE = 10  # of 32 examples: a new controller serves after every 320
BATCH = 128
USERS = 200
BASE_RATE = 3e-3
BASE_EPOCHS = 30


@dataclass(frozen=True)
class World:
    """One split of a stream: features (n, D) and success probabilities (n, K) of each pool."""

    base_pool: tuple[Floats, Floats]
    old_test: tuple[Floats, Floats]
    live: tuple[Floats, Floats]
    new_test: tuple[Floats, Floats]


@dataclass(frozen=True)
class Result:
    """Figures of one seed, in points; times in milliseconds of CPU, so that other work does not count."""

    base_new: float
    new: float
    old: float
    online: float
    pulled: float
    step_ms: float
    draw_ms: float


def debian(path: Path, seed: int) -> World:
    """Old kinds 25 / 75 into test and base pool, new ones 25 / 75 into test and live stream."""
    with np.load(path) as arrays:
        features, success, old = arrays["X"].astype(np.float32), arrays["P"], arrays["old"]
    return _split(features, success, old, seed)


def random_stream(seed: int) -> World:
    """Four clusters of known and four of unknown kinds in 64 features; each kind has one right action of five."""
    rng = np.random.default_rng(seed)
    kinds = rng.integers(0, 8, 8_000)
    centres = rng.normal(size=(8, 64))
    features = centres[kinds] + 2 * rng.normal(size=(8_000, 64))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    right = np.append(rng.permutation(5), rng.integers(0, 5, 3))
    success = np.where(np.arange(5) == right[kinds][:, None], 0.95, 0.05)
    return _split(features.astype(np.float32), success.astype(np.float32), kinds < 4, seed)


def _split(features: Floats, success: Floats, is_old: NDArray[np.bool_], seed: int) -> World:
    rng = np.random.default_rng(seed)
    old, new = rng.permutation(np.flatnonzero(is_old)), rng.permutation(np.flatnonzero(~is_old))
    pools = (old[len(old) // 4 :], old[: len(old) // 4], new[len(new) // 4 :], new[: len(new) // 4])
    return World(*((features[pool], success[pool]) for pool in pools))


def fit_base(features: Floats, success: Floats, seed: int) -> Controller:
    """The frozen base: softmax regression with full labels."""
    rng = np.random.default_rng(100 + seed)
    x, parts = with_bias(features), Parts((success.shape[1],))
    labels = (success >= success.max(axis=1, keepdims=True)).astype(np.float32)
    weights = (rng.uniform(-1, 1, (x.shape[1], success.shape[1])) / x.shape[1] ** 0.5).astype(np.float32)
    adam = Adam.like(weights)
    for _ in range(BASE_EPOCHS):
        for rows in np.array_split(rng.permutation(len(x)), max(1, len(x) // BATCH)):
            error = np.exp(parts.log_softmax(x[rows] @ weights)) - labels[rows]
            adam, delta = adam.step(x[rows].T @ error / len(rows), BASE_RATE)
            weights = weights + delta
    manifest = Manifest(None, None, 0, ("expert",), EPSILON)
    head: tuple[Head, ...] = parts.unstack(weights)
    return read_checkpoint(write_checkpoint(manifest, head, head, Mixer.closed(features.shape[1])))


def serve(
    controller: Controller, features: Floats, success: Floats, rng: np.random.Generator, inverted: float = 0.0
) -> Batch:
    """Epsilon-greedy decisions of one controller, with votes of 200 users, of whom this share says the opposite."""
    rows, choices = np.arange(len(features)), success.shape[1]
    greedy = controller.greedy(features)[:, 0]
    taken = np.where(rng.random(len(rows)) < EPSILON, rng.integers(0, choices, len(rows)), greedy)
    propensity = (1 - EPSILON) * (taken == greedy) + EPSILON / choices
    votes = rng.random(len(rows)) < success[rows, taken]
    users = rng.integers(0, USERS, len(rows)).astype(np.uint64)
    votes ^= users < inverted * USERS
    ones = np.ones(len(rows), np.float32)
    return Batch(
        features, taken[:, None], propensity[:, None].astype(np.float32), votes.astype(np.float32), ones, users
    )


def points(controller: Controller, pool: tuple[Floats, Floats]) -> float:
    """Expected success of the greedy action, in percent."""
    features, success = pool
    return 100 * float(success[np.arange(len(success)), controller.greedy(features)[:, 0]].mean())


def run(world: World, seed: int, config: OnlineLearningConfig, inverted: float = 0.0) -> Result:
    """One pass of the live stream, with this share of inverted voters."""
    rng = np.random.default_rng(7_000 + seed)
    base = fit_base(*world.base_pool, seed)
    chosen = rng.permutation(len(world.base_pool[0]))[: config.anchors]
    logged = serve(base, world.base_pool[0][chosen], world.base_pool[1][chosen], rng)
    replay = LocalReplay(config.replay_size, logged, config.priority_epsilon)
    learner = HeadTrainer(base, AnchorSet.split(logged, config.calibration_share, seed), config, seed)
    serving, votes, pulled, seconds = base, [], [], 0.0
    order = rng.permutation(len(world.live[0]))
    updates = np.split(order, range(config.examples_per_update, len(order), config.examples_per_update))
    for number, rows in enumerate(updates, start=1):
        batch = serve(serving, world.live[0][rows], world.live[1][rows], rng, inverted)
        votes.append(batch.rewards)
        replay.add(batch, number)
        started = time.process_time()
        pulled += [report.terms["pulled_back"] for report in train(learner, replay, config)]
        seconds += time.process_time() - started
        if number % UPDATES_PER_CANDIDATE == 0 or number == len(updates):
            serving = learner.candidate(serving.digest, number).controller
            learner.follow(serving)
    return Result(
        base_new=points(base, world.new_test),
        new=points(serving, world.new_test),
        old=points(serving, world.old_test) - points(base, world.old_test),
        online=100 * float(np.concatenate(votes).mean()),
        pulled=100 * float(np.mean(pulled)),
        step_ms=1_000 * seconds / learner.steps - (drawing := _draw_ms(learner, replay, config)),
        draw_ms=drawing,
    )


def _draw_ms(learner: HeadTrainer, replay: LocalReplay, config: OnlineLearningConfig) -> float:
    """What the draws of one step cost at the end, when the ring is fullest."""
    started = time.process_time()
    for _ in range(100):
        replay.sample(learner.live_rows, config.priority_alpha, config.priority_beta, learner.rng)
        replay.uniform(learner.live_rows, learner.rng)
    return 10 * (time.process_time() - started)


def report(name: str, seeds: list[int], results: list[Result]) -> None:
    """One line a seed, then mean and standard deviation over the splits."""
    sys.stdout.write(f"{name}\n seed  base new    new     old  online  pulled %  step ms  draw ms (CPU)\n")
    rows = np.array([[r.base_new, r.new, r.old, r.online, r.pulled, r.step_ms, r.draw_ms] for r in results])
    labels = [*map(str, seeds), "mean", "sd"]
    for label, row in zip(labels, [*rows, rows.mean(axis=0), rows.std(axis=0)], strict=True):
        base_new, new, old, online, pulled, step_ms, draw_ms = row
        figures = f"{base_new:8.1f} {new:6.1f} {old:+7.2f} {online:7.1f} {pulled:9.1f} {step_ms:8.3f} {draw_ms:8.3f}"
        sys.stdout.write(f"{label:>5} {figures}\n")


def main() -> None:
    """Reads the arguments and prints both streams."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="10-14", help="first and last, such as 10-14")
    parser.add_argument("--data", type=Path, default=DATA, help="debian_sections.npz")
    parser.add_argument("--inverted", type=float, default=0.0, help="share of users who say the opposite")
    parser.add_argument("--null", action="store_true", help="old prompts alone: nothing to learn")
    arguments = parser.parse_args()
    first, last = map(int, arguments.seeds.split("-"))
    seeds = list(range(first, last + 1))
    config = OnlineLearningConfig()
    streams = {
        "demo data": [debian(arguments.data, seed) for seed in seeds],
        "random stream": [random_stream(seed) for seed in seeds],
    }
    for name, worlds in streams.items():
        if arguments.null:
            worlds[:] = [replace(world, live=world.base_pool) for world in worlds]
        runs = zip(worlds, seeds, repeat(config), repeat(arguments.inverted), strict=False)
        report(name, seeds, list(starmap(run, runs)))


if __name__ == "__main__":
    if SINGLE_THREAD.items() - os.environ.items():
        # numpy reads these once, when it is imported: threads cost more than these small products.
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | SINGLE_THREAD)  # noqa: S606 - itself
    main()
