"""What the base's answers are worth on its own prompts, and what is lost where another answer is given."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from ol0.controller.heads import Doubles, Floats, Head, Mixer, softmax
from ol0.learning.calibration import LOG_FLOOR, POINTS, THRESHOLDS, logistic, sigmoid
from ol0.learning.values.fit import TEMPERATURE
from ol0.learning.values.lead import answers

OWN_OPINION: Final = 0.18
"""What the values count beside the base's belief where the loss on anchors is measured. The belief alone finds nothing
better than the base's answer, so that nothing would change where old and new prompts look alike."""

_PRIOR = np.array([1.0, 0.0, 0.0])
_RIDGE = np.array([1e-2, 1.0, 1e-2])


@dataclass(frozen=True, slots=True)
class Belief:
    """P(reward | choice a) = sigmoid(slope log(p0(a) + 1e-4) + lead 1[a is the base's answer] + intercept).

    The lead is what the base's answer has before all others that its probabilities do not tell: where many choices are
    right, or one is the best for every prompt, they tell nothing, and leaving the answer costs all the same.
    """

    slope: float
    lead: float
    intercept: float

    @classmethod
    def fit(cls, shares: Floats, actions: np.ndarray[tuple[int], np.dtype[np.intp]], rewards: Floats) -> Self:
        """From logged decisions.

        Args:
            shares: p0 of every choice, shape (n, K).
            actions: what was served, shape (n,).
            rewards: within [0, 1], shape (n,).
        """
        logs, is_answer = _features(shares)
        rows = np.arange(len(actions))
        design = np.stack([logs[rows, actions], is_answer[rows, actions], np.ones(len(actions))])
        # Negative ones would pay for every answer of the base that is given up.
        slope, lead, intercept = logistic(design, rewards, _PRIOR, _RIDGE, rising=2)
        return cls(float(slope), float(lead), float(intercept))

    def rewards(self, shares: Floats) -> Doubles:
        """Expected reward of every choice, shape (n, K)."""
        logs, is_answer = _features(shares)
        return sigmoid(self.slope * logs + self.lead * is_answer + self.intercept)


def regrets_of(
    heads: Sequence[Head], mixer: Mixer, features: Floats, shares: Sequence[Floats], beliefs: Sequence[Doubles]
) -> Floats:
    """Points that the base's own prompts lose at each of ``THRESHOLDS``, summed over the parts.

    Args:
        heads: values over the temperature, one for each part.
        mixer: any threshold; it is moved by each of them.
        features: of the prompts, as heads and mixer see them, shape (n, D).
        shares: the base's policy on them, shape (n, K) for each part.
        beliefs: what it believes of every choice, alike.
    """
    if not len(features):
        return np.zeros(len(THRESHOLDS), np.float32)
    rows, total = np.arange(len(features)), np.zeros(len(THRESHOLDS))
    gates = sigmoid(mixer.scores(features)[:, None] - np.array(THRESHOLDS, np.float32))
    for head, share, belief in zip(heads, shares, beliefs, strict=True):
        logits = head.logits(features)
        learnt, worth = softmax(logits), (1 - OWN_OPINION) * belief + OWN_OPINION * TEMPERATURE * logits
        kept = worth[rows, share.argmax(axis=1)]
        for number, gate in enumerate(gates.T[:, :, None]):
            total[number] += float((kept - worth[rows, answers(share, learnt, gate)]).mean())
    return np.asarray(POINTS * total, np.float32)


def _features(shares: Floats) -> tuple[Doubles, Doubles]:
    logs = np.log(shares.astype(np.float64) + LOG_FLOOR)
    is_answer = np.zeros_like(logs)
    is_answer[np.arange(len(logs)), logs.argmax(axis=1)] = 1
    return logs, is_answer
