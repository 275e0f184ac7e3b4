"""The base controller of a simulated host: softmax regression on the old kinds of prompts, with full labels."""

import numpy as np

from ol0.controller.heads import Floats, Head, softmax
from ol0.soak.dataset import Prompts

EPOCHS = 30
BATCH = 128
STEP = 3e-3
WEIGHT_DECAY = 1e-4


def train_base(prompts: Prompts, seed: int) -> Head:
    """One head of K experts. Adam on the cross-entropy against the best expert of each prompt (ties share)."""
    rng = np.random.default_rng(seed)
    features = np.column_stack([prompts.features, np.ones(len(prompts), np.float32)])
    best = prompts.success >= prompts.success.max(axis=1, keepdims=True) - 1e-6
    targets = (best / best.sum(axis=1, keepdims=True)).astype(np.float32)
    width = features.shape[1]
    weight = (rng.uniform(-1, 1, (width, targets.shape[1])) / np.sqrt(width)).astype(np.float32)
    first, second, step = np.zeros_like(weight), np.zeros_like(weight), 0
    for _ in range(EPOCHS):
        for rows in np.array_split(rng.permutation(len(features)), max(1, len(features) // BATCH)):
            step += 1
            gradient = _gradient(weight, features[rows], targets[rows])
            first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
            adaptive = (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
            weight = (weight * (1 - STEP * WEIGHT_DECAY) - STEP * adaptive).astype(np.float32)
    return Head(np.ascontiguousarray(weight[:-1].T), weight[-1].copy())


def _gradient(weight: Floats, features: Floats, targets: Floats) -> Floats:
    return np.asarray(features.T @ (softmax(features @ weight) - targets) / len(features), np.float32)
