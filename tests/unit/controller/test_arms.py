from collections import Counter

from ol0.controller.arms import ArmPicker, pseudonym
from ol0.records import Arm, Digest

UNITS = [f"user-{number}" for number in range(20_000)]
CANDIDATE, OTHER = Digest("a" * 64), Digest("b" * 64)
PICKER = ArmPicker(key=b"secret", holdback=0.1)


def test_shares_are_kept() -> None:
    arms = Counter(PICKER.pick(unit, CANDIDATE, 0.3) for unit in UNITS)
    assert abs(arms[Arm.HOLDBACK] / len(UNITS) - 0.1) < 0.01
    assert abs(arms[Arm.STAGED] / len(UNITS) - 0.3) < 0.015


def test_holdback_is_the_same_people_with_every_candidate_and_with_none() -> None:
    def held_back(staged: Digest | None) -> list[str]:
        return [unit for unit in UNITS if PICKER.pick(unit, staged, 0.5) is Arm.HOLDBACK]

    assert held_back(CANDIDATE) == held_back(OTHER) == held_back(None)


def test_who_tries_a_candidate_depends_on_the_candidate() -> None:
    first, second = ([PICKER.pick(unit, digest, 0.5) for unit in UNITS] for digest in (CANDIDATE, OTHER))
    same = sum(a == b for a, b in zip(first, second, strict=True)) / len(UNITS)
    assert 0.5 < same < 0.65  # independent: .1 + .5^2 + .4^2 = .51 of all, and the holdback agrees


def test_another_key_gives_other_arms_and_other_pseudonyms() -> None:
    stranger = ArmPicker(key=b"other", holdback=0.1)
    assert any(PICKER.pick(unit, None, 0) != stranger.pick(unit, None, 0) for unit in UNITS)
    assert pseudonym("ann", b"one") != pseudonym("ann", b"two")
    assert "ann" not in pseudonym("ann", b"one")
