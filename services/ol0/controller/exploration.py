"""Epsilon-greedy exploration, part by part, with exact propensities."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from ol0.records import Action


@dataclass(frozen=True, slots=True)
class Draw:
    """An action and, for every part, the probability with which it was drawn."""

    action: Action
    propensity: tuple[float, ...]


def explore(greedy: Sequence[int], choices: Sequence[int], epsilon: float, rng: Random) -> Draw:
    """With probability epsilon a part is drawn uniformly, else it is the greedy one.

    So the propensity of a part is (1 - epsilon) 1[a = greedy] + epsilon / K, exactly.
    """
    action = tuple(
        rng.randrange(count) if rng.random() < epsilon else int(best)
        for best, count in zip(greedy, choices, strict=True)
    )
    return Draw(action, propensity(action, greedy, choices, epsilon))


def propensity(
    action: Sequence[int], greedy: Sequence[int], choices: Sequence[int], epsilon: float
) -> tuple[float, ...]:
    """The probability of each part of an action under ``explore``."""
    return tuple(
        (1 - epsilon) * (taken == best) + epsilon / count
        for taken, best, count in zip(action, greedy, choices, strict=True)
    )
