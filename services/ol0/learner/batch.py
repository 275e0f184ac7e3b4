"""Examples as arrays: what the learner sees of decisions and their rewards."""

from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ol0.controller.controller import Actions
from ol0.controller.heads import Floats

Users = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Batch:
    """n examples, live ones or anchors.

    Attributes:
        features: float32, shape (n, D).
        actions: the choice of every part that was served, shape (n, parts).
        propensities: probability of each of them when it was served, float32, shape (n, parts), within (0, 1].
        rewards: float32, shape (n,), within [0, 1].
        weights: what each example counts in the objective, float32, shape (n,).
        users: ``unit_of`` who gave the reward, shape (n,).
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

    def weighted(self, weights: Floats) -> Self:
        """The same examples with other weights, shape (n,)."""
        return replace(self, weights=weights)


def unit_of(user: str | None, session_id: str) -> int:
    """Who is capped: the user where known, else the session. 64 bits, equal for equal names in every process."""
    name = f"s{session_id}" if user is None else f"u{user}"
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big")


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
    """Scales the weights of each user down to a share of the batch.

        w_i  <-  w_i min(1, max(cap, 1 / users) sum_j w_j / sum_{j of the same user} w_j)

    The share is of the weight that the batch came with. Where there are too few users for the cap, nobody counts for
    more than an even share: a host with three users must still learn from them.

    Args:
        weights: shape (n,).
        users: shape (n,).
        cap: largest share of one user, within [0, 1].
    """
    same = (users[:, None] == users).astype(weights.dtype)  # n is a batch: smaller work than sorting
    names = float((1 / same.sum(axis=1)).sum())
    limit = max(cap, 1 / max(names, 1.0)) * float(weights.sum())
    shrink = np.minimum(1, limit / np.maximum(same @ weights, np.finfo(np.float32).tiny))
    return np.asarray(weights * shrink, weights.dtype)
