import doctest
import json
from collections.abc import Mapping
from dataclasses import asdict, replace

import pytest
from confluent_kafka import Message
from hypothesis import example, given
from hypothesis import strategies as st

from ol0.config import KafkaConfig
from ol0.errors import ContractError, RangeError, StreamError
from ol0.kafka.dead_letters import autopsy
from ol0.kafka.dead_letters.autopsy import examine
from ol0.kafka.dead_letters.reader import Letter, Place, letter_of, once, source_topic
from ol0.kafka.dead_letters.resend import Examiner, Prospect, outgoing_again, resend
from ol0.kafka.dead_letters.writer import DeadLetter, outgoing
from ol0.kafka.lineage import Lineage
from ol0.kafka.messages import Headers, Outgoing
from ol0.operator import dead_letter_text
from ol0.operator.dead_letter_text import (
    NO_REMEDY,
    NOT_A_RECORD,
    NOT_OURS,
    REFUSED_BY_SERVICE,
    TRUNCATED,
    UNKNOWN_SCHEMA,
    headline,
    plain,
    remedy,
    short_line,
)
from ol0.operator.text import moment
from ol0.records import Record
from support.examples import DECISION, IMPLICIT_FEEDBACK, OPERATOR_COMMAND, OUTCOME, TIME_MS, USER_FEEDBACK

LINEAGE = Lineage.of(KafkaConfig(topic_prefix="lin"))
TOPIC = "lin.decisions.v1"
FEEDBACK_TOPIC = "lin.feedback.user.v1"
RIGHT = {
    "source_topic": TOPIC.encode(),
    "source_partition": b"2",
    "source_offset": b"17",
    "service": b"feedback",
    "stage": b"decode",
    "error_class": b"ContractError",
    "message": b"first byte 103; a framed Avro record begins with 0",
}


def message(
    headers: Mapping[str, bytes | None], *, value: bytes | None = b"garbage", topic: str = TOPIC, offset: int = 5
) -> Message:
    return Message(f"{topic}.dlq", 1, offset, b"session-1", value, list(headers.items()), None, (1, TIME_MS))


def letter(value: bytes = b"garbage", /, *, name: str = "decisions", **headers: str) -> Letter:
    """A letter as OL0 writes it, other headers than the usual ones given."""
    topic = LINEAGE.topics.full(name)
    others = {header: text.encode() for header, text in headers.items()}
    return letter_of(message({**RIGHT, "source_topic": topic.encode(), **others}, value=value, topic=topic))


# Reading


def test_what_is_written_as_a_dead_letter_is_read_as_one() -> None:
    # Given a bad message that a service puts aside
    source = Message(TOPIC, 2, 17, b"session-1", b"garbage", [], None, (1, TIME_MS))
    error = RangeError("features: 3 numbers; this lineage has 384")
    written = outgoing(DeadLetter.of(source, service="feedback", stage="check", error=error), LINEAGE.topics)
    # When somebody finds it in the dead-letter topic
    headers = {name: str(value).encode() for name, value in written.headers or []}
    found = letter_of(message(headers, value=written.value, topic=written.topic.removesuffix(".dlq")))
    # Then nothing of it is lost
    assert found.source == Place(TOPIC, 2, 17)
    assert (found.key, found.value, found.flaws, found.truncated_from) == (b"session-1", b"garbage", (), None)
    assert (found.service, found.stage) == ("feedback", "check")
    assert (found.error_class, found.message) == ("RangeError", str(error))
    assert found.found_at == Place(f"{TOPIC}.dlq", 1, 5)


def test_a_value_that_was_cut_says_how_long_it_was() -> None:
    limit = LINEAGE.topics.spec("decisions").max_message_bytes
    source = Message(TOPIC, 2, 17, None, bytes(limit + 9), [], None, (1, TIME_MS))
    written = outgoing(
        DeadLetter.of(source, service="feedback", stage="decode", error=ContractError("long")), LINEAGE.topics
    )
    headers = {name: str(value).encode() for name, value in written.headers or []}
    found = letter_of(message(headers, value=written.value))
    assert (len(found.value), found.truncated_from, found.flaws) == (limit, limit + 9, ())


