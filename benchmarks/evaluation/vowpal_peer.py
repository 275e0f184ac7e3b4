"""VowpalWabbit's contextual bandit as a program: matrices in, probabilities out. Runs in the peers' own environment.

``decide`` brings features (n, D), answered by probabilities (n, K) and this process's CPU time so far. ``learn`` brings
(n, D + 3): the features, then the action, its cost and its probability; nothing answers it.
"""

import sys
import time
from functools import lru_cache

import numpy as np
from vowpalwabbit import Workspace

from benchmarks.evaluation.matrices import Matrix, get, put


@lru_cache(maxsize=30_000)
def shared(features: bytes) -> str:
    """The line that all actions share; prompts come again, and a learnt one was decided before."""
    row = np.frombuffer(features, "<f4")
    return "shared |s " + " ".join(f"{place}:{row[place]:.4g}" for place in np.flatnonzero(row).tolist()) + "\n"


def decide(model: Workspace, actions: list[str], features: Matrix) -> Matrix:
    """Probabilities of its own exploration, shape (n, K)."""
    lines = "\n".join(actions)
    return np.array([model.predict(shared(row.tobytes()) + lines) for row in features], np.float32)


def learn(model: Workspace, actions: list[str], examples: Matrix) -> None:
    """One example after the other."""
    for row in examples:
        action, (cost, probability) = int(row[-3]), row[-2:]
        label = f"0:{cost:g}:{probability:.6g} {actions[action]}"
        model.learn(shared(row[:-3].tobytes()) + "\n".join([*actions[:action], label, *actions[action + 1 :]]))


def main() -> None:
    """Serves until its input ends. Arguments: the number of actions, then VowpalWabbit's own."""
    actions = [f"|a e{number}" for number in range(int(sys.argv[1]))]
    model = Workspace(" ".join(["--cb_explore_adf", "--interactions", "sa", "--quiet", *sys.argv[2:]]))
    while True:
        try:
            word, _, matrix = get(sys.stdin.buffer)
        except EOFError:
            return
        if word == "learn":
            learn(model, actions, matrix)
        else:
            answer = decide(model, actions, matrix)
            put(sys.stdout.buffer, word, time.process_time(), answer)


if __name__ == "__main__":
    main()
