import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ol0.errors import RangeError
from ol0.records import CHUNK_BYTES, Chunk, DecisionId, FeaturesDtype, Reason, Record, RewardParts, Staged, Tick
from ol0.replay import layout
from ol0.wire.validation import EARLIEST_MS, LATEST_MS, MAX_HEADS_BYTES, MAX_TEXT_BYTES, cut, validate
from support.examples import (
    CANDIDATE,
    CHUNK,
    DECISION,
    EXAMPLES,
    IMPLICIT_FEEDBACK,
    OPERATOR_COMMAND,
    OUTCOME,
    SERVING_STATE,
    SNAPSHOT,
    TOOL_FEEDBACK,
    TRANSITION,
    USER_FEEDBACK,
    VERDICT,
)

NAN, INF = float("nan"), float("inf")
LIVE = SERVING_STATE.live
DATED: tuple[Record, ...] = tuple(record for record in EXAMPLES if hasattr(record, "time_ms"))
LONGEST = "é" * 128
"""256 bytes of 128 characters: it is bytes that count."""
LABELS: list[tuple[Record, str]] = [
    *((record, name) for record in (DECISION, OUTCOME) for name in ("session_id", "user", "group")),
    *((USER_FEEDBACK, name) for name in ("feedback_id", "session_id", "source")),
    *((TOOL_FEEDBACK, name) for name in ("feedback_id", "session_id", "source", "tool", "error_class")),
    *((IMPLICIT_FEEDBACK, name) for name in ("feedback_id", "session_id", "source")),
    (OPERATOR_COMMAND, "value"),
    (OPERATOR_COMMAND, "actor"),
    (SNAPSHOT, "service"),
]
DIGESTS: list[tuple[Record, str]] = [
    *((record, name) for record in (DECISION, OUTCOME) for name in ("digest", "staged")),
    *((CANDIDATE, name) for name in ("digest", "parent", "base")),
    *((VERDICT, name) for name in ("digest", "parent", "base", "suite_digest")),
    (TRANSITION, "digest"),
]
TEXTS: list[tuple[Record, str]] = [(TRANSITION, "cause"), (OPERATOR_COMMAND, "reason")]


def floats(*values: float, dtype: str = "<f4") -> bytes:
    return np.array(values, dtype).tobytes()