def test_a_key_without_end_is_cut_and_the_letter_is_never_sent_again() -> None:
    # Given a bad message whose key is of many megabytes, as a compressed batch may hold one
    source = Message(TOPIC, 2, 17, b"k" * 20_000_000, b"garbage", [], None, (1, TIME_MS))
    error = ContractError("half a surrogate \ud800, which no header takes")
    written = outgoing(DeadLetter.of(source, service="canary", stage="decode", error=error), LINEAGE.topics)
    # Then its letter is small, in whatever can be written, and says how long the key was
    headers = {name: str(value).encode() for name, value in written.headers or []}
    size = len(written.key or b"") + len(written.value or b"") + sum(len(name) + len(headers[name]) for name in headers)
    assert size < 2_000
    found = letter_of(message(headers, value=written.value, topic=TOPIC))
    found = replace(found, key=written.key)
    assert (found.key, found.key_truncated_from, found.flaws) == (b"k" * 1_024, 20_000_000, ())
    # And it does not go back under another key, to another partition
    forecast = Examiner(LINEAGE, {}).forecast(found)
    assert forecast.prospect is Prospect.REFUSED
    assert forecast.reason == "only the first 1,024 of its key's 20,000,000 bytes are here"
    assert remedy(found) == TRUNCATED


@pytest.mark.parametrize(
    ("headers", "flaw"),
    [
        ({}, "no header source_topic"),
        ({**RIGHT, "source_offset": b"seventeen"}, "source_offset 'seventeen': expected a number"),
        ({**RIGHT, "source_offset": b"-1"}, "source_offset '-1'"),
        ({**RIGHT, "source_partition": None}, "source_partition ''"),
        ({**RIGHT, "source_offset": b"9" * 40}, "source_offset '9999"),
        ({**RIGHT, "source_offset": "\u0661".encode()}, "source_offset"),
        ({**RIGHT, "source_topic": b"lin.operator.v1"}, "its dead letters would not be in lin.decisions.v1.dlq"),
        ({**RIGHT, "source_topic": b"\xff\xfe"}, "its dead letters would not be"),
    ],
)
def test_garbage_in_the_headers_is_marked_and_gives_no_source(headers: dict[str, bytes | None], flaw: str) -> None:
    found = letter_of(message(headers))
    assert found.source is None
    assert flaw in "; ".join(found.flaws)
    assert found.value == b"garbage"
    assert remedy(found) == NOT_OURS
    assert flaw.split(":", maxsplit=1)[0] in "\n".join(headline(found))


def test_a_missing_word_of_the_service_is_marked_and_the_source_stays_known() -> None:
    headers: dict[str, bytes | None] = {name: value for name, value in RIGHT.items() if name != "service"}
    found = letter_of(message(headers))
    assert found.source == Place(TOPIC, 2, 17)
    assert found.flaws == ("no header service",)


def test_headers_whose_names_are_no_text_are_a_flaw_and_no_crash() -> None:
    class Unreadable:
        def __getattr__(self, name: str) -> object:
            return getattr(message(RIGHT), name)

        def headers(self) -> object:
            raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")

    found = letter_of(Unreadable())  # type: ignore[arg-type]
    assert found.flaws[0].startswith("headers that are not text")
    assert found.source is None


@given(headers=st.dictionaries(st.sampled_from([*RIGHT, "truncated_from", "x"]), st.binary(max_size=30) | st.none()))
def test_any_headers_give_a_letter_that_can_be_shown_and_is_never_sent_unless_it_is_whole(
    headers: dict[str, bytes | None],
) -> None:
    found = letter_of(message(headers))
    for text in (short_line(found), remedy(found), *headline(found)):
        assert plain(text).isprintable()
    if found.source is None:
        assert found.flaws
        assert Examiner(LINEAGE, {}).forecast(found).prospect is Prospect.REFUSED


def test_a_record_that_several_services_refused_counts_once() -> None:
    found = [letter(service="canary"), letter(service="drift"), letter(source_offset="18"), letter(service="canary")]
    assert [(one.service, one.source) for one in once(found)] == [
        ("canary", Place(TOPIC, 2, 17)),
        ("feedback", Place(TOPIC, 2, 18)),
    ]


def test_letters_without_a_source_are_all_kept() -> None:
    assert len(list(once([letter(source_offset="x"), letter(source_offset="x")]))) == 2


