"""What other programs write: they share the schema files and the broker with OL0, and no line of code."""

import io
import json
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import count
from pathlib import Path

import avro.io
import avro.schema
import numpy as np
import pytest
from confluent_kafka import KafkaError, Message, Producer

from ol0.clock import wall_clock_ms
from ol0.records import Decision, Outcome
from ol0.replay.counters import Counters
from ol0.stacks.native import NativeStack
from support.kafka_log import read_messages
from testbed.lineages import Journal, Place, bring_in, services

SCHEMAS = Path(__file__).parents[2] / "services/ol0/schemas"
USER, DECISIONS = "feedback.user", "decisions"
KEY = b"any key"
HOUR_MS = 3_600_000
Sent = list[tuple[int, int]]
"""Partition and offset of each message, in order."""


class Foreign:
    """A program that knows the schema files, the Confluent framing and the names of topics."""

    def __init__(self, stack: NativeStack, prefix: str) -> None:
        self._prefix = prefix
        # What lingers together is written together: good and bad records reach the service in one batch.
        self._producer = Producer({"bootstrap.servers": stack.bootstrap_servers, "linger.ms": 200})

    def send(self, name: str, *values: bytes) -> Sent:
        """Writes messages into the only partition of a topic and says where they stand."""
        places: Sent = []

        def note(error: KafkaError | None, message: Message) -> None:
            assert error is None, error
            partition, offset = message.partition(), message.offset()
            assert partition is not None
            assert offset is not None
            places.append((partition, offset))

        for value in values:
            self._producer.produce(f"{self._prefix}.{name}.v1", value, KEY, on_delivery=note)
        assert not self._producer.flush(10)
        return places


def framed(schema_file: str, datum: Mapping[str, object]) -> bytes:
    """Magic byte 0, the schema's id in four bytes, the Avro body: all by hand."""
    ids = {name: int(number) for number, name in json.loads((SCHEMAS / "ids.json").read_text()).items()}
    body = io.BytesIO()
    schema = avro.schema.parse((SCHEMAS / schema_file).read_text())
    avro.io.DatumWriter(schema).write(datum, avro.io.BinaryEncoder(body))
    return b"\x00" + struct.pack(">I", ids[schema_file]) + body.getvalue()


def as_decision(decision: Decision) -> bytes:
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(decision).items()}
    return framed("decision.avsc", plain)


def thumb(decision: Decision, value: int = 1) -> dict[str, object]:
    """A thumb as its schema has it, in plain values."""
    return {
        "feedback_id": f"about {decision.decision_id}",
        "decision_id": decision.decision_id,
        "session_id": decision.session_id,
        "source": "a program in another language",
        "time_ms": decision.time_ms + 1_000,
        "thumb": value,
        "rating": None,
        "correction": None,
    }


def as_avro(feedback: Mapping[str, object]) -> bytes:
    return framed("user_feedback.avsc", feedback)


def as_json(feedback: Mapping[str, object]) -> bytes:
    return json.dumps({name: value for name, value in feedback.items() if value is not None}).encode()


