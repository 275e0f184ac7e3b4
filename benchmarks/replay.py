"""Replay: sample(256) and new priorities, a second, against Reverb on localhost and cpprb in process; and the draws.

Ours crosses a socket and brings back 256 payloads of 1.7 KB; what they decode to is not part of it, in cpprb it is.
Reverb's wheel needs an old tensorflow, so it has an environment of its own.
"""

import argparse
import json
import time

import numpy as np

from benchmarks.measure import Row, median, missing, say, show
from benchmarks.scripts import CAPACITY, Feed, fill
from benchmarks.stage import store
from benchmarks.worker import PEERS, ROOT, WorkerError, finish, start
from ol0.replay.buffer import ReplayBuffer
from ol0.replay.sampling import draw, priority_mass

DRAWN = 256
ALPHA, BETA = 0.6, 0.4
ROUND_S = 2.0
DRAWS = 1_000_000
REVERB = ROOT / ".venv-reverb/bin/python"
PEER_GOALS = {"reverb": 8.0, "cpprb": 0.35}


def rate(buffer: ReplayBuffer, rng: np.random.Generator) -> float:
    """Samples with an update of their priorities, a second."""
    started, done = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - started) < ROUND_S:
        batch = buffer.sample(DRAWN, ALPHA, BETA, rng)
        buffer.update_priorities(batch, rng.random(DRAWN))
        done += 1
    return done / elapsed


def chi_square(rng: np.random.Generator) -> float:
    """Per degree of freedom: a million draws of 10,000 slots against their exact probabilities."""
    mass = priority_mass(rng.random(CAPACITY).astype(np.float32) + np.float32(0.01), ALPHA)
    counts = np.zeros(CAPACITY)
    for _ in range(DRAWS // 1_000):
        counts += np.bincount(draw(mass, 1_000, rng), minlength=CAPACITY)
    expected = DRAWS * mass / mass.sum()
    return float(((counts - expected) ** 2 / expected).sum() / (CAPACITY - 1))


def rows(rounds: int) -> list[Row]:
    """Two peers, and the draws."""
    rng = np.random.default_rng(0)
    found = []
    with store() as client:
        feed = Feed(client)
        fill(feed, CAPACITY + CAPACITY // 2)  # seven in ten decisions get feedback: more than fills the ring
        buffer = ReplayBuffer(client, "bench", feed.store.attach(), 1e-3)
        buffer.refresh()
        rate(buffer, rng)  # warm
        for name, goal in PEER_GOALS.items():
            python = REVERB if name == "reverb" else PEERS
            ours, peer = [], []
            title = f"sample({DRAWN}) + update a second against {name}"
            try:
                for _ in range(rounds):
                    ours.append(rate(buffer, rng))
                    peer.append(float(json.loads(finish(start(f"{name}_peer", python=str(python))).splitlines()[-1])))
            except (WorkerError, OSError, ValueError) as error:
                found.append(missing(title, goal, f"{name} did not run: {error}"))
                continue
            say(f"  {title}: {median(ours):,.0f} and {median(peer):,.0f}")
            ratio = median(ours) / median(peer)
            runs = {"ours": ours, "peer": peer}
            found.append(Row(title, goal, True, ratio, median(ours), median(peer), "1/s", rounds, runs=runs))
    value = chi_square(rng)
    note = "chi-square per degree of freedom, 10,000 slots; exact is 1"
    return [*found, Row("draws, 10^6", 1.1, False, value, value, 1.0, "chi2/df", DRAWS, note)]


def main() -> None:
    """Reads the arguments, prints the rows as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    show(rows(parser.parse_args().rounds))


if __name__ == "__main__":
    main()
