from dataclasses import replace
from random import Random

import pytest

from ol0.statistics.pairing import Pairing, SessionShape
from unit.statistics.stored import dumped, restored

ALPHA = 0.05
HOLDBACK = 0.1


Pair = tuple[float, float]


def play(
    count: int,
    seed: int,
    agreeing: Pair = (0.7, 0.7),
    reward: Pair = (0.5, 0.5),
    votes: Pair = (0.8, 0.8),
    more: Pair = (0.5, 0.5),
) -> Pairing:
    """Sessions of one decision and perhaps more; each pair is of the holdback and of the learnt policy."""
    rng, pairing = Random(seed), Pairing(HOLDBACK, ALPHA)
    for _ in range(count):
        treated, decisions = rng.random() >= HOLDBACK, 1
        while rng.random() < more[treated]:
            decisions += 1
        voted = [rng.random() < votes[treated] for _ in range(decisions)]
        alike = [rng.random() < agreeing[treated] for _ in range(decisions)]
        said = [rng.random() < reward[treated] for one, other in zip(voted, alike, strict=True) if one and other]
        shape = SessionShape(decisions, sum(voted), sum(alike), sum(said) / len(said) if said else None)
        pairing.add(shape, treated=treated)
    return pairing


def test_where_nothing_depends_on_the_arm_nothing_is_found() -> None:
    found = [play(600, seed).found for seed in range(40)]
    assert sum(one is not None for one in found) <= 4


@pytest.mark.parametrize(
    ("apart", "words"),
    [
        ({"agreeing": (0.5, 0.7)}, "share of decisions on which both arms do the same"),
        ({"reward": (0.5, 0.65)}, "mean reward where both arms do the same"),
        ({"reward": (0.65, 0.5)}, "mean reward where both arms do the same"),
        ({"votes": (0.9, 0.75)}, "votes per decision"),
        ({"more": (0.6, 0.5)}, "decisions of a session"),
    ],
)
def test_what_depends_on_the_arm_is_found_and_told(apart: dict[str, Pair], words: str) -> None:
    found = play(5_000, 1, **apart).found
    assert found is not None
    assert words in found
    assert "with the holdback" in found


def test_what_was_found_stays_found_and_goes_on_to_the_bit() -> None:
    first = play(3_010, 1, more=(0.8, 0.5))
    second = replace(restored(first), alpha=ALPHA)
    for pairing in (first, second):
        for _ in range(30):
            pairing.add(SessionShape(2, 1, 1, 0.5), treated=True)
    assert dumped(second) == dumped(first)
    assert second.found == first.found is not None
