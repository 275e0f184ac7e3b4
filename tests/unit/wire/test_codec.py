import dataclasses
import json
import struct
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ol0.errors import ContractError, RangeError
from ol0.records import Decision, Feedback, ImplicitFeedback, Record, Tick
from ol0.wire.codec import Codec
from ol0.wire.topics import TopicSpec, load_specs
from support.examples import (
    DECISION,
    EXAMPLES,
    IMPLICIT_FEEDBACK,
    SERVING_STATE,
    TICK,
    TIME_MS,
    TOOL_FEEDBACK,
    USER_FEEDBACK,
)

CODEC = Codec()
DECISIONS, USER = load_specs()["decisions"], load_specs()["feedback.user"]
FEEDBACK_TOPICS = {
    "UserFeedback": USER,
    "ToolFeedback": load_specs()["feedback.tool"],
    "ImplicitFeedback": load_specs()["feedback.implicit"],
}

FEEDBACK: dict[str, Feedback] = {
    "UserFeedback": USER_FEEDBACK,
    "ToolFeedback": TOOL_FEEDBACK,
    "ImplicitFeedback": IMPLICIT_FEEDBACK,
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
        (b"\x01\x00\x00\x00\x01abc", r"first byte 1; a framed Avro record begins with 0"),
        (
            b"\x00\x00\x00\x00\x63abc",
            r"schema id 99; schemas/ids.json has 2 to 15\. OL0 uses no registry",
        ),
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


ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.sampled_from([0, 1, -1, 1.0, 0.5, 1e300, TIME_MS, float("nan"), float("inf"), "", "x" * 300, "\ud800"])
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=5,
)


@given(data=st.data(), name=st.sampled_from(sorted(FEEDBACK_TOPICS)))
def test_any_value_of_any_field_of_json_gives_what_avro_takes_or_a_contract_error(
    data: st.DataObject, name: str
) -> None:
    spec, right = FEEDBACK_TOPICS[name], FEEDBACK[name]
    changes = data.draw(st.dictionaries(st.sampled_from([field.name for field in dataclasses.fields(right)]), ANY_JSON))
    try:
        record = CODEC.decode_from(spec, as_json(right, **changes))
    except ContractError as error:
        str(error).encode()  # so that it fits a header
        return
    assert CODEC.decode(CODEC.encode(record)) == record


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_however_deeply_json_is_nested_it_is_refused(opening: str) -> None:
    closing = {"[": "]", '{"a":': "}"}[opening]
    for depth in (*range(100, 1_000, 7), *range(1_000, 200_000, 9_001)):
        nested = f'"thumb": {opening * depth}1{closing * depth}'.encode()
        with pytest.raises(ContractError):
            CODEC.decode_from(USER, as_json(USER_FEEDBACK).replace(b'"thumb": 1', nested))


def test_a_wrong_value_is_refused_before_it_is_sent(codec: Codec) -> None:
    with pytest.raises(RangeError, match="thumb: 2"):
        codec.encode(replace(USER_FEEDBACK, thumb=2))
    with pytest.raises(ContractError, match="ToolFeedback: "):
        codec.encode(replace(TOOL_FEEDBACK, tool=5))  # type: ignore[arg-type]
    with pytest.raises(ContractError, match="ServingState: OverflowError"):
        codec.encode(replace(SERVING_STATE, sequence=1 << 70))
    with pytest.raises(ContractError, match="Decision: TypeError"):
        codec.encode(replace(DECISION, session_id=17))  # type: ignore[arg-type]
    with pytest.raises(ContractError, match="Decision: UnicodeEncodeError"):
        codec.encode(replace(DECISION, session_id="half a surrogate \ud800"))


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
        (as_json(USER_FEEDBACK, thumb=1.0), r"JSON: .*thumb.*1\.0"),
        (as_json(USER_FEEDBACK).replace(b'"thumb": 1', b'"thumb": 1e999'), r"JSON: .*thumb.*inf"),
        (as_json(USER_FEEDBACK).replace(b'"thumb": 1', b'"thumb": 1, "thumb": -1'), r"JSON: .*'thumb' is there twice"),
        (as_json(USER_FEEDBACK).replace(b'"thumb"', b'"th\\u0075mb": -1, "thumb"'), r"JSON: .*'thumb' is there twice"),
        (as_json(USER_FEEDBACK, source="\ud800"), r"JSON: UnicodeEncodeError"),
        (as_json(USER_FEEDBACK, thumb="\ud800"), r"JSON: .*thumb"),
        (as_json(USER_FEEDBACK, source="x" * 257), r"source: 257 bytes"),
        (
            as_json(USER_FEEDBACK, time_ms=1_790_000_000),
            r"before the year 2000 \(2026-09-21 if these are sec",
        ),
        (json.dumps(json.loads(as_json(USER_FEEDBACK))).encode("utf-16-le"), r"JSON: "),
        (as_json(USER_FEEDBACK)[:-1] + b', "x\xff": 1}', r"JSON: UnicodeDecodeError"),
        (as_json(USER_FEEDBACK)[:-1], r"JSON: JSONDecodeError"),
        (b"{}", r"needs decision_id, feedback_id"),
        (as_json(USER_FEEDBACK, decision_id="one"), r"decision_id: 'one'"),
    ],
)
def test_json_that_is_no_feedback_is_refused_with_the_reason(codec: Codec, payload: bytes, reason: str) -> None:
    with pytest.raises(ContractError, match=reason):
        codec.decode_from(USER, payload)


def test_json_is_for_feedback_topics_only(codec: Codec) -> None:
    with pytest.raises(ContractError, match=r"first byte 123; a framed Avro record begins with 0$"):
        codec.decode_from(DECISIONS, as_json(USER_FEEDBACK))
    with pytest.raises(ContractError, match=r"first byte 91; a framed Avro record begins with 0, { feedback as JSON$"):
        codec.decode_from(USER, b'[{"thumb": 1}]')


@pytest.mark.parametrize("before", [b"\xef\xbb\xbf", b"\n", b"  \t\r\n", b"\xef\xbb\xbf \n"])
def test_a_byte_order_mark_and_white_space_around_json_say_nothing(codec: Codec, before: bytes) -> None:
    assert codec.decode_from(USER, before + as_json(USER_FEEDBACK) + b"\r\n") == USER_FEEDBACK


def test_the_id_of_a_schema_registry_is_answered_with_the_right_one(codec: Codec) -> None:
    framed = b"\x00" + struct.pack(">I", 100_001) + codec.encode(USER_FEEDBACK)[5:]
    with pytest.raises(
        ContractError, match=r"schema id 100001; schemas/ids.json has 2: UserFeedback\. OL0 uses no registry"
    ):
        codec.decode_from(USER, framed)


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
