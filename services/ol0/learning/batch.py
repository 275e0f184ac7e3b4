"""Examples as arrays: what the learner sees of decisions and their rewards."""

from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ol0.controller.controller import Actions
from ol0.controller.heads import Floats

Users = NDArray[np.uint64]
HALF = np.uint64(32)
LOWER = np.uint64(2**32 - 1)


@dataclass(frozen=True, slots=True)
class Batch:
    """n examples, live ones or anchors.

    Attributes:
        features: float32, shape (n, D): what the heads see, made by the base's trunk where it has one.
        actions: the choice of every part that was served, shape (n, parts).
        propensities: probability of each of them when it was served, float32, shape (n, parts), within (0, 1].
        rewards: float32, shape (n,), within [0, 1].
        weights: what each example counts in the objective, float32, shape (n,).
        users: ``unit_of`` who gave the reward and in which session, shape (n,).
    """

    features: Floats
    actions: Actions
    propensities: Floats
    rewards: Floats
    weights: Floats
    users: Users

    def __len__(self) -> int:
        return len(self.rewards)

    def take(self, rows: NDArray[np.intp]) -> Self:
        """The examples of these rows, in their order."""
        return type(self)(
            self.features[rows],
            self.actions[rows],
            self.propensities[rows],
            self.rewards[rows],
            self.weights[rows],
            self.users[rows],
        )

    def shown(self, features: Floats) -> Self:
        """The same examples as other heads see them, shape (n, D)."""
        return replace(self, features=features)

    def weighted(self, weights: Floats) -> Self:
        """The same examples with other weights, shape (n,)."""
        return replace(self, weights=weights)


def unit_of(user: str | None, session_id: str) -> int:
    """Who is capped, in 64 bits: the user in the lower half (the session where no user is known), the session above.

    Equal for equal names in every process. That two of a batch's hundred names meet in 32 bits happens once in half a
    million batches, and then they share one cap.
    """
    session = _hash(f"s{session_id}")
    return max(session, 1) << int(HALF) | (session if user is None else _hash(f"u{user}"))


def _hash(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=4).digest(), "big")


def join(first: Batch, second: Batch) -> Batch:
    """One batch of both, first ones first."""
    return Batch(
        np.concatenate([first.features, second.features]),
        np.concatenate([first.actions, second.actions]),
        np.concatenate([first.propensities, second.propensities]),
        np.concatenate([first.rewards, second.rewards]),
        np.concatenate([first.weights, second.weights]),
        np.concatenate([first.users, second.users]),
    )


def cap_users(weights: Floats, users: Users, cap: float) -> Floats:
    """Scales the weights of each user, and of each session, down to a share of the batch.

        w_i  <-  w_i min(1, limit / sum_{j of the same user} w_j, limit / sum_{j of the same session} w_j)
        limit = max(cap, 1 / min(users, sessions)) sum_j w_j

    Many sessions of one user share the user's cap, and many names in one session that session's. Where there are too
    few of them for the cap, nobody counts for more than an even share: a host with three users must still learn from
    them. The smaller count decides what is even, so that whoever invents names, or opens sessions under one name, does
    not make the others' share smaller. Sessions without a user are each their own: only their rate can be limited.

    Args:
        weights: shape (n,).
        users: shape (n,), from ``unit_of``; a number below 2^32 is a user whose sessions are not told apart.
        cap: largest share of one user or session, within [0, 1].
    """
    people = users & LOWER
    sessions = np.where(users >> HALF, users >> HALF, people)
    (by_user, users_there), (by_session, sessions_there) = (_sums(names, weights) for names in (people, sessions))
    limit = max(cap, 1 / max(min(users_there, sessions_there), 1)) * float(weights.sum())
    shrink = np.minimum(1, limit / np.maximum(np.maximum(by_user, by_session), np.finfo(np.float32).tiny))
    return np.asarray(weights * shrink, weights.dtype)


def _sums(names: Users, weights: Floats) -> tuple[NDArray[np.float64], int]:
    """The weight of all examples with the same name, shape (n,), and how many names there are."""
    _, number = np.unique(names, return_inverse=True)
    sums = np.bincount(number, weights)
    return np.asarray(sums[number], np.float64), len(sums)
