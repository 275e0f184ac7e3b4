"""Records for an observer, without Kafka."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import cast

from ol0.evaluator.handler import OnlineEvaluator
from ol0.kafka.topic_readers.log_reader import LogReader
from ol0.records import Record, Snapshot
from ol0.statistics.lift import LiftFigures


@dataclass
class Scripted:
    """Gives out what it holds, once; or fails."""

    records: list[Record] = field(default_factory=list)
    failure: Exception | None = None
    closed: bool = False

    @property
    def reader(self) -> LogReader:
        return cast("LogReader", self)

    def poll(self) -> Sequence[tuple[str, Record, int]]:
        if self.failure is not None:
            raise self.failure
        given, self.records = self.records, []
        return [("any", record, 0) for record in given]

    @property
    def caught_up(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True


def evaluation(lift: LiftFigures, time_ms: int) -> Snapshot:
    """A snapshot of the evaluator at this event time, written half a second after it."""
    body = json.loads(OnlineEvaluator().snapshot())
    body["figures"] |= {"lift": asdict(lift), "time_ms": time_ms}
    return Snapshot("evaluator", time_ms + 500, json.dumps(body).encode())
