"""Orders of the page go through the functions of `ol0 releases`, and only as they were shown."""

from dataclasses import replace

import pytest

from ol0.config import Settings
from ol0.console import orders
from ol0.console.orders import Done, Rehearsal, Wish, given, rehearsed
from ol0.errors import ConfigError
from ol0.operator.releases.orders import CurrentState
from ol0.records import OperatorCommand, OperatorKind, short
from ol0.release.state import ReleaseState
from support.made_up_run import digest, release
from unit.console.pictures import SETTINGS

ROLLBACK = Wish(OperatorKind.ROLLBACK, "", "ann", "complaints")
STATE = ReleaseState(sequence=5, base=release("base", 0), live=release("two", 2), history=(release("one", 1),))


class Lineage:
    """What the release service knows, and the orders that it was given."""

    def __init__(self) -> None:
        self.current = CurrentState(STATE)
        self.orders: list[OperatorCommand] = []

    def give(self, settings: Settings, order: OperatorCommand, within_s: float) -> ReleaseState:
        assert settings is SETTINGS
        assert within_s > 0
        self.orders.append(order)
        return replace(STATE, sequence=6, live=release("one", 1), frozen=True)


@pytest.fixture
def lineage(monkeypatch: pytest.MonkeyPatch) -> Lineage:
    made = Lineage()
    monkeypatch.setattr(orders, "read_current_state", lambda _: made.current)
    monkeypatch.setattr(orders, "give", made.give)
    return made


def test_a_rehearsal_names_what_is_live_and_gives_nothing(lineage: Lineage) -> None:
    shown = rehearsed(SETTINGS, ROLLBACK)
    assert shown.digest == digest("two")
    assert shown.changes[0] == f"{short(digest('two'))} (step 2): live -> quarantined"
    assert lineage.orders == []


def test_an_order_that_is_as_it_was_shown_is_given_by_name(lineage: Lineage) -> None:
    shown = rehearsed(SETTINGS, ROLLBACK)
    # The second form holds the digest that the first one left out.
    done = given(SETTINGS, replace(ROLLBACK, digest=shown.digest), shown.seal)
    assert done == Done(digest("one"), 1, 6, is_frozen=True)
    (order,) = lineage.orders
    assert (order.kind, order.value, order.actor, order.reason) == ("rollback", digest("two"), "ann", "complaints")


def test_an_order_that_would_hit_something_else_by_now_is_not_given(lineage: Lineage) -> None:
    # Given a rollback that was shown, and another release since then.
    shown = rehearsed(SETTINGS, ROLLBACK)
    lineage.current = CurrentState(replace(STATE, live=release("three", 3), history=(release("two", 2),)))
    # When it is confirmed, then what it would do now is shown.
    again = given(SETTINGS, ROLLBACK, shown.seal)
    assert isinstance(again, Rehearsal)
    assert again.digest == digest("three")
    assert lineage.orders == []


def test_an_order_that_changes_nothing_is_not_given(lineage: Lineage) -> None:
    lineage.current = CurrentState(replace(STATE, frozen=True))
    freeze = Wish(OperatorKind.FREEZE, "", "ann", "")
    shown = rehearsed(SETTINGS, freeze)
    assert shown.changes == ()
    assert given(SETTINGS, freeze, shown.seal) == shown
    assert lineage.orders == []


def test_orders_that_wait_are_told_and_are_part_of_the_seal(lineage: Lineage) -> None:
    before = rehearsed(SETTINGS, ROLLBACK)
    waiting = OperatorCommand(OperatorKind.FREEZE, None, "bob", "", 0)
    lineage.current = CurrentState(STATE, (waiting,))
    after = rehearsed(SETTINGS, ROLLBACK)
    assert after.waiting == ("freeze by bob is carried out first",)
    assert after.seal != before.seal


def test_a_pin_needs_a_release_that_is_known(lineage: Lineage) -> None:
    with pytest.raises(ConfigError, match="pin needs a digest"):
        rehearsed(SETTINGS, Wish(OperatorKind.PIN, "", "ann", ""))
    with pytest.raises(ConfigError, match="no checkpoint in this lineage"):
        rehearsed(SETTINGS, Wish(OperatorKind.PIN, "0000ffff", "ann", ""))
    assert rehearsed(SETTINGS, Wish(OperatorKind.PIN, digest("one")[:8], "ann", "")).digest == digest("one")