@pytest.mark.parametrize("record", EXAMPLES, ids=lambda record: type(record).__name__)
def test_right_records_pass(record: Record) -> None:
    validate(record)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (replace(USER_FEEDBACK, thumb=0), "thumb: 0; expected +1 or -1"),
        (replace(USER_FEEDBACK, rating=0), "rating: 0; 1 to 5"),
        (replace(USER_FEEDBACK, rating=6), "rating: 6; 1 to 5"),
        (replace(USER_FEEDBACK, correction=()), "correction: 0 parts"),
        (replace(USER_FEEDBACK, correction=(1, -1)), "action: (1, -1)"),
        (replace(USER_FEEDBACK, thumb=None, rating=None, correction=None), "are all missing"),
        (replace(USER_FEEDBACK, feedback_id=""), "feedback_id: empty"),
        (replace(USER_FEEDBACK, decision_id=DecisionId(DECISION.decision_id.upper())), "lower-case"),
        (replace(USER_FEEDBACK, decision_id=DecisionId(DECISION.decision_id + "\n")), "decision_id"),
        (replace(TOOL_FEEDBACK, latency_ms=NAN), "latency_ms: nan"),
        (replace(TOOL_FEEDBACK, latency_ms=-1.0), "latency_ms: -1.0"),
        (replace(IMPLICIT_FEEDBACK, strength=1.01), "strength: 1.01"),
        (replace(IMPLICIT_FEEDBACK, strength=NAN), "strength: nan"),
        (replace(DECISION, decision_id=DecisionId("1")), "decision_id: '1'"),
        (replace(DECISION, action=(), propensity=()), "propensity: 0 for an action of 0 parts"),
        (replace(DECISION, action=(0,) * 17, propensity=(1.0,) * 17), "propensity: 17 for an action of 17 parts"),
        (replace(USER_FEEDBACK, correction=(0,) * 17), "correction: 17 parts"),
        (replace(DECISION, propensity=(0.5,)), "propensity: 1 for an action of 2 parts"),
        (replace(DECISION, propensity=(0.5, 0.0)), "propensity: 0.0"),
        (replace(DECISION, propensity=(0.5, 1.5)), "propensity: 1.5"),
        (replace(DECISION, propensity=(0.5, NAN)), "propensity: nan"),
        (replace(DECISION, action=(-1, 0)), "action: (-1, 0)"),
        (replace(DECISION, greedy_live=(1,)), "action: (1,)"),
        (replace(DECISION, features=b""), "features: 0 bytes"),
        (replace(DECISION, features=b"abcde"), "features: 5 bytes are no vector of float32"),
        (replace(DECISION, features=floats(1, NAN, 2)), "features: number 1 is not finite"),
        (replace(DECISION, features=floats(1, 2, -INF)), "features: number 2 is not finite"),
        (replace(DECISION, features=floats(3e30, INF)), "features: number 1 is not finite"),
        (
            replace(DECISION, features=floats(NAN, 1, dtype="<f2"), features_dtype=FeaturesDtype.FLOAT16),
            "features: number 0 is not finite",
        ),
        (replace(OUTCOME, reward=1.5), "reward and its parts: 1.5"),
        (replace(OUTCOME, parts=RewardParts(thumb=NAN)), "reward and its parts: nan"),
        (replace(OUTCOME, propensity=(2.0, 0.5)), "propensity: 2.0"),
        (replace(CANDIDATE, heads=bytes(MAX_HEADS_BYTES + 1)), "heads: 2500001 bytes"),
        (replace(CANDIDATE, summary=dict.fromkeys(map(str, range(257)), 0.0)), "summary: 257 figures; 256 at most"),
        (replace(CANDIDATE, signature=bytes(65)), "signature: 65 bytes; 64 at most"),
        (replace(VERDICT, signature=bytes(65)), "signature: 65 bytes; 64 at most"),
        (replace(VERDICT, reasons=VERDICT.reasons * 17), "reasons: 34 of them; 32 at most"),
        (replace(SERVING_STATE, live=replace(LIVE, approvals=(VERDICT,) * 3)), "approvals: 3 of them; 2 at most"),
        (replace(SERVING_STATE, live=replace(LIVE, heads=bytes(MAX_HEADS_BYTES + 1))), "heads: 2500001 bytes"),
        (replace(SERVING_STATE, staged=Staged(SERVING_STATE.live, 1.5, 1)), "staged.share: 1.5"),
        (Chunk(CHUNK.digest, b"tensorS"), f"digest: {CHUNK.digest}, but the bytes are"),
        (Chunk(CHUNK.digest, b""), "data: 0 bytes; 1 to 900000"),
        (Chunk(CHUNK.digest, bytes(CHUNK_BYTES + 1)), "data: 900001 bytes; 1 to 900000"),
        (Tick(0), "time_ms: 0 is before the year 2000; expected milliseconds since 1970 UTC"),
        (Tick(-1), "time_ms: -1 is before the year 2000; expected milli"),
        (Tick(946_684_799_999), "time_ms: 946684799999 is before the year 2000; expected milli"),
        (Tick(10**13), "time_ms: 10000000000000 is after the year 2286; expected milli"),
    ],
)
def test_values_that_may_not_be_are_refused_by_name(record: Record, reason: str) -> None:
    with pytest.raises(RangeError, match=re.escape(reason)):
        validate(record)


def test_large_features_are_finite_even_where_their_squares_are_not() -> None:
    validate(replace(DECISION, features=floats(3e38, -3e38)))
    validate(replace(DECISION, features=floats(65504, 1, dtype="<f2"), features_dtype=FeaturesDtype.FLOAT16))


