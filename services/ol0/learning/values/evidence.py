"""Is there anything to learn? A bet on votes that nothing was fitted to yet, against what the base believes.

On a prompt that comes for the first time, and that would be answered otherwise than the base does, the model says v of
the served choice, and the base, calibrated on the same live votes, q. The stake is what Bernoulli's likelihood ratio
would be:

    capital <- capital (1 + (v - q) (r - q) / (q (1 - q)))

If the base knew as much as the model, the capital would not grow in expectation, whatever was looked at and whenever:
it exceeds c once with probability 1 / c (Ville's inequality). So votes that say nothing, and prompts on which labels
alone moved the answers, earn nothing, and no prompt has to look new.

A second bet is against a base that is told how good each prompt is for all choices alike, as the model says: whoever
predicts that alone knows nothing of which answer is better. Both have to be won.

References:
    Shafer, "Testing by betting", JRSS A 184, 2021.
"""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from ol0.controller.heads import Doubles

MOST = 20.0  # nats that are kept: when votes begin to say nothing, it has to show soon
SURE = 0.98  # neither side is surer than that of any vote


@dataclass(frozen=True, slots=True)
class Bet:
    """The capital so far. Immutable.

    Attributes:
        nats: its logarithm, at most ``MOST``.
    """

    nats: float = 0.0

    def after(self, model: Doubles, base: Doubles, rewards: Doubles) -> Self:
        """With these votes: v, q and r, each of shape (n,)."""
        nats = self.nats
        v, q = (np.clip(it, 1 - SURE, SURE) for it in (model, base))
        for gain in np.log1p((v - q) * (rewards - q) / (q * (1 - q))):
            nats = min(nats + float(gain), MOST)
        return type(self)(nats)

    @property
    def errors(self) -> float:
        """The root of the nats: a normal test, looked at once, would be as sure with 1.4 times as many."""
        return math.sqrt(max(self.nats, 0.0))
