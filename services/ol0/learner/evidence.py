"""Is there anything to learn? Two tests on examples that nothing was trained on yet.

*Novelty.* Do live prompts look unlike the base's own? The rank of a fresh prompt's mixer score among those of the
held-out anchors is uniform within [0, 1] if not (Mann and Whitney, 1947). Of equal prompts the first one counts.
*Skill.* Do the votes say anything? Between the reward model's prediction of a fresh vote and the vote itself there is
no correlation if not, and exploration always gives both good and bad choices to tell apart.

Where either fails, the mixer stays closed and nothing is offered: there every change would be chance, and on kinds of
prompts that nobody sends it would even go unnoticed.
"""

import math
from dataclasses import astuple, dataclass
from typing import Self

import numpy as np

from ol0.controller.heads import Floats

WINDOW = 2_000.0  # fresh examples that count, the last ones most
_UNIFORM_SD = 1 / math.sqrt(12)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Decayed sums over fresh examples. Immutable.

    Attributes:
        count: examples, at most about ``WINDOW``.
        ranked: those among them whose prompts came for the first time.
        ranks: sum of the ranks of the mixer scores of these.
        predicted: sum of R, the predicted rewards.
        rewards: sum of r.
        predicted_squared: sum of R^2.
        rewards_squared: sum of r^2.
        products: sum of R r.
    """

    count: float = 0.0
    ranked: float = 0.0
    ranks: float = 0.0
    predicted: float = 0.0
    rewards: float = 0.0
    predicted_squared: float = 0.0
    rewards_squared: float = 0.0
    products: float = 0.0

    def after(self, ranks: Floats, predicted: Floats, rewards: Floats) -> Self:
        """With these fresh examples, all of shape (n,), and the ranks of those that came for the first time."""
        keep = min(1.0, WINDOW / max(self.count, 1.0))
        sums = (
            float(len(rewards)),
            float(len(ranks)),
            float(ranks.sum()),
            float(predicted.sum()),
            float(rewards.sum()),
            float(predicted @ predicted),
            float(rewards @ rewards),
            float(predicted @ rewards),
        )
        return type(self)(*(keep * old + new for old, new in zip(astuple(self), sums, strict=True)))

    def novelty(self, anchors: int) -> float:
        """How many standard errors the mean rank lies above 1/2; ``anchors``: how many gave the ranks."""
        if not self.ranked or not anchors:
            return 0.0
        return (self.ranks / self.ranked - 0.5) / (_UNIFORM_SD * math.sqrt(1 / self.ranked + 1 / anchors))

    def skill(self) -> float:
        """The correlation of R and r in standard errors of a correlation of 0."""
        if not self.count:
            return 0.0
        mean, rate = self.predicted / self.count, self.rewards / self.count
        covariance = self.products / self.count - mean * rate
        variances = (self.predicted_squared / self.count - mean**2) * (self.rewards_squared / self.count - rate**2)
        return covariance * math.sqrt(self.count / max(variances, 1e-12))


def ranks(scores: Floats, among: Floats) -> Floats:
    """Share of ``among``, shape (m,), below each score, shape (n,); zeros where there is nobody to compare with.

    Equals count half: before the mixer has learnt anything all scores are 0, and a prompt is as new as it is old.
    """
    ordered = np.sort(among)
    below, up_to = (np.searchsorted(ordered, scores, side=side) for side in ("left", "right"))
    return np.asarray((below + up_to) / (2 * max(len(among), 1)), np.float32)