def test_one_sign_of_the_user_is_enough() -> None:
    silent = replace(USER_FEEDBACK, thumb=None, rating=None, correction=None)
    for record in (replace(silent, thumb=-1), replace(silent, rating=1), replace(silent, correction=(0,))):
        validate(record)


def named(pair: object) -> str | None:
    return pair if isinstance(pair, str) else type(pair).__name__


@pytest.mark.parametrize(("record", "name"), LABELS, ids=named)
def test_a_label_has_256_bytes_at_most(record: Any, name: str) -> None:  # noqa: ANN401 - any record with that field
    validate(replace(record, **{name: LONGEST}))
    for longer in (LONGEST + "x", "x" * 257, "x" * 600_000):
        with pytest.raises(RangeError, match=rf"^{name}: {len(longer.encode())} bytes, .{{1,60}}; 256 at most$"):
            validate(replace(record, **{name: longer}))


@pytest.mark.parametrize(("record", "name"), DIGESTS, ids=named)
def test_a_digest_has_64_characters(record: Any, name: str) -> None:  # noqa: ANN401 - same
    for wrong in ("a" * 63, "a" * 600_000):
        with pytest.raises(RangeError, match=rf"^{name}: {len(wrong)} characters, .* a digest has 64$"):
            validate(replace(record, **{name: wrong}))


@pytest.mark.parametrize(("record", "name"), TEXTS, ids=named)
def test_a_text_for_people_has_8_kb_at_most(record: Any, name: str) -> None:  # noqa: ANN401 - same
    validate(replace(record, **{name: "é" * 4_096}))
    with pytest.raises(RangeError, match=f"^{name}: 8194 bytes; 8192 at most"):
        validate(replace(record, **{name: "é" * 4_097}))


def test_what_stands_within_a_verdict_or_a_release_is_bounded_too() -> None:
    named = Reason("x" * 257, None, None, None, "")
    told = Reason("harm", None, None, None, "x" * 4_097)
    for reason, complaint in ((named, "check: 257 bytes"), (told, "reasons: 8194 bytes; 8192 at most")):
        verdict = replace(VERDICT, reasons=(reason, reason))
        for record in (verdict, replace(SERVING_STATE, live=replace(LIVE, approvals=(verdict,)))):
            with pytest.raises(RangeError, match=complaint):
                validate(record)
    with pytest.raises(RangeError, match="summary: 300 bytes"):
        validate(replace(CANDIDATE, summary={"x" * 300: 1.0}))


@pytest.mark.parametrize("record", DATED, ids=named)
def test_a_time_in_seconds_is_refused_with_the_date_that_was_meant(record: Any) -> None:  # noqa: ANN401 - same
    with pytest.raises(
        RangeError, match=r"before the year 2000 \(2026-09-21 if these are seconds\); expected milliseconds"
    ):
        validate(replace(record, time_ms=1_790_000_000))
    with pytest.raises(RangeError, match="1790000000000000 is after the year 2286; expected milliseconds"):
        validate(replace(record, time_ms=1_790_000_000_000_000))
    for right in (EARLIEST_MS, LATEST_MS):
        validate(replace(record, time_ms=right))


def test_the_store_has_room_for_every_time_that_passes() -> None:
    assert LATEST_MS <= layout.LATEST_MS
    with pytest.raises(RangeError, match="window_end_ms: 10000000000000"):
        validate(replace(OUTCOME, window_end_ms=10**13))


def test_a_text_that_is_cut_can_be_sent() -> None:
    for text in ("why", "x" * 9_000, "é" * 9_000):
        validate(replace(TRANSITION, cause=cut(text)))
    assert cut("x" * MAX_TEXT_BYTES) == "x" * MAX_TEXT_BYTES
    assert cut("x" * 9_000).endswith("x…")
