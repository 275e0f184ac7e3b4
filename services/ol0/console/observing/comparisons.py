"""Arms, groups and hours as the evaluator compares them, read from its snapshot."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from pydantic import TypeAdapter, ValidationError

from ol0.errors import ContractError
from ol0.evaluator.figures import ArmSummary, Comparison
from ol0.records import Arm


@dataclass(frozen=True)
class Comparisons:
    """The part of ``EvaluationFigures`` that the page shows beside the lift; see there for each field."""

    arms: Mapping[Arm, ArmSummary] = field(default_factory=dict)
    groups: Mapping[str, Comparison] = field(default_factory=dict)
    hours: Mapping[int, Comparison] = field(default_factory=dict)
    proven: bool = False
    unpaired: str | None = None


@dataclass(frozen=True)
class _Body:
    figures: Comparisons


def comparisons(body: bytes) -> Comparisons:
    """What an evaluator's snapshot says of arms, groups and hours.

    Raises:
        ContractError: the body is no such snapshot.
    """
    try:
        return _adapter().validate_json(body).figures
    except ValidationError as error:
        raise ContractError(f"no snapshot of the evaluator: {error.error_count()} errors") from None


@cache
def _adapter() -> TypeAdapter[_Body]:
    return TypeAdapter(_Body)
