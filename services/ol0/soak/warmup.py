"""Warm-up from labelled prompts: a base controller, its anchors and its canary suite.

This is how the demo and the soak bring a base in. The anchors are what a host would log before OL0 learns anything:
the base serves old kinds of prompts with its exploration, and users say what they think.
"""

from dataclasses import dataclass
from pathlib import Path
from random import Random
from uuid import UUID

import numpy as np

from ol0.controller.checkpoint import digest_of, read_checkpoint, write_checkpoint
from ol0.controller.controller import Controller, Manifest
from ol0.controller.exploration import explore
from ol0.controller.heads import Mixer
from ol0.controller.suite import KINDS, read_suite, write_suite
from ol0.errors import ConfigError
from ol0.records import Arm, Candidate, Decision, DecisionId, FeaturesDtype
from ol0.soak.dataset import Prompts, Split
from ol0.soak.pretraining import train_base

PART = "expert"


@dataclass(frozen=True, slots=True)
class Anchor:
    """A decision of the base on an old kind of prompt, and what the user said of it."""

    decision: Decision
    reward: float


@dataclass(frozen=True, slots=True)
class Warmup:
    """What a lineage starts from."""

    checkpoint: bytes
    anchors: tuple[Anchor, ...]
    suite_pass_share: float

    def candidate(self, time_ms: int) -> Candidate:
        """The base as candidate 0."""
        digest = digest_of(self.checkpoint)
        return Candidate(digest, digest, digest, 0, time_ms, self.checkpoint, {"suite": self.suite_pass_share})


def prepare(split: Split, suite: Path, *, epsilon: float, anchors: int, seed: int) -> Warmup:
    """Trains the base, writes the suite file and logs the anchors.

    Args:
        split: the prompts.
        suite: where the suite file goes.
        epsilon: exploration while the anchors are logged, and of every later checkpoint.
        anchors: how many; at most half of the base's training prompts are used.
        seed: same seed, same bytes.
    """
    head = train_base(split.base, seed)
    dimension = head.weight.shape[1]
    manifest = Manifest(base=None, parent=None, step=0, parts=(PART,), epsilon=epsilon)
    checkpoint = write_checkpoint(manifest, (head,), (head,), Mixer.closed(dimension))
    base = read_checkpoint(checkpoint)
    best = split.suite.success.argmax(axis=1)
    kinds = np.full(len(best), KINDS.index("performance"), np.uint8)
    write_suite(suite, split.suite.features, best[:, None], kinds)
    share = float(read_suite(suite).passes(base).mean())
    rng = Random(seed)  # noqa: S311 - simulated users, no secret
    rows = rng.sample(range(len(split.base)), min(anchors, len(split.base) // 2))
    return Warmup(checkpoint, _log_anchors(base, split.base.rows(np.array(rows, np.intp)), rng), share)


def _log_anchors(base: Controller, prompts: Prompts, rng: Random) -> tuple[Anchor, ...]:
    greedy = base.greedy(prompts.features)
    return tuple(_log_anchor(base, prompts, row, greedy[row].tolist(), rng) for row in range(len(prompts)))


def _log_anchor(base: Controller, prompts: Prompts, row: int, greedy: list[int], rng: Random) -> Anchor:
    draw = explore(greedy, base.choices, base.manifest.epsilon, rng)
    decision = Decision(
        decision_id=DecisionId(str(UUID(int=rng.getrandbits(128), version=4))),
        session_id=f"anchor-{row}",
        turn=0,
        user=None,
        time_ms=1,
        digest=base.digest,
        arm=Arm.HOLDBACK,
        staged=None,
        serving_sequence=0,
        features=prompts.features[row].astype("<f4").tobytes(),
        features_dtype=FeaturesDtype.FLOAT32,
        action=draw.action,
        propensity=draw.propensity,
        group=str(prompts.groups[row]),
    )
    return Anchor(decision, float(rng.random() < prompts.success[row, draw.action[0]]))


def check_suite_share(share: float, threshold: float) -> None:
    """A base that fails its own suite is no yardstick.

    Raises:
        ConfigError: it passes less than the threshold.
    """
    if share < threshold:
        raise ConfigError(
            f"the base passes {share:.1%} of its canary suite, below warmup.canary_threshold = {threshold:.0%}: "
            "train a better base, or lower the threshold if this is what the prompts allow"
        )
