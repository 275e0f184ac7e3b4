"""What counts as harm to one group."""

from collections.abc import Sequence

import pytest

from ol0.drift.evidence import ArmSession
from ol0.drift.groups import GroupLifts
from ol0.gates.groups import MOST_GROUPS

ALPHA = 0.005


def add(lifts: GroupLifts, loss: float, names: Sequence[str], sessions: int) -> GroupLifts:
    """Sessions without any noise, in which the release earns less than the holdback by ``loss`` in each group."""
    for number in range(sessions):
        treated = number % 2 == 0
        session = ArmSession(treated, 0.5, (0.5 - loss if treated else 0.5,), 1)
        lifts.add(dict.fromkeys(names, session))
    return lifts


@pytest.mark.parametrize(("margin", "bound"), [(0.1, None), (0.04, -0.04)])
def test_a_group_may_lose_as_much_as_the_margin(margin: float, bound: float | None) -> None:
    lifts = add(GroupLifts(0.5, margin, ALPHA), 0.08, ["a"], 2_000)
    harmed = lifts.harmed()
    assert (harmed and harmed[1][0].threshold) == bound
    assert (lifts._lifts["a"].upper(ALPHA / 2) or 0.0) < 0  # it loses for certain, in either case


def test_a_later_group_has_to_show_more() -> None:
    first = add(GroupLifts(0.5, 0.1, ALPHA), 0.4, ["a"], 60)
    assert first.harmed() is not None
    later = add(GroupLifts(0.5, 0.1, ALPHA), 0.0, [f"g{number}" for number in range(MOST_GROUPS - 1)], 1)
    assert add(later, 0.4, ["a"], 60).harmed() is None
    assert add(later, 0.4, ["a"], 60).harmed() is not None


def test_only_the_groups_that_appear_first_are_kept() -> None:
    lifts = add(GroupLifts(0.5, 0.1, ALPHA), 0.4, [f"g{number}" for number in range(MOST_GROUPS + 1)], 2)
    assert [one.group for one in lifts.snapshot()] == [f"g{number}" for number in range(MOST_GROUPS)]
