"""The base controller of a simulated host: softmax regression on the old kinds of prompts, with full labels."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ol0.controller.heads import Floats, Head, softmax
from ol0.learning.adam import Adam
from ol0.learning.parts import with_bias
from ol0.operator.setup.prompts import Prompts

EPOCHS: Final = 30
BATCH: Final = 128
FEWEST_STEPS: Final = 32
"""In an epoch: few prompts are gone through several times, or the heads would end where they began."""
STEP: Final = 3e-3
FOLDS: Final = 4
ERRORS: Final = 2.0
"""Standard errors on held-out rows by which heads that look at the prompt must be better than one that does not."""
SMALLEST: Final = 1e-3  # of an expert that is never the better one: its share must have a logarithm


@dataclass(frozen=True, slots=True)
class Labels:
    """What to learn from.

    Attributes:
        features: with a last column of ones, shape (n, D + 1).
        values: of every expert, shape (n, K).
        targets: what an expert is worth above the worst for that prompt, shape (n, K), in a unit that makes their sums
            1 on average.
    """

    features: Floats
    values: Floats
    targets: Floats


def train_base(prompts: Prompts, seed: int) -> Head:
    """One head of K experts: the best single expert, or heads that look at the prompt where they are better.

    Adam on the cross-entropy -sum_k t_k log pi_k, t being the targets of ``Labels``. Its minimum has pi_k in proportion
    to the expected t_k, so the greedy action is the expert of the largest expected value, however many are right, and
    prompts whose experts are all alike say nothing. It begins at the best single expert; after how many epochs it ends
    is chosen by what the heads are worth on rows that they were not trained on.
    """
    labels = Labels(with_bias(prompts.features), prompts.success, targets_of(prompts.success))
    epochs = _epochs(labels, seed)
    weight = next(islice(_fits(labels, np.arange(len(prompts)), seed), epochs, None))
    return Head(np.ascontiguousarray(weight[:-1].T), weight[-1].copy())


def targets_of(values: Floats) -> Floats:
    """The targets of ``Labels``, of values of the same shape (n, K)."""
    above = values - values.min(axis=1, keepdims=True)
    return np.asarray(above / (float(above.sum(axis=1).mean()) or 1.0), np.float32)


def _epochs(labels: Labels, seed: int) -> int:
    """After how many epochs heads are worth most on held-out rows; 0 where that is not clearly more than at first."""
    count = len(labels.features)
    worth = np.zeros((EPOCHS + 1, count))
    for held in np.array_split(np.random.default_rng(seed).permutation(count), FOLDS):
        for epoch, weight in enumerate(_fits(labels, np.setdiff1d(np.arange(count), held), seed)):
            taken = (labels.features[held] @ weight).argmax(axis=1)
            worth[epoch, held] = labels.values[held, taken]
    best = int(worth.mean(axis=1).argmax())
    gain = worth[best] - worth[0]
    return best if gain.mean() > ERRORS * gain.std() / np.sqrt(count) else 0


def _fits(labels: Labels, rows: NDArray[np.intp], seed: int) -> Iterator[Floats]:
    """The weights before the first epoch, and after each."""
    rng = np.random.default_rng(seed)
    weight = np.zeros((labels.features.shape[1], labels.targets.shape[1]), np.float32)
    weight[-1] = np.log(np.maximum(labels.targets[rows].mean(axis=0), SMALLEST))
    adam = Adam.like(weight)
    # By the number of all rows: an epoch of those that are not held out has to be one of the last training.
    passes = -(-FEWEST_STEPS // max(1, len(labels.features) // BATCH))
    yield weight
    for _ in range(EPOCHS):
        for _ in range(passes):
            for some in np.array_split(rng.permutation(rows), max(1, len(rows) // BATCH)):
                adam, change = adam.step(_gradient(weight, labels.features[some], labels.targets[some]), STEP)
                weight = weight + change
        yield weight


def _gradient(weight: Floats, features: Floats, targets: Floats) -> Floats:
    wrong = softmax(features @ weight) * targets.sum(axis=1, keepdims=True) - targets
    return np.asarray(features.T @ wrong / len(features), np.float32)
