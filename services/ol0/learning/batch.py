"""Examples as arrays: decisions and their rewards, as the learner reads them."""

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
        features: input of the heads, float32, shape (n, D); output of the base's trunk if it has one.
        actions: the choice of every part that was served, shape (n, parts).
        propensities: probability of each of them when it was served, float32, shape (n, parts), within (0, 1].
        rewards: float32, shape (n,), within [0, 1].
        weights: of each example in the objective, float32, shape (n,).
        users: ``unit_of`` the user and session that gave the reward, shape (n,).
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
        """Returns the examples of these rows, in this order."""
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
        """Returns the same examples with these weights, shape (n,)."""
        return replace(self, weights=weights)


def unit_of(user: str | None, session_id: str) -> int:
    """The unit that is capped, in 64 bits: the user in the lower half (else the session), the session above.

    Equal for equal names in every process. That two of a batch's hundred names meet in 32 bits happens once in half a
    million batches, and then they share one cap.
    """
    session = _hash(f"s{session_id}")
    return max(session, 1) << int(HALF) | (session if user is None else _hash(f"u{user}"))


def _hash(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=4).digest(), "big")


def join(first: Batch, second: Batch) -> Batch:
    """Concatenates two batches."""
    return Batch(
        np.concatenate([first.features, second.features]),
        np.concatenate([first.actions, second.actions]),
        np.concatenate([first.propensities, second.propensities]),
        np.concatenate([first.rewards, second.rewards]),
        np.concatenate([first.weights, second.weights]),
        np.concatenate([first.users, second.users]),
    )


def cap_users(weights: Floats, users: Users, cap: float) -> Floats:
    """Scales down the weights of each user, and of each session, to a share of the batch.

        w_i  <-  w_i min(1, limit / sum_{j of the same user} w_j, limit / sum_{j of the same session} w_j)
        limit = max(cap, 1 / min(users, sessions)) sum_j w_j

    All sessions of a user share the user's cap; all users in a session share the session's. If there are too
    few of them for the cap, each counts for an even share at most: a host with three users must still learn from
    them. The smaller count determines the even share, so that invented names, or many sessions under one name, do
    not make the others' share smaller. Sessions without a user are each their own: only their rate can be limited.

    Args:
        weights: shape (n,).
        users: shape (n,), from ``unit_of``; a number below 2^32 is a user whose sessions count as one.
        cap: largest share of one user or session, within [0, 1].
    """
    people = users & LOWER
    sessions = np.where(users >> HALF, users >> HALF, people)
    (by_user, users_there), (by_session, sessions_there) = (_sums(names, weights) for names in (people, sessions))
    limit = max(cap, 1 / max(min(users_there, sessions_there), 1)) * float(weights.sum())
    shrink = np.minimum(1, limit / np.maximum(np.maximum(by_user, by_session), np.finfo(np.float32).tiny))
    return np.asarray(weights * shrink, weights.dtype)


def _sums(names: Users, weights: Floats) -> tuple[NDArray[np.float64], int]:
    """Returns the total weight of each example's name, shape (n,), and the number of names."""
    _, number = np.unique(names, return_inverse=True)
    sums = np.bincount(number, weights)
    return np.asarray(sums[number], np.float64), len(sums)
