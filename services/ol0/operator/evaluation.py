"""What the evaluator says, read from the snapshot that it keeps in the topic ``state``."""

from dataclasses import dataclass
from functools import cache
from typing import Final

from pydantic import TypeAdapter, ValidationError

from ol0.errors import ContractError
from ol0.operator.figures import NO_LIFT, LiftInterval
from ol0.operator.text import moment
from ol0.statistics.lift import LiftFigures

SERVICE: Final = "evaluator"


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The lift, and the event time that it holds for in ms; None before the first outcome."""

    lift: LiftInterval
    time_ms: int | None


@dataclass(frozen=True)
class _Figures:
    time_ms: int | None
    lift: LiftFigures | None
    unbalanced: str | None = None
    inputs_away_since_ms: int | None = None

    @property
    def doubt(self) -> str | None:
        """Why no lift is proven now, whatever its interval; None where nothing is amiss."""
        if self.inputs_away_since_ms is not None:
            return f"inputs do not look like the anchors since {moment(self.inputs_away_since_ms)}; see what drift says"
        return self.unbalanced


@dataclass(frozen=True)
class _Body:
    """The part of the evaluator's snapshot that is for people; the rest is passed over."""

    figures: _Figures


def evaluated(body: bytes) -> Evaluated:
    """What an evaluator's snapshot says of the lift; without a holdback there is none.

    Raises:
        ContractError: the body is no such snapshot.
    """
    try:
        figures = _adapter().validate_json(body).figures
    except ValidationError as error:
        raise ContractError(f"no snapshot of the evaluator: {error}") from None
    lift = figures.lift
    if lift is None:
        return Evaluated(NO_LIFT, figures.time_ms)
    sessions, doubt = lift.treated_sessions + lift.control_sessions, figures.doubt
    low, high = (lift.low, lift.high) if doubt is None else (None, None)
    return Evaluated(LiftInterval(lift.estimate, low, high, sessions, doubt), figures.time_ms)


@cache
def _adapter() -> TypeAdapter[_Body]:
    return TypeAdapter(_Body)
