"""What the evaluator says, read from the snapshot that it keeps in the topic ``state``."""

from dataclasses import dataclass
from functools import cache
from typing import Final

from pydantic import TypeAdapter, ValidationError

from ol0.errors import ContractError
from ol0.soak.figures import NO_LIFT, LiftInterval
from ol0.statistics.lift import LiftFigures

SERVICE: Final = "evaluator"


@dataclass(frozen=True)
class _Figures:
    lift: LiftFigures | None


@dataclass(frozen=True)
class _Body:
    """The part of the evaluator's snapshot that is for people; the rest is passed over."""

    figures: _Figures


def lift_of(body: bytes) -> LiftInterval:
    """The lift of an evaluator's snapshot; without a holdback there is none.

    Raises:
        ContractError: the body is no such snapshot.
    """
    try:
        lift = _adapter().validate_json(body).figures.lift
    except ValidationError as error:
        raise ContractError(f"no snapshot of the evaluator: {error}") from None
    if lift is None:
        return NO_LIFT
    return LiftInterval(lift.estimate, lift.low, lift.high, lift.treated_sessions + lift.control_sessions)


@cache
def _adapter() -> TypeAdapter[_Body]:
    return TypeAdapter(_Body)
