"""What the evaluator says, read from the snapshot that it keeps in the topic ``state``."""

import json
from dataclasses import dataclass
from functools import cache
from typing import Final

from pydantic import TypeAdapter, ValidationError

from ol0.config import Settings
from ol0.errors import ContractError, StreamError, flaw_of
from ol0.kafka.lineage import Lineage
from ol0.kafka.transactional_writer import read_snapshots
from ol0.operator.figures import NO_LIFT, LiftInterval
from ol0.operator.text import moment
from ol0.records import Snapshot
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
            since = moment(self.inputs_away_since_ms)
            return f"inputs do not look like the anchors since {since}; see the verdicts of drift"
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


def evaluator_report(settings: Settings) -> str:
    """The evaluator's newest figures, as JSON; see ``evaluator.figures.EvaluationFigures``.

    Raises:
        StreamError: Kafka does not answer in time, or nothing has been evaluated yet.
        ContractError: the snapshot cannot be read.
    """
    snapshot = read_snapshots(SERVICE, Lineage.of(settings.kafka)).get(SERVICE)
    return report_of(snapshot, settings.kafka.topic_prefix)


def report_of(snapshot: Snapshot | None, lineage: str) -> str:
    """The figures of a snapshot for people and machines, with the lineage and when they were written.

    Raises:
        StreamError: there is no snapshot, or no outcome in it.
        ContractError: it is not the evaluator's.
    """
    if snapshot is None:
        raise StreamError(f"nothing of {lineage} has been evaluated yet: is `ol0 evaluator` (part of `ol0 run`) up?")
    try:
        figures = dict(json.loads(snapshot.body)["figures"])
        evaluated = figures["time_ms"] is not None
    except (ValueError, KeyError, TypeError) as error:
        raise ContractError(f"no snapshot of the evaluator: {flaw_of(error)}") from None
    if not evaluated:
        raise StreamError(
            f"nothing of {lineage} has been evaluated yet: an outcome comes when its reward window has closed"
        )
    return json.dumps({"lineage": lineage, "written_ms": snapshot.time_ms, **figures}, indent=2)
