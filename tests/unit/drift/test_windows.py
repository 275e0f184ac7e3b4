import doctest
from random import Random

import pytest

from ol0.drift import violations
from ol0.drift.evidence import ArmSession, LiftEvidence
from ol0.drift.violations import Level, Violations
from ol0.drift.windows import BEGIN_EVERY, KEPT, Windows
from unit.statistics.stored import dumped, restored

SMALLEST = 0.2


def session(random: Random, treated_share: float, treated: float, control: float) -> ArmSession:
    """One session of two differing decisions that succeed with these probabilities."""
    arm = random.random() < treated_share
    success = treated if arm else control
    return ArmSession(arm, treated_share, tuple(float(random.random() < success) for _ in range(2)), 2)


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(violations).failed == 0


def test_the_estimate_stays_right_while_the_odds_change() -> None:
    random, evidence = Random(1), LiftEvidence.of(SMALLEST)
    for number in range(2_000):
        # What is won grows while the odds fall: pooling the raw means would be far off.
        share, gain = (0.8, 0.1) if number < 1_000 else (0.3, 0.5)
        evidence.add(session(random, share, 0.4 + gain, 0.4))
    assert evidence.estimate == pytest.approx(0.3, abs=0.06)
    low, high = evidence.lower(0.05), evidence.upper(0.05)
    assert low is not None
    assert high is not None
    assert low < 0.3 < high


def test_odds_beyond_those_that_were_agreed_are_refused() -> None:
    with pytest.raises(ValueError, match="within"):
        LiftEvidence.of(SMALLEST).add(ArmSession(treated=True, treated_share=0.1, rewards=(1.0,), voted=1))


def test_evidence_does_not_move_to_other_odds() -> None:
    with pytest.raises(ValueError, match="expected"):
        LiftEvidence.of(0.2).checked(0.3)


def test_a_recent_stretch_sees_what_the_whole_hides() -> None:
    random, windows = Random(2), Windows(SMALLEST, alpha=0.05)
    for number in range(1_600):
        windows.add(session(random, 0.5, 0.9 if number < 1_200 else 0.1, 0.5))
    worst = windows.worst()
    assert worst is not None
    evidence, high = worst
    assert evidence.sessions < 1_600
    assert high < 0
    whole = windows.low()
    assert whole is not None
    assert whole > 0


def test_a_fixed_number_of_stretches_is_kept_with_the_one_since_the_release() -> None:
    random, windows = Random(3), Windows(SMALLEST, alpha=0.05)
    due = [windows.add(session(random, 0.5, 0.5, 0.5)) for _ in range(6 * BEGIN_EVERY)]
    sizes = [stretch.evidence.sessions for stretch in windows.stretches]
    assert sizes == [3_000, 2_000, 1_500, 1_000, 500]
    assert len(sizes) == KEPT + 1
    assert sum(due) == 30


def test_restored_windows_go_on_to_the_bit() -> None:
    random, first = Random(4), Windows(SMALLEST, alpha=0.05)
    for _ in range(700):
        first.add(session(random, 0.5, 0.6, 0.5))
    second = Windows(SMALLEST, alpha=0.05, stretches=[restored(one) for one in first.stretches])
    for one in [session(random, 0.5, 0.6, 0.5) for _ in range(400)]:
        assert first.add(one) == second.add(one)
    assert [dumped(one) for one in first.stretches] == [dumped(one) for one in second.stretches]


@pytest.mark.parametrize(("level", "tolerated"), [(Level.WARNING, 4), (Level.CRITICAL, 2), (Level.EMERGENCY, 0)])
def test_violations_are_too_much_at_their_number(level: Level, tolerated: int) -> None:
    checks = Violations()
    assert [checks.note(level) for _ in range(tolerated)] == [False] * tolerated
    assert checks.note(level)


def test_old_violations_are_forgotten() -> None:
    checks = Violations()
    for _ in range(4):
        checks.note(Level.WARNING)
    for _ in range(20):
        assert not checks.note(Level.NONE)
    assert not checks.note(Level.WARNING)
