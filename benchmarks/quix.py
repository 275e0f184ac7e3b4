"""The nearest join that quixstreams offers: session windows over the four streams, closed by the time of a partition.

Runs in the peers' environment. What differs from the feedback service, mostly in the peer's favour:

- quixstreams has no timers: a key's state is touched by records of that key only, unless one of its own windows
  holds it. The nearest is a session window, keyed like the messages, that collects decisions and feedback; it closes
  when the partition has been past the session's last record for the reward window. Not a window for each decision.
- Windows that are open at the end stay open, and count as done.
- State lies in RocksDB on local disk with a changelog topic, and takes JSON only: payloads travel as base64.
- There is no replay store behind it: an example exists as an outcome on a topic, written at least once.
"""

import argparse
import base64
import logging
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from quixstreams import Application
from quixstreams.dataframe import StreamingDataFrame
from quixstreams.models import Deserializer, SerializationContext

from benchmarks.plain import LATENESS_MS, WINDOW_MS, decode, entry, judge, outcome
from benchmarks.traffic import SOURCES
from benchmarks.worker import Stopwatch, Work
from ol0.config import load_settings
from ol0.wire.topics import Topics

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

GAP_MS: Final = WINDOW_MS // 2
"""A session window closes two gaps after its last record."""

Collected = dict[str, object]


class Read(Deserializer):  # type: ignore[misc]
    """Messages as what the window collects: a decision's payload, or a feedback entry for a decision."""

    def __call__(self, value: bytes, ctx: SerializationContext) -> Collected:  # noqa: ARG002 - its signature
        """As quixstreams calls it."""
        datum = decode(value)
        common = {"time_ms": datum["time_ms"], "decision_id": datum.get("decision_id")}
        if "features" in datum:
            return {**common, "payload": base64.b64encode(value).decode()}
        if "feedback_id" in datum:
            return {**common, "entry": base64.b64encode(entry(datum)).decode()}
        return common


def outcomes(window: dict[str, object]) -> list[bytes]:
    """What a closed session comes to."""
    collected = cast("Sequence[Collected]", window["value"])
    entries: dict[str, list[bytes]] = {}
    for one in collected:
        if "entry" in one:
            entries.setdefault(str(one["decision_id"]), []).append(base64.b64decode(str(one["entry"])))
    made = []
    for one in collected:
        if "payload" in one:
            decision = decode(base64.b64decode(str(one["payload"])))
            judged = judge(entries.get(str(one["decision_id"]), []), cast("list[int]", decision["action"]))
            made.append(outcome(decision, judged, 0))
    return made


class Finish:
    """Stops the application when every record was processed."""

    def __init__(self, records: int) -> None:
        self.watch, self.records = Stopwatch(), 0
        self.ended = (0.0, 0.0)
        self.stop: Callable[[], None] = _not_yet
        self._expected = records

    def __call__(self, _topic: str, _partition: int, _offset: int) -> None:
        """Told after each message."""
        self.watch.start()
        self.records += 1
        if self.records >= self._expected:
            self.ended = self.watch.read()
            self.stop()


def main() -> None:
    """Reads the arguments, works, reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--expected", type=int, required=True, help="decisions among the records")
    parser.add_argument("--records", type=int, required=True, help="messages, ticks included")
    parser.add_argument("--group", required=True, help="one that has read nothing yet")
    arguments = parser.parse_args()
    settings = load_settings(arguments.config)
    topics = Topics(settings.kafka.topic_prefix, settings.kafka.partitions)
    state = tempfile.mkdtemp(prefix="ol0-quix-")
    finish = Finish(arguments.records)
    app = Application(
        settings.kafka.bootstrap_servers,
        consumer_group=arguments.group,
        auto_offset_reset="earliest",
        state_dir=state,
        loglevel=logging.WARNING,
        on_message_processed=finish,
    )
    finish.stop = app.stop
    frames = [_frame(app, topics.full(name)) for name in SOURCES]
    joined = frames[0]
    for frame in frames[1:]:
        joined = joined.concat(frame)
    closed = joined.session_window(GAP_MS, grace_ms=LATENESS_MS).collect().final(closing_strategy="partition")
    target = app.topic(topics.full("outcomes"), value_serializer="bytes", key_serializer="bytes")
    closed.apply(outcomes, expand=True).to_topic(target)
    try:
        app.run()
    finally:
        shutil.rmtree(state, ignore_errors=True)
    wall_s, cpu_s = finish.ended
    Work(wall_s, cpu_s, 0.0, finish.records, arguments.expected).say()


def _frame(app: Application, topic: str) -> StreamingDataFrame:
    """One topic; its time is that of the records, not of the broker."""
    source = app.topic(topic, value_deserializer=Read(), key_deserializer="bytes", timestamp_extractor=_time_ms)
    return app.dataframe(source)


def _not_yet() -> None:
    """The application that would have to stop is being made."""


def _time_ms(value: Collected, _headers: object, _timestamp_ms: float, _timestamp_type: object) -> int:
    return cast("int", value["time_ms"])


if __name__ == "__main__":
    main()
