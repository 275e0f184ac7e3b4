"""The base controller of a simulated host: softmax regression on the old kinds of prompts, with full labels."""

import numpy as np

from ol0.controller.heads import Floats, Head, softmax
from ol0.learner.adam import Adam
from ol0.learner.parts import with_bias
from ol0.soak.dataset import Prompts

EPOCHS = 30
BATCH = 128
STEP = 3e-3
WEIGHT_DECAY = 1e-4


def train_base(prompts: Prompts, seed: int) -> Head:
    """One head of K experts. Adam on the cross-entropy against the best expert of each prompt (ties share)."""
    rng = np.random.default_rng(seed)
    features = with_bias(prompts.features)
    best = prompts.success >= prompts.success.max(axis=1, keepdims=True) - 1e-6
    targets = (best / best.sum(axis=1, keepdims=True)).astype(np.float32)
    width = features.shape[1]
    weight = (rng.uniform(-1, 1, (width, targets.shape[1])) / np.sqrt(width)).astype(np.float32)
    adam = Adam.like(weight)
    for _ in range(EPOCHS):
        for rows in np.array_split(rng.permutation(len(features)), max(1, len(features) // BATCH)):
            adam, change = adam.step(_gradient(weight, features[rows], targets[rows]), STEP)
            weight = (weight * (1 - STEP * WEIGHT_DECAY) + change).astype(np.float32)
    return Head(np.ascontiguousarray(weight[:-1].T), weight[-1].copy())


def _gradient(weight: Floats, features: Floats, targets: Floats) -> Floats:
    return np.asarray(features.T @ (softmax(features @ weight) - targets) / len(features), np.float32)
