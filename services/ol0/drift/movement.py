"""How far a candidate has moved from its base: on the probes, and in its weights."""

from dataclasses import dataclass
from typing import Final, Self, TypedDict

import numpy as np
from numpy.typing import NDArray

from ol0.config import SafetyConfig
from ol0.controller.controller import Controller
from ol0.controller.heads import Floats, Head
from ol0.records import Reason

SMALLEST_PROBABILITY: Final = 1e-12  # float32 policies reach 0, where the divergence would be infinite


class MovementSnapshot(TypedDict):
    """A ``Movement`` in plain JSON values."""

    mean_kl: float
    tail_kl: float
    norm: float
    spectral: float


@dataclass(frozen=True)
class Movement:
    """The figures of one candidate against its base.

    Attributes:
        mean_kl: mean over the probes of KL(base || candidate) in nats, summed over the parts of the action.
        tail_kl: its 99th percentile.
        norm: Frobenius norm of learnt - base over that of base, weights and biases of all parts together.
        spectral: largest singular value of a learnt head over that of its base head, the worst part.
    """

    mean_kl: float
    tail_kl: float
    norm: float
    spectral: float

    def snapshot(self) -> MovementSnapshot:
        """In plain JSON values."""
        return MovementSnapshot(mean_kl=self.mean_kl, tail_kl=self.tail_kl, norm=self.norm, spectral=self.spectral)

    @classmethod
    def from_snapshot(cls, snapshot: MovementSnapshot) -> Self:
        """The movement that ``snapshot`` was taken from."""
        return cls(**snapshot)


def measure(controller: Controller, probes: Floats) -> Movement:
    """Asks base heads and policy of one checkpoint about the probes.

    The base's policy is its base heads alone, for it has learnt nothing yet; so one verified file is enough.

    Args:
        controller: the candidate.
        probes: features, shape (N, D).
    """
    # Finite weights may overflow: the figures become NaN, and NaN is below no limit.
    with np.errstate(all="ignore"):
        divergences = np.zeros(len(probes))
        for head, policy in zip(controller.base, controller.policy(probes), strict=True):
            divergences += _divergence(head, policy, probes)
        base = np.concatenate([_matrix(head).ravel() for head in controller.base])
        learnt = np.concatenate([_matrix(head).ravel() for head in controller.learnt])
        norm = float(np.linalg.norm(learnt - base) / np.linalg.norm(base))
        pairs = zip(controller.learnt, controller.base, strict=True)
        spectral = max(float(np.linalg.norm(_matrix(one), 2) / np.linalg.norm(_matrix(two), 2)) for one, two in pairs)
        return Movement(float(divergences.mean()), float(np.quantile(divergences, 0.99)), norm, spectral)


def judge(movement: Movement, safety: SafetyConfig) -> tuple[bool, tuple[Reason, ...]]:
    """Whether the candidate stays near enough, and every figure with its limit; the deciding ones first.

    KL alone lets "weights x 10" pass: the mixer keeps the base's share of the policy, which bounds KL by -log(1 - g).
    Calibrated on the demo's data, 5 splits, 77 candidates in 40,000 decisions: relative norm at most 1.63 (median 1.36,
    still growing slowly), KL at most .041; the same heads x 3: at least 4.3, x 10: at least 15.8, base heads x 10: 9.0,
    with KL .03 to .08. So the norm decides too. The spectral ratio (3.1 against 5.3 and more) separates less well.
    """
    near = movement.mean_kl <= safety.kl_critical
    small = movement.norm <= safety.norm_critical
    return near and small, (
        _reason("kl", movement.mean_kl, safety.kl_critical, _kl_text(movement.mean_kl, safety)),
        _reason(
            "norm",
            movement.norm,
            safety.norm_critical,
            f"learnt weights lie {movement.norm:.2f} base norms from the base; {safety.norm_critical:g} is allowed",
        ),
        _reason("kl_99", movement.tail_kl, None, f"99th percentile of KL: {movement.tail_kl:.3f} nats; reported only"),
        _reason(
            "spectral", movement.spectral, None, f"largest gain {movement.spectral:.2f} of the base; reported only"
        ),
    )


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


def _matrix(head: Head) -> NDArray[np.float64]:
    """Weight and bias side by side, shape (K, D + 1)."""
    return np.column_stack([head.weight, head.bias]).astype(np.float64)
