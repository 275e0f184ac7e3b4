"""Reverb on localhost: the same capacity, features and batch. Prints samples with update, a second."""

import sys
import time

import numpy as np
import reverb

CAPACITY, DIMENSION, DRAWN, ROUND_S = 10_000, 384, 256, 4.0


def main() -> None:
    """Fills, samples, prints."""
    rng = np.random.default_rng(0)
    table = reverb.Table(
        "replay",
        sampler=reverb.selectors.Prioritized(0.6),
        remover=reverb.selectors.Fifo(),
        max_size=CAPACITY,
        rate_limiter=reverb.rate_limiters.MinSize(1),
    )
    server = reverb.Server([table], port=None)
    client = reverb.Client(f"localhost:{server.port}")
    for _ in range(CAPACITY):
        client.insert([rng.normal(size=DIMENSION).astype(np.float32), np.int64(1), np.float32(0.5)], {"replay": 1.0})
    started, done = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - started) < ROUND_S:
        keys = [one[0].info.key for one in client.sample("replay", num_samples=DRAWN)]
        client.mutate_priorities("replay", updates=dict(zip(keys, rng.random(DRAWN) + 1e-3, strict=True)))
        done += 1
    sys.stdout.write(f"{done / elapsed}\n")
    server.stop()


if __name__ == "__main__":
    main()
