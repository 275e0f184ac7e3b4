import dataclasses
import json
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from examples import DECISION, EXAMPLES, IMPLICIT_FEEDBACK, TICK, TOOL_FEEDBACK, USER_FEEDBACK
from ol0.errors import ContractError, RangeError
from ol0.records import Decision, Feedback, ImplicitFeedback, Record, Snapshot, Tick
from ol0.streaming.codec import Codec
from ol0.streaming.topics import TopicSpec, load_specs

CODEC = Codec()
DECISIONS, USER = load_specs()["decisions"], load_specs()["feedback.user"]
FEEDBACK_TOPICS = {
    "UserFeedback": USER,
    "ToolFeedback": load_specs()["feedback.tool"],
    "ImplicitFeedback": load_specs()["feedback.implicit"],
}


def as_json(record: Feedback, **changes: object) -> bytes:
    return json.dumps({**dataclasses.asdict(record), **changes}).encode()


@pytest.mark.parametrize("record", EXAMPLES, ids=lambda record: type(record).__name__)
def test_every_record_comes_back_as_it_was(codec: Codec, record: Record) -> None:
    payload = codec.encode(record)
    assert payload[0] == 0
    assert codec.decode(payload) == record
    assert codec.decode_valid(type(record), payload) == record
    assert codec.encode_valid(record) == payload


def test_bytes_of_another_record_are_not_taken_for_a_decision(codec: Codec) -> None:
    with pytest.raises(ContractError, match="a UserFeedback where a Decision should be"):
        codec.decode_valid(Decision, codec.encode(USER_FEEDBACK))


def test_a_decoded_record_has_the_types_that_it_says(codec: Codec) -> None:
    record = codec.decode(codec.encode(DECISION))
    assert isinstance(record, Decision)
    assert [type(getattr(record, field.name)) for field in dataclasses.fields(record)] == [
        type(getattr(DECISION, field.name)) for field in dataclasses.fields(DECISION)
    ]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", r"0 bytes; magic byte and schema id alone are 5"),
        (b"\x00\x00\x00", r"3 bytes; magic"),
        (b"\x01\x00\x00\x00\x01abc", r"first byte 1; 0 begins"),
        (b"\x00\x00\x00\x00\x63abc", r"schema id 99; .* 2 to 14"),
        (CODEC.encode(DECISION)[:-1], r"truncated or no Decision"),
        (CODEC.encode(DECISION) + b"\x00\x00", r"2 bytes are left over after the Decision"),
        (CODEC.encode(IMPLICIT_FEEDBACK)[:-9] + b"\x0e" + bytes(8), r"truncated or no ImplicitFeedback"),
        (CODEC.encode(TICK)[:5] + b"\x08", r"truncated or no Tick"),
    ],
    ids=["empty", "short", "magic", "unknown id", "truncated", "trailing", "bad enum", "bad union"],
)
def test_malformed_bytes_are_refused_with_the_reason(codec: Codec, payload: bytes, reason: str) -> None:
    with pytest.raises(ContractError, match=reason):
        codec.decode(payload)


@pytest.mark.parametrize("record", EXAMPLES, ids=lambda record: type(record).__name__)
def test_cut_anywhere_a_record_is_refused(codec: Codec, record: Record) -> None:
    payload = codec.encode(record)
    for end in range(len(payload)):
        with pytest.raises(ContractError):
            codec.decode(payload[:end])


