"""How far a candidate has moved from its base in what it answers: on the probes, and where no prompt lies."""

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict

from ol0.config import SafetyConfig
from ol0.controller.controller import Controller
from ol0.controller.heads import Floats, Head, Mixer, sigmoid, softmax
from ol0.controller.suite import Suite, share_of
from ol0.records import Reason

SMALLEST_PROBABILITY: Final = 1e-12  # float32 policies reach 0, where the divergence would be infinite
NO_DOUBT: Final = 0.01  # a smaller doubt counts as zero: sharp heads have none to lose
SPEAKS: Final = 0.01  # mean share of the policy below which learnt heads say nothing where no prompt lies


@dataclass(frozen=True)
class Movement:
    """The figures of one candidate against its base.

    Attributes:
        mean_kl: mean over the probes of KL(base || candidate) in nats, summed over the parts of the action.
        tail_kl: its 99th percentile.
        changed: share of the probes whose greedy action is another one than the base's, and worth less. Where many
            actions are equally good, others may change.
        lost: share of what the best actions on the probes are worth that the base's bring, less the candidate's share.
        loudness: share of the base's doubt that learnt heads have lost where no prompt lies, the worst part; below 0
            they have more. See ``_loudness``.
        norm: Frobenius norm of learnt - base over that of base, weights and biases of all parts together.
        spectral: largest singular value of a learnt head over that of its base head, the worst part.
    A figure that an earlier version had not stored is NaN, which is within no limit.
    """

    __pydantic_config__: ClassVar[ConfigDict] = {"ser_json_inf_nan": "constants"}

    mean_kl: float = math.nan
    tail_kl: float = math.nan
    changed: float = math.nan
    lost: float = math.nan
    loudness: float = math.nan
    norm: float = math.nan
    spectral: float = math.nan


def measure(controller: Controller, probes: Suite) -> Movement:
    """Asks base heads and policy of one checkpoint about the probes.

    The base's policy is its base heads alone, for it has learnt nothing yet; so one verified file is enough.

    Args:
        controller: the candidate.
        probes: prompts, with what every action is worth.
    """
    features, heads = controller.inputs(probes.features), controller.above_trunk
    # Finite weights may overflow: the figures become NaN, and NaN is below no limit.
    with np.errstate(all="ignore"):
        divergences = np.zeros(len(features))
        for head, policy in zip(heads.base, heads.policy(features), strict=True):
            divergences += _divergence(head, policy, features)
        frozen = replace(heads, learnt=heads.base, mixer=Mixer.closed(heads.dimension))
        base = np.concatenate([_matrix(head).ravel() for head in controller.base])
        learnt = np.concatenate([_matrix(head).ravel() for head in controller.learnt])
        kept, before = (probes.worth(one.greedy(features)) for one in (heads, frozen))
        gains = zip(map(_gain, controller.learnt), map(_gain, controller.base), strict=True)
        return Movement(
            mean_kl=float(divergences.mean()),
            tail_kl=float(np.quantile(divergences, 0.99)),
            changed=float((kept < before).mean()),
            lost=share_of(before, probes.best) - share_of(kept, probes.best),
            loudness=_loudness(controller, probes.features),
            norm=float(np.linalg.norm(learnt - base) / np.linalg.norm(base)),
            spectral=max(float(one / two) for one, two in gains),
        )


