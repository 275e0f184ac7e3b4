"""cpprb's prioritised buffer in process, same capacity, features and batch. Prints samples with update, a second."""

import sys
import time

import numpy as np
from cpprb import PrioritizedReplayBuffer

CAPACITY, DIMENSION, DRAWN, ROUND_S = 10_000, 384, 256, 2.0


def main() -> None:
    """Fills, samples, prints."""
    rng = np.random.default_rng(0)
    shapes = {"features": {"shape": DIMENSION}, "action": {}, "reward": {}, "propensity": {}}
    buffer = PrioritizedReplayBuffer(CAPACITY, shapes, alpha=0.6)
    for _ in range(CAPACITY):
        buffer.add(features=rng.normal(size=DIMENSION), action=1, reward=0.5, propensity=0.9)
    started, done = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - started) < ROUND_S:
        batch = buffer.sample(DRAWN, beta=0.4)
        buffer.update_priorities(batch["indexes"], rng.random(DRAWN) + 1e-3)
        done += 1
    sys.stdout.write(f"{done / elapsed}\n")


if __name__ == "__main__":
    main()
