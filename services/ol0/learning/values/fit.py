"""One part of the action: examples and anchors in, the value of every choice out."""

from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np

from ol0.controller.heads import Doubles, Floats, Head
from ol0.learning.values.repeats import UNKNOWN, alikeness, repeat_weights
from ol0.learning.values.ridge import Moments, Numbers, Posterior
from ol0.learning.values.scales import Scales

FIRST_ROUNDS = 7  # of estimating values and scales in turn, in the first fit
ROUNDS = 1  # and in every later one: its scales are those that the last one ended with
TEMPERATURE: Final = 0.12
"""Of the learnt heads, softmax(value / temperature), in reward."""


@dataclass(frozen=True, slots=True)
class Votes:
    """Votes on one part, as a fit sees them.

    Attributes:
        x: features, the last one always 1, shape (n, m).
        actions: shape (n,).
        rewards: shape (n,).
        weights: what each counts, shape (n,).
    """

    x: Doubles
    actions: Numbers
    rewards: Doubles
    weights: Doubles

    def moments(self, choices: int, weights: Doubles) -> Moments:
        """Their sums."""
        return Moments.of(self.x, self.actions, self.rewards, weights, choices)


@dataclass(frozen=True, slots=True)
class Fit:
    """Values of one part, and what the next fit begins with.

        value_a(x) = x.weights_a

    Attributes:
        weights: shape (K, m).
        scales: as estimated.
        alike: how alike several votes on one prompt and choice are, within [0, 1].
    """

    weights: Doubles
    scales: Scales
    alike: float

    @classmethod
    def nothing(cls, rewards: Doubles, choices: int, features: int) -> Self:
        """Before the first."""
        scales = Scales.start(float(rewards.var()), features - 1)
        return cls(np.zeros((choices, features)), scales, UNKNOWN)

    def after(self, live: Votes, anchors: Votes, cell: Numbers, rounds: int) -> tuple[Self, Posterior]:
        """The fit to all of these, how sure it is, and the scales for the next one.

        ``cell``: equal where prompt and served choice are, (n,).
        """
        choices, scales = len(self.weights), self.scales
        moments = live.moments(choices, live.weights * repeat_weights(cell, self.alike))
        moments = moments + anchors.moments(choices, anchors.weights)
        for _ in range(rounds):
            posterior = Posterior.of(moments, scales)
            scales = scales.after(posterior, moments)
        fitted = replace(self, weights=posterior.weights, scales=scales)
        return replace(fitted, alike=alikeness(cell, live.rewards - fitted.served(live))), posterior

    def served(self, votes: Votes) -> Doubles:
        """What was served is worth, shape (n,)."""
        return np.asarray((votes.x * self.weights[votes.actions]).sum(axis=1))

    def logits(self, x: Doubles) -> Floats:
        """What ``head`` gives, of features that lie in its directions already, (n, m) to (n, K)."""
        return np.asarray(x @ self.weights.T / TEMPERATURE, np.float32)

    def head(self, directions: Doubles) -> Head:
        """Values over the temperature as logits of a head in the features as they come, (D, m - 1) their directions."""
        weight = self.weights[:, :-1] @ directions.T
        bias = self.weights[:, -1] / TEMPERATURE
        return Head(np.asarray(weight / TEMPERATURE, np.float32), np.asarray(bias, np.float32))