def judge(movement: Movement, safety: SafetyConfig) -> tuple[bool, tuple[Reason, ...]]:
    """Whether the candidate stays near enough, and every figure with its limit; the deciding ones first.

    What decides is what people would be answered. Weights say little of that: from a small base any useful head lies
    many base norms away, and behind a closed mixer the loudest one says nothing. Figures of honest and of bad
    candidates: ADR 23.
    """
    decide = (
        _reason("kl", movement.mean_kl, safety.kl_critical, _kl_text(movement.mean_kl, safety)),
        _reason(
            "changed",
            movement.changed,
            safety.changed_critical,
            f"{movement.changed:.1%} of the greedy answers to the probes change for the worse; "
            f"{safety.changed_critical:.1%} may",
        ),
        _reason(
            "lost",
            movement.lost,
            safety.lost_critical,
            f"of what the best answers to the probes are worth {movement.lost:+.1%} is lost; "
            f"{safety.lost_critical:.1%} may be",
        ),
        _reason(
            "loudness",
            movement.loudness,
            safety.loudness_critical,
            f"where no prompt lies, {movement.loudness:.0%} of the base's doubt is gone; "
            f"{safety.loudness_critical:.0%} may be",
        ),
    )
    return all(map(_is_within, decide)), (
        *decide,
        _reason("norm", movement.norm, None, f"learnt - base is {movement.norm:.2f} of the base's norm; reported only"),
        _reason("kl_99", movement.tail_kl, None, f"99th percentile of KL: {movement.tail_kl:.3f} nats; reported only"),
        _reason(
            "spectral", movement.spectral, None, f"largest gain {movement.spectral:.2f} of the base; reported only"
        ),
    )


def _is_within(reason: Reason) -> bool:
    """A figure that is not finite is within no limit."""
    return reason.figure is not None and reason.threshold is not None and reason.figure <= reason.threshold


def _kl_text(figure: float, safety: SafetyConfig) -> str:
    text = f"mean KL(base || candidate) on the probes is {figure:.3f} nats; "
    if figure <= safety.kl_warning:
        return text + f"up to {safety.kl_critical} is allowed"
    if figure <= safety.kl_critical:
        return text + f"warning: above {safety.kl_warning}, though up to {safety.kl_critical} is allowed"
    word = "critical" if figure <= safety.kl_emergency else "emergency"
    return text + f"{word}: only up to {safety.kl_critical} is allowed"


def _reason(check: str, figure: float, threshold: float | None, text: str) -> Reason:
    return Reason(check, figure if np.isfinite(figure) else None, None, threshold, text)


def _divergence(head: Head, policy: Floats, probes: Floats) -> NDArray[np.float64]:
    """KL of one part, shape (N,)."""
    logits = head.logits(probes).astype(np.float64)
    base = np.exp(logits - logits.max(axis=1, keepdims=True))
    base /= base.sum(axis=1, keepdims=True)
    ratio = np.log(np.maximum(base, SMALLEST_PROBABILITY)) - np.log(np.maximum(policy, SMALLEST_PROBABILITY))
    # Equal policies differ by float32's rounding, which may be of either sign.
    return np.asarray(np.maximum((base * ratio).sum(axis=1), 0.0), np.float64)


def _loudness(controller: Controller, features: Floats) -> float:
    """1 - doubt of the learnt heads / doubt of the base's, on random vectors of the probes' lengths.

    Doubt is the mean of 1 - max p, weighted by how much the mixer lets learnt heads say there; where it lets them say
    nothing, it does not matter. Heads that are combinations of prompts respond little to a vector that is not one,
    whatever their norm: there they should be about as unsure as the base.

    Args:
        controller: the candidate.
        features: of the probes, shape (N, D), of which only the lengths count.
    """
    vectors = np.random.default_rng(0).normal(size=features.shape)
    vectors *= (np.linalg.norm(features, axis=1) / np.linalg.norm(vectors, axis=1))[:, None]
    nowhere = controller.inputs(vectors.astype(np.float32))
    say = sigmoid(controller.mixer.scores(nowhere))
    if say.mean() < SPEAKS:
        return 0.0
    pairs = zip(controller.learnt, controller.base, strict=True)
    return 1 - min(_doubt(learnt, nowhere, say) / _doubt(base, nowhere, say) for learnt, base in pairs)


def _doubt(head: Head, features: Floats, weights: Floats) -> float:
    """Weighted mean of 1 - the probability of the best choice."""
    doubts = 1 - softmax(head.logits(features)).max(axis=1)
    return float(np.average(doubts, weights=weights)) + NO_DOUBT


def _matrix(head: Head) -> NDArray[np.float64]:
    """Weight and bias side by side, shape (K, D + 1)."""
    return np.column_stack([head.weight, head.bias]).astype(np.float64)


def _gain(head: Head) -> np.floating:
    """Largest singular value."""
    return np.linalg.norm(_matrix(head), 2)
