"""Warm-up from labelled prompts: a base controller, its anchors and its canary suite.

This is how the demo and the soak bring a base in. The anchors are what a host would log before OL0 learns anything:
the base serves old kinds of prompts with its exploration, and users say what they think.
"""

from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np

from ol0.controller.checkpoint import read_checkpoint
from ol0.controller.controller import Controller
from ol0.controller.exploration import explore
from ol0.controller.suite import KINDS, share_of, write_suite
from ol0.controller.warmup import Anchor, Warmup, base_checkpoint, log_anchor
from ol0.operator.setup.base_training import train_base
from ol0.operator.setup.prompts import Prompts, Split

PART = "expert"


def prepare(split: Split, *, epsilon: float, anchors: int, seed: int, checkpoint: bytes | None = None) -> Warmup:
    """Trains the base, asks it its canary suite and logs the anchors.

    Args:
        split: the prompts.
        epsilon: exploration while the anchors are logged, and of every later checkpoint.
        anchors: how many; at most half of the base's training prompts are used.
        seed: same seed, same bytes.
        checkpoint: a base that is there already; None: one is trained.
    """
    checkpoint = checkpoint or base_checkpoint((PART,), (train_base(split.base, seed),), epsilon)
    base = read_checkpoint(checkpoint)
    suite = split.suite
    share = share_of(suite.success[np.arange(len(suite)), base.greedy(suite.features)[:, 0]], suite.best)
    rng = Random(seed)  # noqa: S311 - simulated users, no secret
    rows = rng.sample(range(len(split.base)), min(anchors, len(split.base) // 2))
    return Warmup(checkpoint, log_anchors(base, split.base.rows(np.array(rows, np.intp)), rng), share)


def write_labelled_suite(prompts: Prompts, path: Path) -> None:
    """Writes the suite file that ``safety.suite`` names: an expert is worth how often it answers well."""
    kinds = np.full(len(prompts), KINDS.index("performance"), np.uint8)
    write_suite(path, prompts.features, [prompts.success], kinds)


def log_anchors(base: Controller, prompts: Prompts, rng: Random) -> tuple[Anchor, ...]:
    """The base answers these prompts, with its exploration, and simulated users say what they think."""
    greedy = base.greedy(prompts.features)
    return tuple(_log_anchor(base, prompts, row, greedy[row].tolist(), rng) for row in range(len(prompts)))


def _log_anchor(base: Controller, prompts: Prompts, row: int, greedy: list[int], rng: Random) -> Anchor:
    draw = explore(greedy, base.choices, base.manifest.epsilon, rng)
    anchor = log_anchor(
        base, row, prompts.features[row], draw, reward=0.0, group=str(prompts.groups[row]) or None, rng=rng
    )
    return replace(anchor, reward=float(rng.random() < prompts.success[row, draw.action[0]]))