def test_a_topic_may_be_named_in_short_or_in_full() -> None:
    assert source_topic(LINEAGE.topics, "feedback.user") == source_topic(LINEAGE.topics, FEEDBACK_TOPIC)
    with pytest.raises(StreamError, match="no topic of the lineage 'lin'"):
        source_topic(LINEAGE.topics, "decision")
    with pytest.raises(StreamError, match=r"releases has no dead letters: .*decisions"):
        source_topic(LINEAGE.topics, "releases")


def test_a_letter_is_found_by_what_stands_in_it() -> None:
    found = letter(message="schema id 15; schemas/ids.json knows 2 to 14")
    for text in ("Schema ID 15", "session-1", "feedback", "@17", ""):
        assert found.mentions(text)
    assert not found.mentions("schema id 16")


# What can be read of the bytes


def test_json_is_shown_as_json() -> None:
    remains = examine(json.dumps({"thumb": 3, "who": "\x1b[31m"}).encode())
    assert remains.what == "JSON"
    assert "\n".join(remains.lines) == '{\n  "thumb": 3,\n  "who": "\\u001b[31m"\n}'


def test_a_record_with_a_wrong_value_is_shown_whole() -> None:
    remains = examine(LINEAGE.codec.encode_valid(replace(USER_FEEDBACK, thumb=7)))
    assert remains.what == "Avro, UserFeedback (schema id 2): 8 of 8 fields can be read"
    assert "thumb: 7" in remains.lines
    assert len(remains.lines) == len(asdict(USER_FEEDBACK))


def test_a_record_that_breaks_off_is_shown_up_to_there_and_the_rest_as_bytes() -> None:
    whole = LINEAGE.codec.encode(IMPLICIT_FEEDBACK)
    remains = examine(whole[:-3])
    assert remains.what == "Avro, ImplicitFeedback (schema id 4): 6 of 7 fields can be read"
    assert "source: 'editor'" in remains.lines
    assert "then 5 bytes that do not fit:" in remains.lines


def test_bytes_behind_a_record_are_shown() -> None:
    remains = examine(LINEAGE.codec.encode(DECISION) + b"tail")
    assert "then 4 bytes that do not fit:" in remains.lines
    assert remains.lines[-1].endswith("tail")


def test_other_bytes_are_dumped_and_only_their_beginning() -> None:
    remains = examine(b"\xffgarbage" + bytes(992))
    assert remains.what == "1,000 bytes"
    assert len(remains.lines) == 17
    assert remains.lines[0] == "0000  ff 67 61 72 62 61 67 65 00 00 00 00 00 00 00 00  .garbage........"
    assert remains.lines[-1] == "and 744 bytes more"
    assert examine(b"\x00\x00\x00\x00\x63abc").what == "8 bytes"
    assert examine(b"").lines == ()


