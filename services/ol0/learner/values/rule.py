"""When to leave the base's answer: the smallest tilt towards it that loses nothing on anchors."""

from dataclasses import dataclass

import numpy as np

from ol0.learner.values.ridge import Doubles, Numbers

TILTS = (0.0, *(float(tilt) for tilt in np.geomspace(1e-3, 10, 49)))
"""In reward per unit of log p0; steps of a fifth. Regret need not fall steadily: all are tried."""


@dataclass(frozen=True, slots=True)
class Judge:
    """Anchors with what every expert is worth on them, and what a model that has not seen them says.

    Attributes:
        scores: value of every expert without the tilt, shape (n, K).
        towards: f log p0, what the tilt multiplies, shape (n, K).
        truth: labels, or doubly robust estimates, shape (n, K).
        base: the base's answers, shape (n,).
    """

    scores: Doubles
    towards: Doubles
    truth: Doubles
    base: Numbers

    def regret(self, tilt: float) -> float:
        """Mean loss of reward against the base's answers."""
        rows = np.arange(len(self.base))
        taken = self.base if np.isinf(tilt) else (self.scores + tilt * self.towards).argmax(axis=1)
        return float((self.truth[rows, self.base] - self.truth[rows, taken]).mean())

    def budget(self, points: float, share: float) -> float:
        """The smaller of a loss in points and a share of what the base earns, in reward."""
        earned = float(self.truth[np.arange(len(self.base)), self.base].mean())
        return min(points / 100, share * max(earned, 0.0))

    def smallest_tilt(self, budget: float) -> float:
        """The smallest that loses nothing here, else as little as any; ``inf`` where that is more than the budget.

        Nothing, because both the base and the values were fitted to these prompts: other old ones lose more.
        """
        regrets = [self.regret(tilt) for tilt in TILTS]
        aim = max(min(regrets), 0.0)
        return TILTS[next(i for i, it in enumerate(regrets) if it <= aim)] if aim <= budget else float("inf")
