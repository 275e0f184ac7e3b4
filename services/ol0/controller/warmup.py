"""What a lineage starts from, wherever its base came from: trained on labelled prompts, or brought in from AR1."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor
from random import Random
from uuid import UUID

from ol0.controller.checkpoint import check_checkpoint_size, digest_of, write_checkpoint
from ol0.controller.chunks import MAX_BYTES
from ol0.controller.controller import Controller, Manifest
from ol0.controller.exploration import Draw
from ol0.controller.heads import Floats, Head, Mixer
from ol0.controller.hysteresis import Hysteresis
from ol0.controller.trunk import Trunk
from ol0.errors import ConfigError
from ol0.records import Arm, Candidate, Decision, DecisionId, FeaturesDtype


@dataclass(frozen=True, slots=True)
class Anchor:
    """A decision of the base on a prompt that it knows, and its reward."""

    decision: Decision
    reward: float


@dataclass(frozen=True, slots=True)
class Warmup:
    """What a lineage starts from.

    Attributes:
        checkpoint: the base.
        anchors: what the replay store holds before anybody has asked.
        suite_pass_share: what the base is worth on the canary suite, over what the best actions are.
    """

    checkpoint: bytes
    anchors: tuple[Anchor, ...]
    suite_pass_share: float

    def candidate(self, time_ms: int) -> Candidate:
        """The base as candidate 0."""
        digest = digest_of(self.checkpoint)
        return Candidate(digest, digest, digest, 0, time_ms, self.checkpoint, {"suite": self.suite_pass_share})


def base_checkpoint(
    parts: Sequence[str],
    heads: tuple[Head, ...],
    epsilon: float,
    encoder: str | None = None,
    hysteresis: Hysteresis | None = None,
    trunk: Trunk | None = None,
) -> bytes:
    """The bytes of a base: nothing learnt yet, so its learnt heads are its base heads and its mixer looks at nothing.

    Args:
        parts: names of the parts of an action.
        heads: of each part.
        epsilon: exploration, of every later checkpoint too.
        encoder: fingerprint of the encoder whose outputs are the features; None where features come in ready.
        hysteresis: of every later checkpoint too; None: a decision never looks back at the one before.
        trunk: hidden layers, of every later checkpoint too; heads are then of what it gives: see ``Trunk.head``.

    Raises:
        ConfigError: they are too large: see ``check_checkpoint_size``.
    """
    width = heads[0].weight.shape[1]
    check_checkpoint_size(width, [head.choices for head in heads])
    manifest = Manifest(None, None, 0, tuple(parts), epsilon, encoder, hysteresis)
    data = write_checkpoint(manifest, heads, heads, Mixer.closed(width), trunk)
    if len(data) > MAX_BYTES:
        raise ConfigError(
            f"hidden layers and heads make a checkpoint of {len(data) / 1e6:.1f} MB, and {MAX_BYTES / 1e6:.1f} MB is "
            "the most: take narrower layers, or let the host compute the first ones and give their output as features"
        )
    return data


def log_anchor(
    base: Controller, number: int, features: Floats, draw: Draw, *, reward: float, group: str | None, rng: Random
) -> Anchor:
    """One decision of the base before there was a log.

    Args:
        base: who decided.
        number: of the anchor; its session is named by it.
        features: shape (D,).
        draw: the action that was taken, with its propensity.
        reward: within [0, 1].
        group: label for reports.
        rng: names the decision.
    """
    decision = Decision(
        decision_id=DecisionId(str(UUID(int=rng.getrandbits(128), version=4))),
        session_id=f"anchor-{number}",
        turn=0,
        user=None,
        time_ms=1,
        digest=base.digest,
        arm=Arm.HOLDBACK,
        staged=None,
        serving_sequence=0,
        features=features.astype("<f4").tobytes(),
        features_dtype=FeaturesDtype.FLOAT32,
        action=draw.action,
        propensity=draw.propensity,
        group=group,
    )
    return Anchor(decision, reward)


def check_suite_share(share: float, threshold: float) -> None:
    """A base that fails its own suite is no yardstick.

    Raises:
        ConfigError: it is worth less than the threshold.
    """
    if share < threshold:
        raise ConfigError(
            f"the base is worth {share:.1%} of its canary suite, below warmup.canary_threshold = {threshold:.0%}: "
            f"train a better base, or, if this is what the prompts allow, set warmup.canary_threshold to "
            f"{floor(100 * share) / 100} at most, for the services too"
        )
