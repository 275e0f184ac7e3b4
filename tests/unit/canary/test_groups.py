import pytest

from ol0.canary.groups import GroupComparisons
from ol0.statistics.staged import SessionEvidence


def stage(share: float, sessions: int, *, loss: float, earlier: dict[str, float] | None = None) -> GroupComparisons:
    """One stage, in which every other session of a group is the candidate's and loses."""
    groups = GroupComparisons(share, 0.1, 0.025, earlier or {})
    for number in range(sessions):
        treated = bool(number % 2)
        groups.add([("rare", SessionEvidence(treated, (0.5 - loss if treated else 0.5,), 1))])
    return groups


def test_what_two_stages_only_hint_at_is_suspected_together() -> None:
    # Given two stages, neither of which has seen enough of a group.
    first, second = stage(0.5, 12, loss=0.3), stage(0.5, 12, loss=0.3)
    assert first.suspected() is None
    assert second.suspected() is None
    # When the second one knows of the first.
    both = stage(0.5, 12, loss=0.3, earlier=first.capital())
    # Then the group looks harmed, and what is known of it goes on into a third one.
    assert both.suspected() == "rare"
    assert both.capital()["rare"] == pytest.approx(first.capital()["rare"] + second.capital()["rare"])


def test_a_group_that_gains_clears_a_suspicion() -> None:
    suspected = stage(0.5, 20, loss=0.3)
    assert suspected.suspected() == "rare"
    assert stage(0.5, 60, loss=-0.3, earlier=suspected.capital()).suspected() is None


def test_a_group_that_loses_nothing_looks_harmed_seldom() -> None:
    assert stage(0.5, 200, loss=0.0).suspected() is None


def test_suspicion_goes_on_from_a_snapshot() -> None:
    first = stage(0.5, 12, loss=0.3)
    second = GroupComparisons(0.5, 0.1, 0.025, first.earlier, first.by_name)
    assert second.capital() == first.capital()
