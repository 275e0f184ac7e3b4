import doctest
import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ol0.statistics import clusters, expected_reward
from ol0.statistics.expected_reward import MOST_CELLS, Cell, ExpectedReward
from ol0.statistics.lift import LiftConfig, LiftFigures, LiftSession, RelativeLift
from ol0.statistics.paired_lift import Choice, PairedLift, PairedReward, largest_gain, lift_grid
from unit.statistics.stored import dumped, restored

HOLDBACK = 0.1
EPSILON = 0.1
CHOICES = 4
BASE, LEARNT = 0, 1
chances = st.floats(0, 1)


def on(action: int, reward: float, group: str = "") -> PairedReward:
    """A decision on a prompt for which the base takes 0 and the learnt policy 1, both exploring."""

    def choice(one: int) -> Choice:
        control, treated = ((1 - EPSILON) * (one == it) + EPSILON / CHOICES for it in (BASE, LEARNT))
        return Choice(Cell("base" if one == BASE else "learnt", group, str(one)), control, treated)

    taken = choice(action)
    place = action if action in (BASE, LEARNT) else None
    return PairedReward(reward, taken.control, taken.treated, place, (choice(BASE), choice(LEARNT)))


def draws(count: int, differing: float, worth: tuple[float, float], seed: int) -> list[tuple[bool, list[PairedReward]]]:
    """Sessions of three decisions; where the arms agree every answer is good with probability .5."""
    rng = np.random.default_rng(seed)
    sessions = []
    for _ in range(count):
        treated, said = bool(rng.random() >= HOLDBACK), []
        for _ in range(3):
            if rng.random() >= differing:
                said.append(PairedReward(float(rng.random() < 0.5)))
                continue
            action = int(rng.integers(CHOICES)) if rng.random() < EPSILON else LEARNT if treated else BASE
            success = worth[action] if action in (BASE, LEARNT) else 0.3
            said.append(on(action, float(rng.random() < success)))
        sessions.append((treated, said))
    return sessions


def half_width(figures: LiftFigures) -> float:
    assert figures.low is not None
    assert figures.high is not None
    return (figures.high - figures.low) / 2


def play(sessions: list[tuple[bool, list[PairedReward]]], users: int = 10**9) -> PairedLift:
    lift = PairedLift(HOLDBACK)
    for number, (treated, said) in enumerate(sessions):
        lift.add(said, treated=treated, bucket=number % users % clusters.BUCKETS)
    return lift


@pytest.mark.parametrize("module", [clusters, expected_reward])
def test_the_docstring_examples_hold(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]


@pytest.mark.parametrize("before", [[], [on(BASE, 1.0)] * 5 + [on(LEARNT, 0.0)] * 9])
def test_a_decision_says_the_difference_on_average_whatever_was_expected(before: list[PairedReward]) -> None:
    worth = [0.3, 0.7, 0.1, 0.9]
    difference = control = 0.0
    for treated, action, good in product((True, False), range(CHOICES), (1.0, 0.0)):
        lift = PairedLift(HOLDBACK)
        for one in before:
            lift.take([one])
        arm = 1 - HOLDBACK if treated else HOLDBACK
        chance = (1 - EPSILON) * (action == (LEARNT if treated else BASE)) + EPSILON / CHOICES
        weight = arm * chance * (worth[action] if good else 1 - worth[action])
        d, c = lift.take([on(action, good)])
        difference, control = difference + weight * d, control + weight * c
    explored = EPSILON * sum(worth) / CHOICES
    assert difference == pytest.approx((1 - EPSILON) * (worth[LEARNT] - worth[BASE]))
    assert control == pytest.approx((1 - EPSILON) * worth[BASE] + explored)


def test_where_both_arms_do_the_same_there_is_no_noise_about_the_difference() -> None:
    lift = play(draws(3_000, differing=0.0, worth=(0.5, 0.5), seed=1))
    assert lift.points == 0
    figures = lift.figures(0.05)
    assert figures.estimate == 0
    assert half_width(figures) <= 0.08, "what is left is what both arms share"


def test_a_reward_is_not_expected_by_itself_nor_by_its_session() -> None:
    one, other, both = on(BASE, 1.0), on(LEARNT, 0.0), PairedLift(HOLDBACK)
    alone = [PairedLift(HOLDBACK).take([it]) for it in (one, other)]
    said = both.take([one, other])
    assert said == pytest.approx([sum(it) / 2 for it in zip(*alone, strict=True)])
    assert both.take([one, other]) != pytest.approx(said), "afterwards it is"


@settings(max_examples=300)
@given(
    control=chances,
    treated=chances,
    rewards=st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=6),
    holdback=st.floats(0.01, 0.9),
)
def test_no_session_can_take_more_than_the_largest_bet_from_any_wealth(
    control: float, treated: float, rewards: list[float], holdback: float
) -> None:
    if (1 - holdback) * treated + holdback * control < 1e-9:
        return
    lifts, lift = lift_grid(), PairedLift(holdback)
    reach = largest_gain(lifts, holdback)
    rest = Choice(Cell("rest"), 1 - control, 1 - treated)
    for reward in rewards:
        choices = (Choice(Cell("one"), control, treated), rest)
        d, c = lift.take([PairedReward(reward, control, treated, 0, choices)])
        assert (np.abs(d - lifts * c) <= reach * (1 + 1e-9)).all()


