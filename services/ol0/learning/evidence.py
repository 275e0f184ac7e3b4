"""Three tests of whether there is anything to learn, on examples before they are trained on.

*Novelty.* Do live prompts look unlike the base's own? The rank of a fresh prompt's mixer score among those of the
held-out anchors is uniform within [0, 1] if not (Mann and Whitney, 1947). Of equal prompts the first one counts.
*Skill.* Do the votes say anything? Between the reward model's prediction of a fresh vote and the vote itself there is
no correlation if not, and exploration always gives both good and bad choices to tell apart.
*Variety.* Are there different prompts at all? When an embedder breaks, every prompt is the same vector: votes
still distinguish good choices from bad, but no feature says for which prompts, and old novelty would persist.

If one of them fails, the mixer stays closed and nothing is offered: every change would be chance, and on kinds
of prompts without traffic it would even go unnoticed.
"""

import math
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from ol0.controller.heads import Floats

WINDOW = 2_000.0  # fresh examples in the sums, the last ones with the most weight
SHORT_WINDOW = 128.0  # the same for their variety: an embedder breaks from one prompt to the next
MOST_ALIKE = 0.75  # of neighbouring prompts, the share that may be equal: then one prompt is seven eighths of all
_UNIFORM_SD = 1 / math.sqrt(12)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Decayed sums over fresh examples. Immutable.

    Attributes:
        count: examples, at most about ``WINDOW``.
        ranked: those of them with a new prompt.
        ranks: sum of the ranks of the mixer scores of these.
        predicted: sum of R, the predicted rewards.
        rewards: sum of r.
        predicted_squared: sum of R^2.
        rewards_squared: sum of r^2.
        products: sum of R r.
        alike: share of recent neighbouring examples with equal features.
    """

    count: float = 0.0
    ranked: float = 0.0
    ranks: float = 0.0
    predicted: float = 0.0
    rewards: float = 0.0
    predicted_squared: float = 0.0
    rewards_squared: float = 0.0
    products: float = 0.0
    alike: float = 0.0

    def after(self, ranks: Floats, predicted: Floats, rewards: Floats) -> Self:
        """Adds fresh examples, all of shape (n,), and the ranks of those with new prompts."""
        keep = min(1.0, WINDOW / max(self.count, 1.0))
        sums = {
            "count": float(len(rewards)),
            "ranked": float(len(ranks)),
            "ranks": float(ranks.sum()),
            "predicted": float(predicted.sum()),
            "rewards": float(rewards.sum()),
            "predicted_squared": float(predicted @ predicted),
            "rewards_squared": float(rewards @ rewards),
            "products": float(predicted @ rewards),
        }
        return replace(self, **{name: keep * getattr(self, name) + new for name, new in sums.items()})

    def seen(self, features: Floats) -> Self:
        """Adds the features of fresh examples, shape (n, D), in the order of arrival."""
        equal = (features[1:] == features[:-1]).all(axis=1)
        if not len(equal):
            return self
        step = 1 - math.exp(-len(equal) / SHORT_WINDOW)
        return replace(self, alike=self.alike + step * (float(equal.mean()) - self.alike))

    @property
    def varied(self) -> bool:
        """Whether prompts differ enough for features to be informative."""
        return self.alike <= MOST_ALIKE

    def novelty(self, anchors: int) -> float:
        """Distance of the mean rank from 1/2, in standard errors; ``anchors``: the number that gave the ranks."""
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
    """Share of ``among``, shape (m,), below each score, shape (n,); zeros if ``among`` is empty.

    Ties count half: an untrained mixer gives 0 for every prompt, and none of them is new.
    """
    ordered = np.sort(among)
    below, up_to = (np.searchsorted(ordered, scores, side=side) for side in ("left", "right"))
    return np.asarray((below + up_to) / (2 * max(len(among), 1)), np.float32)
