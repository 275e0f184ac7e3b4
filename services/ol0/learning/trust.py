"""Weights of users' votes: a user who regularly contradicts all others counts for less.

Inverted votes of one user add up to a growing log odds ratio:

    d = (2 r - 1) log((1 - R) / R)      of one vote r, R the reward model's prediction of it, cut at +-2
    P(inverted | votes) = sigmoid(n mean d - log 9),    n the votes beyond the first three, at most 30

The mean is over repeated draws of the learner, so that it follows the model: a prompt of a new kind
surprises the model only at first, an inverted vote among honest ones always. For the same
reason no user is silenced: with ``trust_floor`` of their weight the votes on a new kind are still learnt, and then
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

BUCKETS = 4_096  # users share one when their hashes collide: bounded state, few collisions
FREE_VOTES = 3.0  # chance contradicts a few votes of every user
MOST_VOTES = 30.0  # enough for certainty; more would hide a change of behaviour
MEMORY = 60.0  # draws in the moving mean
LARGEST = 2.0  # of one vote's log odds: one event is never proof
PRIOR = np.log(9.0)  # one user in ten is expected to vote inverted


@dataclass(frozen=True, slots=True)
class Trust:
    """What is known about users. Immutable.

    Attributes:
        doubt: mean log odds of a vote, inverted against honest, float32, shape (buckets,).
        draws: number of draws in the mean, same shape.
        votes: number of distinct votes, same shape.
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
        """Weight of each vote, shape (n,): 1 - 2 P(inverted), the information in such a channel; at least floor."""
        buckets = _buckets(users)
        votes = np.clip(self.votes[buckets] - FREE_VOTES, 0, MOST_VOTES)
        inverted = 1 / (1 + np.exp(PRIOR - votes * self.doubt[buckets]))
        innocent = 1 / (1 + np.exp(PRIOR))
        return np.asarray(np.clip((1 - 2 * inverted) / (1 - 2 * innocent), floor, 1), np.float32)

    def seen(self, users: Users) -> Self:
        """Counts new votes of these users, shape (n,)."""
        return replace(self, votes=self.votes + _count(_buckets(users)))

    def drawn(self, users: Users, rewards: Floats, predicted: Floats) -> Self:
        """Updates the mean after a draw.

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
