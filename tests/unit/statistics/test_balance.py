from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from ol0.statistics import balance as module
from ol0.statistics.balance import Balance, HeardSession
from unit.statistics.stored import dumped, restored

SHARE = 0.4


def sessions(
    count: int, *, votes: tuple[float, float] = (0.7, 0.7), lengths: tuple[float, float] = (3.0, 3.0), seed: int = 0
) -> Iterator[HeardSession]:
    """Sessions of both arms; votes per decision and mean lengths of control and treated."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        treated = bool(rng.random() < SHARE)
        length = int(rng.geometric(1 / lengths[treated]))
        yield HeardSession(treated, SHARE, length, int(rng.binomial(length, votes[treated])))


def after(stream: Iterator[HeardSession]) -> Balance:
    made = Balance.of(0.005, 0.2, SHARE)
    for number, session in enumerate(stream):
        made.see(f"s{number}", treated=session.treated, treated_share=SHARE)
        made.add(session)
    return made


@pytest.mark.parametrize("seed", range(5))
def test_arms_that_are_heard_of_alike_are_left_alone(seed: int) -> None:
    made = after(sessions(1_500, seed=seed))
    assert made.found is None
    assert abs(made.lack) < 4


@pytest.mark.parametrize(
    ("votes", "lengths"), [((0.7, 0.62), (3.0, 3.0)), ((0.7, 0.7), (3.0, 2.7))], ids=["votes", "lengths"]
)
def test_differences_within_the_tolerance_are_left_alone(
    votes: tuple[float, float], lengths: tuple[float, float]
) -> None:
    assert after(sessions(1_900, votes=votes, lengths=lengths)).found is None


@pytest.mark.parametrize(
    ("votes", "lengths", "words"),
    [
        ((0.7, 0.4), (3.0, 3.0), "votes per decision 0."),
        ((0.4, 0.7), (3.0, 3.0), "votes per decision 0."),
        ((0.7, 0.7), (4.0, 2.0), "decisions per session "),
    ],
)
def test_rates_that_differ_by_more_are_found(
    votes: tuple[float, float], lengths: tuple[float, float], words: str
) -> None:
    found = after(sessions(1_500, votes=votes, lengths=lengths)).found
    assert found is not None
    assert found.startswith(words)


def test_a_change_that_comes_late_is_found_because_rates_begin_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RENEWED_EVERY", 500)
    made = after(sessions(2_000))
    assert made.found is None
    for session in sessions(1_200, votes=(0.7, 0.3), seed=1):
        made.add(session)
    assert made.found is not None


def test_each_user_counts_once_and_by_the_arm_that_was_met_first() -> None:
    made = Balance.of(0.005, 0.2, SHARE)
    for _ in range(50):
        made.see("ann", treated=True, treated_share=SHARE)
        made.see("bob", treated=None, treated_share=SHARE)
        made.see("bob", treated=True, treated_share=SHARE)
    assert (made.ratio.units, made.ratio.treated) == (1, 1)
    assert made.found is None


def test_an_arm_that_is_lost_is_found_in_words_that_say_how_many_were_due() -> None:
    made = Balance.of(0.005, 0.2, SHARE)
    for n in range(60):
        made.see(f"s{n}", treated=False, treated_share=SHARE)
    assert made.found is not None
    assert made.found.startswith("0 of ")
    assert "users or sessions are in the arm" in made.found


def test_when_too_many_units_are_known_a_new_period_begins_at_a_smaller_level(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ol0.statistics.seen.BITS", 256)
    made = Balance.of(0.005, 0.2, SHARE)
    rng = np.random.default_rng(0)
    for n in range(2_000):
        made.see(f"s{n}", treated=bool(rng.random() < SHARE), treated_share=SHARE)
    assert made.found is None
    assert made.period > 5
    assert made.ratio.units < 200


def test_the_lack_says_by_how_much_the_treated_arm_falls_short() -> None:
    made = after(sessions(400, lengths=(3.0, 2.0)))
    assert made.lack > 3
    assert after(sessions(400, lengths=(2.0, 3.0))).lack < 2


def test_a_restored_snapshot_goes_on_to_the_bit() -> None:
    stream = list(sessions(300))
    whole, first = after(iter(stream)), after(iter(stream[:130]))
    second = replace(restored(first), alpha=first.alpha)
    for number, session in enumerate(stream[130:], start=130):
        second.see(f"s{number}", treated=session.treated, treated_share=SHARE)
        second.add(session)
    assert dumped(second) == dumped(whole)
    assert len(dumped(whole)) < 4_500


def test_who_restores_it_has_to_say_at_which_level() -> None:
    with pytest.raises(ValueError, match="alpha must lie within"):
        restored(after(sessions(10))).see("new", treated=True, treated_share=SHARE)
