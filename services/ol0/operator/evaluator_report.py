"""``ol0 report``: what the evaluator of a running lineage says, read from the snapshot that it keeps in ``state``."""

import json

from ol0.config import Settings
from ol0.errors import ContractError, StreamError
from ol0.kafka.lineage import Lineage
from ol0.kafka.transactional_writer import read_snapshots
from ol0.operator.evaluation import SERVICE
from ol0.records import Snapshot


def evaluator_report(settings: Settings) -> str:
    """The evaluator's newest figures, as JSON; see ``evaluator.figures.EvaluationFigures``.

    Raises:
        StreamError: Kafka does not answer in time, or nothing has been evaluated yet.
        ContractError: the snapshot is none.
    """
    snapshot = read_snapshots(SERVICE, Lineage.of(settings.kafka)).get(SERVICE)
    return report_of(snapshot, settings.kafka.topic_prefix)


def report_of(snapshot: Snapshot | None, lineage: str) -> str:
    """The figures of a snapshot for people and machines, with the lineage and when they were written.

    Raises:
        StreamError: there is none, or no outcome in it.
        ContractError: it is none of the evaluator's.
    """
    if snapshot is None:
        raise StreamError(f"nothing of {lineage} has been evaluated yet: is `ol0 evaluator` (part of `ol0 run`) up?")
    try:
        figures = dict(json.loads(snapshot.body)["figures"])
        evaluated = figures["time_ms"] is not None
    except (ValueError, KeyError, TypeError) as error:
        raise ContractError(f"no snapshot of the evaluator: {type(error).__name__} {error}") from None
    if not evaluated:
        raise StreamError(
            f"nothing of {lineage} has been evaluated yet: an outcome comes when its reward window has closed"
        )
    return json.dumps({"lineage": lineage, "written_ms": snapshot.time_ms, **figures}, indent=2)
