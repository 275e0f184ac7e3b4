"""What an order would change, once those that wait are obeyed."""

import pytest

from ol0.config import Settings
from ol0.errors import ConfigError
from ol0.operator.releases.orders import CurrentState, rehearse
from ol0.records import OperatorKind
from unit.release.lineage import CONFIG, Lineage, an_order

SETTINGS = Settings(safety=CONFIG)
FREEZE, THAW = an_order(OperatorKind.FREEZE), an_order(OperatorKind.THAW)


def test_a_freeze_that_waits_is_one_that_a_thaw_ends_and_that_is_not_ordered_twice() -> None:
    life = Lineage().handler.state
    assert rehearse(CurrentState(life), THAW, SETTINGS) == []
    assert rehearse(CurrentState(life, (FREEZE,)), THAW, SETTINGS) == ["the freeze ends"]
    assert rehearse(CurrentState(life, (FREEZE,)), FREEZE, SETTINGS) == []
    assert rehearse(CurrentState(life, (FREEZE, THAW)), THAW, SETTINGS) == []


def test_a_pin_that_waits_is_not_ordered_twice() -> None:
    lineage = Lineage()
    former = lineage.released()
    lineage.released(1.0)
    pin = an_order(OperatorKind.PIN, former.digest)
    assert any("superseded -> live" in line for line in rehearse(CurrentState(lineage.handler.state), pin, SETTINGS))
    assert rehearse(CurrentState(lineage.handler.state, (pin,)), pin, SETTINGS) == []


def test_a_rollback_that_waits_is_not_ordered_twice_and_what_it_takes_back_cannot_be_pinned() -> None:
    lineage = Lineage()
    released = lineage.released()
    rollback = an_order(OperatorKind.ROLLBACK, released.digest)
    current = CurrentState(lineage.handler.state, (rollback,))
    assert any("live -> quarantined" in line for line in rehearse(CurrentState(current.state), rollback, SETTINGS))
    assert rehearse(current, rollback, SETTINGS) == []
    with pytest.raises(ConfigError, match="pin would be refused"):
        rehearse(current, an_order(OperatorKind.PIN, released.digest), SETTINGS)
