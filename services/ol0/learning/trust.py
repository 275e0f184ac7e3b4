"""Whose votes count: who contradicts everybody else, vote after vote, counts for less.

Somebody who always says the opposite makes votes whose log odds, were they inverted, add up:

    d = (2 r - 1) log((1 - R) / R)      of one vote r, R the reward model's prediction of it, cut at +-2
    P(inverted | votes) = sigmoid(n mean d - log 9),    n the votes beyond the first three, at most 30

The mean is over what the learner draws, again and again, so that it follows the model: a prompt of a new kind
surprises the model at first and then no more, an inverted vote among honest ones surprises it for ever. For the same
reason nobody is silenced: at ``trust_floor`` of their weight the votes of a whole new kind are still learnt, and then
believed.

The idea is that of Dawid and Skene, "Maximum likelihood estimation of observer error-rates using the EM algorithm",
1979, with two kinds of observers and the reward model in place of the consensus.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ol0.controller.heads import Floats
from ol0.learning.batch import Users

BUCKETS = 4_096  # users share one when their hashes end alike: bounded state, and strangers rarely meet
FREE_VOTES = 3.0  # chance contradicts a few votes of anybody
MOST_VOTES = 30.0  # enough for certainty; more would make a change of heart invisible
MEMORY = 60.0  # draws over which the mean forgets
LARGEST = 2.0  # of one vote's log odds: one event is never proof
PRIOR = np.log(9.0)  # one user in ten may be expected to be up to no good


@dataclass(frozen=True, slots=True)
class Trust:
    """What is known of users. Immutable.

    Attributes:
        doubt: mean log odds of a vote, inverted against honest, float32, shape (buckets,).
        draws: draws that the mean stands on, same shape.
        votes: different votes, same shape.
    """

    doubt: Floats
    draws: Floats
    votes: Floats

    @classmethod
    def nobody(cls) -> Self:
        """Nothing known."""
        zeros = np.zeros(BUCKETS, np.float32)
        return cls(zeros, zeros, zeros)

    def weights(self, users: Users, floor: float) -> Floats:
        """What each vote counts for, shape (n,): 1 - 2 P(inverted), what such a channel still tells; floor at least."""
        buckets = _buckets(users)
        votes = np.clip(self.votes[buckets] - FREE_VOTES, 0, MOST_VOTES)
        inverted = 1 / (1 + np.exp(PRIOR - votes * self.doubt[buckets]))
        innocent = 1 / (1 + np.exp(PRIOR))
        return np.asarray(np.clip((1 - 2 * inverted) / (1 - 2 * innocent), floor, 1), np.float32)

    def seen(self, users: Users) -> Self:
        """After votes of these users, shape (n,), came in."""
        return replace(self, votes=self.votes + _count(_buckets(users)))

    def drawn(self, users: Users, rewards: Floats, predicted: Floats) -> Self:
        """After a draw.

        Args:
            users: shape (n,).
            rewards: r, shape (n,).
            predicted: R of what was served, within (0, 1), mean over the parts, shape (n,).
        """
        odds = np.clip((2 * rewards - 1) * (np.log1p(-predicted) - np.log(predicted)), -LARGEST, LARGEST)
        buckets = _buckets(users)
        count = _count(buckets)
        mean = np.bincount(buckets, odds, BUCKETS) / np.maximum(count, 1)
        draws = np.minimum(self.draws + count, MEMORY)
        step = count / np.maximum(draws, 1)
        doubt = self.doubt + np.minimum(step, 1) * (mean - self.doubt)
        return type(self)(doubt.astype(np.float32), draws.astype(np.float32), self.votes)


def _buckets(users: Users) -> NDArray[np.intp]:
    return (users % np.uint64(BUCKETS)).astype(np.intp)


def _count(buckets: NDArray[np.intp]) -> Floats:
    return np.bincount(buckets, minlength=BUCKETS).astype(np.float32)
