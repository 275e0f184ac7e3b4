"""The limits of single fields against the sizes of topics: with every field at its limit, a record still fits."""

from dataclasses import fields, replace
from hashlib import sha256
from typing import Any, get_args

import pytest

from ol0.config import KafkaConfig
from ol0.errors import ContractError
from ol0.kafka.lineage import Lineage
from ol0.kafka.messages import to_message
from ol0.records import (
    CHUNK_BYTES,
    Action,
    Chunk,
    Digest,
    OperatorKind,
    Reason,
    Record,
    Release,
    Snapshot,
    Staged,
    Tick,
)
from ol0.wire.validation import LATEST_MS, MAX_HEADS_BYTES
from support.examples import (
    CANDIDATE,
    DECISION,
    EXAMPLES,
    IMPLICIT_FEEDBACK,
    OPERATOR_COMMAND,
    OUTCOME,
    SERVING_STATE,
    TOOL_FEEDBACK,
    TRANSITION,
    USER_FEEDBACK,
    VERDICT,
)

LINEAGE = Lineage.of(KafkaConfig(topic_prefix="p" * 200))
LABEL, TEXT, SIGNATURE = "é" * 128, "é" * 4_096, bytes(64)
FAR: Action = (2**31 - 1,) * 16
CHOICE: dict[str, Any] = {
    "session_id": LABEL,
    "user": LABEL,
    "group": LABEL,
    "time_ms": LATEST_MS,
    "serving_sequence": 2**63 - 1,
    "action": FAR,
    "propensity": (1.0,) * 16,
    **dict.fromkeys(("greedy_base", "greedy_live", "greedy_staged"), FAR),
}
WHO: dict[str, Any] = {"feedback_id": LABEL, "session_id": LABEL, "source": LABEL, "time_ms": LATEST_MS}
REASONS = tuple(Reason(LABEL, 1.0, 1.0, 1.0, "é" * 128) for _ in range(32))
LONG_VERDICT = replace(VERDICT, reasons=REASONS, signature=SIGNATURE)
LONG_RELEASE = Release(VERDICT.digest, 2**62, bytes(MAX_HEADS_BYTES), (LONG_VERDICT, LONG_VERDICT))
LARGEST: tuple[Record, ...] = (
    replace(DECISION, **CHOICE, features=bytes(4 * 250_000)),  # a million bytes; the base says how many there are
    replace(OUTCOME, **CHOICE, window_end_ms=LATEST_MS, sequence=2**63 - 1),
    replace(USER_FEEDBACK, **WHO, correction=FAR),
    replace(TOOL_FEEDBACK, **WHO, tool=LABEL, error_class=LABEL),
    replace(IMPLICIT_FEEDBACK, **WHO),
    replace(
        CANDIDATE,
        heads=bytes(MAX_HEADS_BYTES),
        summary={f"{number:0256}": 1.0 for number in range(256)},
        signature=SIGNATURE,
    ),
    LONG_VERDICT,
    replace(SERVING_STATE, base=LONG_RELEASE, live=LONG_RELEASE, staged=Staged(LONG_RELEASE, 0.5, 1)),
    replace(TRANSITION, cause=TEXT),
    replace(OPERATOR_COMMAND, kind=OperatorKind.FORGET, value=LABEL, actor=LABEL, reason=TEXT),
    Chunk(Digest(sha256(bytes(CHUNK_BYTES)).hexdigest()), bytes(CHUNK_BYTES)),
)


@pytest.mark.parametrize("record", LARGEST, ids=lambda record: type(record).__name__)
def test_a_record_with_every_field_at_its_limit_fits_its_topic(record: Record) -> None:
    message = to_message(record, LINEAGE.topics, LINEAGE.codec)
    assert len(message.key or b"") <= 263  # "forget/" and a label
    spec = LINEAGE.topics.spec(LINEAGE.topics.logical(message.topic))
    assert LINEAGE.codec.decode_from(spec, message.value) == record


def test_no_record_is_missing() -> None:
    # A tick has one number; what a snapshot holds is its service's to bound.
    assert {type(record) for record in LARGEST} == set(get_args(Record)) - {Tick, Snapshot}


@pytest.mark.parametrize("record", EXAMPLES, ids=lambda record: type(record).__name__)
def test_every_text_of_every_record_has_a_limit(record: Any) -> None:  # noqa: ANN401 - any record
    for field in fields(record):
        value = getattr(record, field.name)
        if type(value) is str or (type(value) is bytes and field.name not in {"features", "body"}):
            endless = value * (3_000_000 // len(value))
            with pytest.raises(ContractError):
                LINEAGE.codec.encode(replace(record, **{field.name: endless}))