@pytest.fixture(scope="module")
def place(stack: NativeStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A lineage of which only the feedback service runs. Its event time moves when a test says so."""
    place = bring_in(stack, tmp_path_factory.mktemp("foreign"), {"streaming": {"clock": "ticks"}})
    with services(place, ("feedback",)):
        yield place


@pytest.fixture
def foreign(stack: NativeStack, place: Place) -> Foreign:
    return Foreign(stack, place.prefix)


@pytest.fixture
def before(place: Place) -> Counters:
    """The account before the test: others share the lineage."""
    return place.counters()


@pytest.fixture(scope="module")
def hours() -> Iterator[int]:
    return count(wall_clock_ms(), HOUR_MS)


@pytest.fixture
def decided(place: Place, hours: Iterator[int]) -> list[Decision]:
    """Six decisions, an hour of event time after those of the test before."""
    began_ms = next(hours)
    return [place.decision(row, began_ms + row) for row in range(6)]


def closed(place: Place, decisions: Sequence[Decision]) -> list[Outcome]:
    """Their outcomes in the same order, once time has passed their windows."""
    names = [decision.decision_id for decision in decisions]
    place.pass_windows(max(decision.time_ms for decision in decisions))
    with Journal(place.settings, "outcomes") as journal:
        found = journal.at_least(len(names), Outcome, lambda it: it.decision_id in names)
    return sorted(found, key=lambda outcome: names.index(outcome.decision_id))


def since(before: Counters, now: Counters) -> dict[str, int]:
    """What came in and what became of it in one test, once it is sure that everything adds up and nothing waits."""
    assert now.imbalances() == []
    assert (now.open, now.waiting) == (0, 0)
    names = ("decisions", "outcomes", "examples", "feedback", "feedback_used")
    return {name: getattr(now, name) - getattr(before, name) for name in names}


def everything(number: int) -> dict[str, int]:
    """The account of so many decisions with one thumb each, of which nothing was lost."""
    return dict.fromkeys(("decisions", "outcomes", "examples", "feedback", "feedback_used"), number)


def interleaved(good: Sequence[bytes], bad: Sequence[bytes]) -> list[bytes]:
    return [value for pair in zip(good, bad, strict=True) for value in pair]


def check_dead_letters(place: Place, name: str, bad: Mapping[bytes, str], sent: Sent) -> None:
    """Each bad record is there as it was, with its coordinates and its reason."""
    lineage = place.lineage()
    letters = {letter.value(): letter for letter in read_messages(lineage, lineage.topics.dead_letter(name))}
    for (value, reason), (partition, offset) in zip(bad.items(), sent, strict=True):
        letter = letters[value]
        headers = {
            name: text.decode() for name, text in dict(letter.headers() or ()).items() if isinstance(text, bytes)
        }
        assert headers["source_topic"] == lineage.topics.full(name)
        assert (headers["source_partition"], headers["source_offset"]) == (str(partition), str(offset))
        assert headers["service"] == "feedback"
        assert reason in headers["message"]
        assert letter.key() == KEY


@pytest.mark.parametrize("write", [as_avro, as_json])
def test_a_thumb_of_any_program_counts_in_the_reward(
    place: Place,
    foreign: Foreign,
    before: Counters,
    decided: list[Decision],
    write: Callable[[Mapping[str, object]], bytes],
) -> None:
    # Given two decisions.
    good, bad = decisions = decided[:2]
    foreign.send(DECISIONS, *map(as_decision, decisions))
    # When a program that shares nothing with OL0 but the schema likes one of them, and not the other.
    foreign.send(USER, write(thumb(good)), write(thumb(bad, -1)))
    # Then both count, as what they are.
    assert [(it.parts.thumb, it.reward) for it in closed(place, decisions)] == [(1.0, 1.0), (0.0, 0.0)]
    assert since(before, place.counters()) == everything(2)


def test_bad_feedback_goes_to_the_dead_letters_and_its_neighbours_count(
    place: Place, foreign: Foreign, before: Counters, decided: list[Decision]
) -> None:
    # Given five decisions, a good record about each, and five that are broken, each in a way of its own.
    decisions = decided[:5]
    foreign.send(DECISIONS, *map(as_decision, decisions))
    good = [as_avro(thumb(decision)) for decision in decisions]
    plain = thumb(decisions[0], -1)
    bad = {
        good[0][:-3]: "truncated or no UserFeedback",
        good[1] + bytes(2): "2 bytes are left over after the UserFeedback",
        bytes(1) + struct.pack(">I", 4_711) + good[2][5:]: "schema id 4711; schemas/ids.json has 2: UserFeedback",
        as_json({**plain, "thum": 1}): "unknown field 'thum'; did you mean 'thumb'?",
        as_json({**plain, "thumb": 2}): "thumb: 2; expected +1 or -1",
    }
    # When they come in one batch.
    sent = foreign.send(USER, *interleaved(good, list(bad)))
    # Then the broken ones lie in the dead letters with their place and the reason, and the good ones count.
    assert [it.reward for it in closed(place, decisions)] == [1.0] * 5
    check_dead_letters(place, USER, bad, sent[1::2])
    assert since(before, place.counters()) == everything(5)


def test_bad_decisions_go_to_the_dead_letters_and_their_neighbours_count(
    place: Place, foreign: Foreign, before: Counters, decided: list[Decision]
) -> None:
    # Given three good decisions, and three with features or an action that cannot be.
    good, (nan, short, wild) = decided[:3], decided[3:]
    numbers = nan.feature_vector()
    numbers[2] = np.nan
    bad = {
        as_decision(replace(nan, features=numbers.astype("<f4").tobytes())): "features: number 2 is not finite",
        as_decision(replace(short, features=short.features[:-4])): "are not the 6 features of this lineage",
        as_decision(replace(wild, action=(4,))): "action (4,): this lineage has 1 parts, of (4,) choices",
    }
    # When they come in one batch, and the good ones are liked.
    sent = foreign.send(DECISIONS, *interleaved([as_decision(one) for one in good], list(bad)))
    foreign.send(USER, *(as_avro(thumb(decision)) for decision in good))
    # Then the bad ones lie in the dead letters with their place and the reason, and the good ones count.
    assert [it.reward for it in closed(place, good)] == [1.0] * 3
    check_dead_letters(place, DECISIONS, bad, sent[1::2])
    assert since(before, place.counters()) == everything(3)
