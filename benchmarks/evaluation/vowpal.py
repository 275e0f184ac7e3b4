"""VowpalWabbit as a contender: a child process in the peers' own environment."""

import subprocess
from typing import BinaryIO, Final, cast

import numpy as np

from benchmarks.evaluation.matrices import Matrix, get, put
from benchmarks.evaluation.worlds import World
from benchmarks.worker import PEERS, ROOT
from ol0.controller.controller import Actions
from ol0.controller.heads import Floats
from ol0.learning.batch import Batch

PROGRAM: Final = "benchmarks.evaluation.vowpal_peer"


def missing() -> bool:
    """Whether the peers' environment lacks it."""
    try:
        found = subprocess.run([PEERS, "-c", "import vowpalwabbit"], capture_output=True, check=False)
    except FileNotFoundError:
        return True
    return found.returncode != 0


class VowpalWabbit:
    """``--cb_explore_adf`` with interactions of prompt and expert, after the anchors as logged decisions.

    It learns every vote by itself when it comes, from its own decision's action, cost (1 for a bad vote) and
    probability.

    Attributes:
        elsewhere_s: CPU time of the child process.
    """

    def __init__(self, world: World, options: str) -> None:
        """Starts the child; it ends when this object goes."""
        words = [str(PEERS), "-m", PROGRAM, str(world.base.choices[0]), *options.split()]
        self._child = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.elsewhere_s = 0.0
        self.learn(world.anchors)
        self.probabilities(world.anchors.features[:1])  # waits, so that its start and the anchors are nobody's time

    def __del__(self) -> None:
        cast("BinaryIO", self._child.stdin).close()
        cast("BinaryIO", self._child.stdout).close()
        self._child.wait()

    def probabilities(self, features: Floats) -> Floats:
        """Its own exploration."""
        self._send("decide", features)
        _, self.elsewhere_s, answer = get(cast("BinaryIO", self._child.stdout))
        return answer

    def greedy(self, features: Floats) -> Actions:
        """The likeliest; the first of several."""
        return np.asarray(self.probabilities(features).argmax(axis=1))

    def learn(self, batch: Batch) -> None:
        """One after the other; the child does it before it answers the next prompt."""
        decided = np.column_stack([batch.actions[:, 0], 1 - batch.rewards, batch.propensities[:, 0]])
        self._send("learn", np.hstack([batch.features, decided]))

    def settle(self) -> None:
        """Nothing: what it learns serves at once."""

    def _send(self, word: str, matrix: Matrix) -> None:
        put(cast("BinaryIO", self._child.stdin), word, 0.0, matrix)