@given(number=st.integers(1, 15), body=st.binary(max_size=300))
@example(number=2, body=b"\xff" * 20)
@example(number=12, body=b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01")
def test_any_bytes_give_a_record_or_a_contract_error(number: int, body: bytes) -> None:
    payload = b"\x00\x00\x00\x00" + bytes([number]) + body
    try:
        record = CODEC.decode(payload)
    except ContractError:
        return
    assert CODEC.decode(CODEC.encode(record)) == record or record != record  # noqa: PLR0124 - NaN is not itself


@given(payload=st.binary(max_size=200).map(lambda tail: b"{" + tail) | st.text().map(lambda text: text.encode()))
@example(payload=b'{"a":' + b"[" * 100_000)
@example(payload=b'{"thumb": ' + b"9" * 5_000 + b"}")
def test_any_text_gives_feedback_or_a_contract_error(payload: bytes) -> None:
    with pytest.raises(ContractError):
        CODEC.decode_from(USER, payload)


def test_a_wrong_value_is_refused_before_it_is_sent(codec: Codec) -> None:
    with pytest.raises(RangeError, match="thumb: 2"):
        codec.encode(replace(USER_FEEDBACK, thumb=2))
    with pytest.raises(ContractError, match="ToolFeedback: "):
        codec.encode(replace(TOOL_FEEDBACK, tool=5))  # type: ignore[arg-type]
    with pytest.raises(ContractError, match="Snapshot: "):
        codec.encode(Snapshot("x", 1 << 70, b""))


def test_a_wrong_value_that_was_sent_nevertheless_is_refused(codec: Codec) -> None:
    payload = codec.encode_valid(replace(USER_FEEDBACK, thumb=2))
    with pytest.raises(RangeError, match="thumb: 2"):
        codec.decode(payload)


@pytest.mark.parametrize("record", [USER_FEEDBACK, TOOL_FEEDBACK, IMPLICIT_FEEDBACK], ids=FEEDBACK_TOPICS.keys())
def test_feedback_may_be_json_of_the_same_fields(codec: Codec, record: Feedback) -> None:
    spec = FEEDBACK_TOPICS[type(record).__name__]
    assert codec.decode_from(spec, as_json(record)) == record
    assert codec.decode_from(spec, codec.encode(record)) == record


def test_optional_fields_of_json_may_be_absent_and_whole_numbers_stand_for_fractions(codec: Codec) -> None:
    fields = {
        key: value for key, value in dataclasses.asdict(USER_FEEDBACK).items() if key not in ("rating", "correction")
    }
    assert codec.decode_from(USER, json.dumps(fields).encode()) == replace(USER_FEEDBACK, rating=None, correction=None)
    record = codec.decode_from(FEEDBACK_TOPICS["ImplicitFeedback"], as_json(IMPLICIT_FEEDBACK, strength=1))
    assert isinstance(record, ImplicitFeedback)
    assert type(record.strength) is float


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (as_json(USER_FEEDBACK, tumb=1), r"unknown field 'tumb'; did you mean 'thumb'\?"),
        (as_json(USER_FEEDBACK).replace(b"feedback_id", b"id"), r"unknown field 'id'"),
        (b'{"feedback_id": "f"}', r"UserFeedback needs decision_id, session_id, source, time_ms as well"),
        (as_json(USER_FEEDBACK, thumb="up"), r"JSON: .*thumb.*up"),
        (as_json(USER_FEEDBACK, thumb=True), r"JSON: .*thumb.*True"),
        (as_json(USER_FEEDBACK, thumb=1.5), r"JSON: .*thumb.*1\.5"),
        (as_json(USER_FEEDBACK, thumb=1 << 40), r"JSON: .*thumb"),
        (as_json(USER_FEEDBACK, correction=[float("nan")]), r"NaN is no JSON number"),
        (as_json(USER_FEEDBACK)[:-1], r"JSON: JSONDecodeError"),
        (b"{}", r"needs decision_id, feedback_id"),
        (as_json(USER_FEEDBACK, decision_id="one"), r"decision_id: 'one'"),
    ],
)
def test_json_that_is_no_feedback_is_refused_with_the_reason(codec: Codec, payload: bytes, reason: str) -> None:
    with pytest.raises(ContractError, match=reason):
        codec.decode_from(USER, payload)


def test_json_is_for_feedback_topics_only(codec: Codec) -> None:
    with pytest.raises(ContractError, match="first byte 123"):
        codec.decode_from(DECISIONS, as_json(USER_FEEDBACK))
    with pytest.raises(ContractError, match="first byte 91"):
        codec.decode_from(USER, b'[{"thumb": 1}]')


def test_a_topic_takes_its_own_records_and_ticks(codec: Codec) -> None:
    assert codec.decode_from(DECISIONS, codec.encode(DECISION)) == DECISION
    assert codec.decode_from(DECISIONS, codec.encode(Tick())) == Tick()
    with pytest.raises(ContractError, match="a UserFeedback; decisions carries Decision"):
        codec.decode_from(DECISIONS, codec.encode(USER_FEEDBACK))


@pytest.mark.parametrize("payload", [None, b""])
def test_an_empty_message_is_refused(codec: Codec, payload: bytes | None) -> None:
    with pytest.raises(ContractError, match="an empty message; decisions carries Decision"):
        codec.decode_from(DECISIONS, payload)


def test_a_message_above_the_size_of_its_topic_is_refused_unread(codec: Codec) -> None:
    spec: TopicSpec = replace(DECISIONS, max_message_bytes=100)
    with pytest.raises(ContractError, match="bytes; 100 at most in decisions"):
        codec.decode_from(spec, codec.encode(DECISION))