@pytest.mark.parametrize(("worth", "truth"), [((0.4, 0.4), 0.0), ((0.3, 0.6), None)])
def test_the_interval_holds_the_lift_at_every_look(worth: tuple[float, float], truth: float | None) -> None:
    trials, alpha, missed = 60, 0.1, 0
    differing = 0.4
    if truth is None:
        explored = differing * EPSILON * (sum(worth) + 0.6) / CHOICES + (1 - differing) * 0.5
        before, after = (explored + differing * (1 - EPSILON) * it for it in worth)
        truth = after / before - 1
    for seed in range(trials):
        lift, beside = PairedLift(HOLDBACK), False
        for number, (treated, said) in enumerate(draws(400, differing, worth, seed)):
            lift.add(said, treated=treated, bucket=number % clusters.BUCKETS)
            if number % 20 == 0:
                low, high = lift.figures(alpha).low, lift.figures(alpha).high
                beside |= (low is not None and low > truth) or (high is not None and high < truth)
        missed += beside
    assert missed / trials <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / trials)


def test_it_is_half_as_wide_as_the_comparison_of_sessions() -> None:
    sessions = draws(4_000, differing=0.25, worth=(0.3, 0.7), seed=3)
    plain = RelativeLift(LiftConfig(smallest_share=HOLDBACK / 2))
    for treated, said in sessions:
        plain.add(LiftSession(treated, sum(one.reward for one in said) / len(said), 1 - HOLDBACK))
    assert half_width(play(sessions).figures(0.05)) < half_width(plain.figures(0.05)) / 2


def test_what_is_expected_of_groups_takes_away_noise() -> None:
    rng, widths = np.random.default_rng(5), []
    coins = rng.random((3_000, 3))
    for named in (False, True):
        lift = PairedLift(HOLDBACK)
        for number, (arm, drawn, luck) in enumerate(coins):
            treated, group = bool(arm >= HOLDBACK), "easy" if drawn < 0.5 else "hard"
            reward = float(luck < (0.95 if group == "easy" else 0.05))
            said = [on(LEARNT if treated else BASE, reward, group if named else "")]
            lift.add(said, treated=treated, bucket=number % clusters.BUCKETS)
        widths.append(half_width(lift.figures(0.05)))
    assert widths[1] < 0.7 * widths[0]


def test_users_who_bring_something_of_their_own_make_it_wider() -> None:
    """Thirty users with one coin each and one level each: as if each came alone, evidence would be overstated."""
    rng = np.random.default_rng(2)
    arms, tastes = rng.random(30) >= 0.3, rng.random(30)
    sessions = []
    for number in range(3_000):
        user = number % 30
        action = LEARNT if arms[user] else BASE
        sessions.append((bool(arms[user]), [on(action, float(rng.random() < tastes[user]))]))
    strangers, known = play(sessions), play(sessions, users=30)
    assert strangers.design_effect < 1.3
    assert known.design_effect > 10
    assert strangers.figures(0.5).low is not None
    assert known.figures(0.5).low is None, "thirty coins show nothing"


def test_a_restored_lift_goes_on_to_the_bit() -> None:
    sessions = draws(205, 0.5, (0.3, 0.7), seed=4)
    through, first = play(sessions), play(sessions[:101])
    second = restored(first)
    for number, (treated, said) in enumerate(sessions[101:], start=101):
        second.add(said, treated=treated, bucket=number % clusters.BUCKETS)
    assert dumped(second) == dumped(through)
    assert second.figures(0.2) == through.figures(0.2)


def test_what_is_impossible_is_refused() -> None:
    with pytest.raises(ValueError, match="holdback"):
        PairedLift(0.0)
    for wrong in (PairedReward(1.5), PairedReward(math.nan), PairedReward(1.0, control=0.0, treated=0.0)):
        with pytest.raises(ValueError, match="some arm takes"):
            PairedLift(HOLDBACK).take([wrong])


def test_labels_do_not_fill_the_memory() -> None:
    expected = ExpectedReward()
    for number in range(MOST_CELLS):
        expected.add(Cell("base", f"user {number}", "1"), 1.0)
    assert len(expected.snapshot()[0].values) <= 3
    assert len(list(ExpectedReward.from_snapshot(expected.snapshot())._sums)) == MOST_CELLS
    assert expected.of(Cell("base", "another", "1")) > 0.9, "its parent still speaks"


def test_the_grid_is_fine_where_lifts_are_small_and_holds_nothing_exactly() -> None:
    lifts = lift_grid()
    assert 0.0 in lifts
    assert (np.diff(lifts) > 0).all()
    assert np.diff(lifts)[np.abs(lifts[:-1]) < 0.09].max() <= 0.0026
