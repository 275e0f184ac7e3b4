"""What the peers share with each other: fastavro's dicts, the same reward rule, a plain outcome."""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias, cast

from fastavro import parse_schema, schemaless_reader, schemaless_writer
from fastavro.types import Schema

from ol0.config import StreamingConfig
from ol0.feedback.reward import Reward, reward
from ol0.feedback.signals import SignalBits
from ol0.replay.layout import FeedbackEntry, feedback_key, source_key
from ol0.wire.payloads import action_code

Datum: TypeAlias = dict[str, object]

HEADER_BYTES: Final = 5
SCHEMAS: Final = Path(__file__).parents[1] / "services/ol0/schemas"
STREAMING: Final = StreamingConfig()
WINDOW_MS: Final = round(1000 * STREAMING.reward_window_s)
LATENESS_MS: Final = round(1000 * STREAMING.allowed_lateness_s)
COPIED: Final = (
    *("decision_id", "session_id", "user", "time_ms", "digest", "arm", "staged", "serving_sequence", "action"),
    *("propensity", "greedy_base", "greedy_live", "greedy_staged", "group"),
)


def _schemas() -> dict[int, Schema]:
    numbers = json.loads((SCHEMAS / "ids.json").read_text(encoding="utf-8"))
    return {
        int(number): parse_schema(json.loads((SCHEMAS / name).read_text(encoding="utf-8")))
        for number, name in numbers.items()
    }


BY_NUMBER: Final = _schemas()
OUTCOME: Final = next(n for n, one in BY_NUMBER.items() if cast("Datum", one)["name"] == "ol0.v1.Outcome")


def decode(payload: bytes) -> Datum:
    """The dict of framed Avro, as fastavro alone makes it."""
    stream = io.BytesIO(payload)
    stream.seek(HEADER_BYTES)
    return cast("Datum", schemaless_reader(stream, BY_NUMBER[int.from_bytes(payload[1:5], "big")], None))


def entry(datum: Datum) -> bytes:
    """A feedback dict as the reward rule takes it, 48 bytes. The traffic has thumbs, tool results and copies."""
    time_ms = float(cast("int", datum["time_ms"]))
    source = str(datum["source"])
    if "thumb" in datum:
        said = (source_key(source), float(datum["thumb"] == 1), SignalBits.THUMB)
    elif "tool" in datum:
        said = (source_key(source, str(datum["tool"])), float(cast("bool", datum["success"])), SignalBits.TOOL)
    else:
        said = (source_key(source), 0.5 + cast("float", datum["strength"]) / 2, SignalBits.IMPLICIT)
    return FeedbackEntry(feedback_key(str(datum["feedback_id"])), said[0], time_ms, time_ms, *said[1:]).pack()


def judge(entries: Iterable[bytes], action: Sequence[int]) -> Reward:
    """The project's own reward rule."""
    unpacked = [one for pile in entries for one in FeedbackEntry.unpack_pile(pile)]
    return reward(unpacked, action_code(tuple(action)), STREAMING.reward_weights, STREAMING.missing_reward)


def outcome(decision: Mapping[str, object], judged: Reward, number: int) -> bytes:
    """An outcome as a framed message."""
    parts = {name: getattr(judged.parts, name) for name in ("thumb", "rating", "correction", "tool", "implicit")}
    end_ms = cast("int", decision["time_ms"]) + WINDOW_MS
    made = {"sequence": number, "reward": judged.value, "parts": parts, "window_end_ms": end_ms}
    stream = io.BytesIO()
    stream.write(b"\0" + OUTCOME.to_bytes(4, "big"))
    schemaless_writer(stream, BY_NUMBER[OUTCOME], {name: decision[name] for name in COPIED} | made)
    return stream.getvalue()