@given(value=st.binary(max_size=300) | st.binary(max_size=60).map(lambda body: b"\x00\x00\x00\x00\x0e" + body))
@example(value=b"\x00\x00\x00\x00\x02" + b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01")
@example(value=b'{"a":' + b"[" * 100_000)
@example(value=b"9" * 5_000)
def test_any_bytes_can_be_looked_at(value: bytes) -> None:
    assert examine(value).what


# What would become of it


def test_what_can_be_decoded_by_now_would_be_accepted() -> None:
    forecast = Examiner(LINEAGE, {}).forecast(letter(LINEAGE.codec.encode(DECISION)))
    assert (forecast.prospect, forecast.reason) == (Prospect.ACCEPTED, "")


def test_what_is_still_garbage_would_be_refused_with_the_reason() -> None:
    forecast = Examiner(LINEAGE, {}).forecast(letter(b"garbage"))
    assert forecast.prospect is Prospect.REFUSED
    assert forecast.reason == "ContractError: first byte 103; a framed Avro record begins with 0"


def test_a_record_in_the_wrong_topic_stays() -> None:
    forecast = Examiner(LINEAGE, {}).forecast(letter(LINEAGE.codec.encode(USER_FEEDBACK)))
    assert forecast.reason == "ContractError: a UserFeedback; decisions carries Decision"


def test_what_the_service_checks_is_checked_here_too() -> None:
    def check(record: Record) -> None:
        raise RangeError("3 features; this lineage has 384")

    value = LINEAGE.codec.encode(DECISION)
    strict, lenient = Examiner(LINEAGE, {"decisions": check}), Examiner(LINEAGE, {"decisions": lambda _: None})
    assert strict.forecast(letter(value)).reason == "RangeError: 3 features; this lineage has 384"
    assert lenient.forecast(letter(value, stage="check")).prospect is Prospect.ACCEPTED


@pytest.mark.parametrize("stage", ["check", "handle"])
def test_what_only_a_service_can_judge_is_said_to_be_uncertain(stage: str) -> None:
    forecast = Examiner(LINEAGE, {}).forecast(letter(LINEAGE.codec.encode(DECISION), stage=stage))
    assert forecast.prospect is Prospect.UNCERTAIN
    assert f"feedback refused it at stage {stage}" in forecast.reason


def test_a_letter_that_is_only_a_beginning_stays() -> None:
    cut = letter(LINEAGE.codec.encode(DECISION), truncated_from="9000000")
    assert "of its 9,000,000 bytes" in Examiner(LINEAGE, {}).forecast(cut).reason
    assert Examiner(LINEAGE, {}).forecast(cut).prospect is Prospect.REFUSED
    assert remedy(cut) == TRUNCATED


def test_an_old_order_never_comes_into_force_again() -> None:
    order = letter(LINEAGE.codec.encode(OPERATOR_COMMAND), name="operator")
    forecast = Examiner(LINEAGE, {}).forecast(order)
    assert forecast.prospect is Prospect.REFUSED
    assert "would undo what was ordered since" in forecast.reason


def test_a_letter_with_a_flaw_is_not_sent_even_where_its_source_is_known() -> None:
    headers: dict[str, bytes | None] = {name: value for name, value in RIGHT.items() if name != "stage"}
    flawed = letter_of(message(headers, value=LINEAGE.codec.encode(DECISION)))
    assert Examiner(LINEAGE, {}).forecast(flawed).prospect is Prospect.REFUSED


@pytest.mark.parametrize("later_ms", [0, 1])
def test_a_decision_whose_window_has_closed_is_announced_as_a_drop(later_ms: int) -> None:
    examiner = Examiner(LINEAGE, {}, closed_before_ms=TIME_MS + later_ms)
    forecast = examiner.forecast(letter(LINEAGE.codec.encode(DECISION)))
    assert forecast.prospect is Prospect.ACCEPTED
    assert ("expect a counted drop" in forecast.reason) == bool(later_ms)


def test_an_outcome_that_its_readers_have_passed_is_announced() -> None:
    forecast = Examiner(LINEAGE, {}).forecast(letter(LINEAGE.codec.encode(OUTCOME), name="outcomes"))
    assert forecast.reason == "readers that are past sequence 41 pass over it"


def test_a_letter_goes_back_to_its_own_partition_with_its_key_and_a_word_of_where_it_was() -> None:
    origin: Headers = [("ol0.replayed-from", f"{TOPIC}/2/17")]
    assert outgoing_again(letter(b"bytes")) == Outgoing(TOPIC, b"session-1", b"bytes", 2, origin)


def test_letters_that_nobody_acknowledges_are_said_and_stay() -> None:
    away = Lineage.of(KafkaConfig(bootstrap_servers="127.0.0.1:1", topic_prefix="lin"))
    with pytest.raises(StreamError, match=r"0 of 1 dead letters were acknowledged: no acknowledgement within 0\.1 s"):
        resend([letter()], away, timeout_s=0.1)


# Words


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, NOT_A_RECORD),
        ({"error_class": "UnknownSchema"}, UNKNOWN_SCHEMA),
        ({"stage": "handle", "error_class": "RangeError"}, REFUSED_BY_SERVICE),
        ({"error_class": "NovelError"}, NO_REMEDY),
    ],
)
def test_every_letter_has_a_remedy(headers: dict[str, str], expected: str) -> None:
    assert remedy(letter(b"garbage", **headers)) == expected


def test_a_long_error_is_cut_and_a_terminal_is_left_alone() -> None:
    line = plain(short_line(letter(message="\x1b[31m" + "x" * 500)))
    assert r"ContractError: \x1b[31mxxx" in line
    assert line.endswith("x…")
    assert len(line) < 200


def test_a_time_that_cannot_be_is_still_shown() -> None:
    assert moment(1 << 62) == f"time {1 << 62}"


@pytest.mark.parametrize("module", [autopsy, dead_letter_text], ids=lambda module: module.__name__)
def test_the_examples_in_the_docstrings_are_right(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]
