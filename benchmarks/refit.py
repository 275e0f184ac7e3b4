"""What one refit of the learner of values costs, on one core: CPU seconds, and memory of the process.

    python -m benchmarks.refit [--features 1536] [--choices 71] [--examples 10000]

The replay buffer is full and has been fitted once; then two hundred examples come, and it is fitted again, five times.
"""

import argparse
import resource
import sys
import time
from statistics import median

import numpy as np

from ol0.config import OnlineLearningConfig
from ol0.controller.checkpoint import read_checkpoint
from ol0.controller.controller import Controller
from ol0.controller.heads import Floats, Head
from ol0.controller.warmup import base_checkpoint
from ol0.learning.batch import Batch
from ol0.learning.replay import LocalReplay
from ol0.learning.values.trainer import ValueTrainer

DIRECTIONS = 40
"""In which prompts vary most; there is noise in all others."""
REFITS = 5
AGAIN = 200


def main() -> None:
    """Reads the arguments, prints a line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=int, default=1_536)
    parser.add_argument("--choices", type=int, default=71)
    parser.add_argument("--examples", type=int, default=10_000)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    weight = rng.normal(0, 3, (arguments.choices, arguments.features)).astype(np.float32)
    head = Head(weight, np.zeros(arguments.choices, np.float32))
    base = read_checkpoint(base_checkpoint(("expert",), (head,), 0.1))
    turn = rng.normal(size=(DIRECTIONS, arguments.features)).astype(np.float32)
    anchors, config = votes(base, turn, 2_000, rng), OnlineLearningConfig()
    trainer, replay = ValueTrainer(base, anchors, config), LocalReplay(arguments.examples, anchors, 1e-3)
    replay.add(votes(base, turn, arguments.examples, rng), 1)
    trainer.update(replay)
    seconds = []
    for number in range(REFITS):
        replay.add(votes(base, turn, AGAIN, rng), 2 + number)
        live, began = replay.drawable(), time.process_time()
        trainer._refit(live, replay)  # noqa: SLF001 - by itself, whether it is due or not
        seconds.append(time.process_time() - began)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sizes = f"D = {arguments.features:,}, K = {arguments.choices}, {arguments.examples:,} examples"
    spread = f"{min(seconds):.2f} to {max(seconds):.2f}"
    sys.stdout.write(f"{sizes}: {median(seconds):.2f} s of CPU a refit ({spread}), {memory:.0f} MiB\n")


def votes(base: Controller, turn: Floats, count: int, rng: np.random.Generator) -> Batch:
    """One in ten explored, three in ten good, and seven where every seventh choice answers."""
    features = rng.normal(size=(count, len(turn))) @ turn + rng.normal(0, 3, (count, turn.shape[1]))
    features = (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)
    explored = rng.integers(0, base.choices[0], count)
    actions = np.where(rng.random(count) < 0.9, base.greedy(features)[:, 0], explored)
    rewards = (rng.random(count) < 0.3 + 0.4 * (actions % 7 == 0)).astype(np.float32)
    ones = np.ones(count, np.float32)
    users = rng.integers(0, 500, count).astype(np.uint64)
    propensities = np.full((count, 1), 0.5, np.float32)
    return Batch(features, actions[:, None], propensities, rewards, ones, users)


if __name__ == "__main__":
    main()
