import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ol0.config import RedisConfig, Settings
from ol0.errors import ContractError, RangeError, StreamError, UnknownSchema
from ol0.feedback.handler import FeedbackHandler
from ol0.feedback.join import FeedbackJoin
from ol0.kafka.consume_loop import ConsumeLoop
from ol0.kafka.dead_letters.reader import Place, read_letters
from ol0.kafka.dead_letters.writer import DeadLetter, DeadLetters
from ol0.kafka.lineage import Lineage
from ol0.kafka.messages import Outgoing, write
from ol0.kafka.sending.batch_in_flight import BatchSender
from ol0.operator.setup.lineage import apply_topics
from ol0.records import DecisionId
from ol0.replay.connection import connect
from ol0.replay.store import ReplayStore
from ol0.stacks.native import NativeStack
from ol0.wire.payloads import Payloads
from support.examples import DECISION, DECISION_ID, USER_FEEDBACK
from support.kafka_log import put_bytes, read_messages
from testbed.waiting import wait_until

TIMEOUT_S = 30.0
NO_SUCH_SCHEMA = UnknownSchema("schema id 15; schemas/ids.json knows 2 to 14")

Ol0 = Callable[..., str]


@pytest.fixture
def ol0(settings: Settings, lineage: Lineage, tmp_path: Path) -> Ol0:
    """Runs ``ol0 dlq ...`` on the lineage; returns what it prints, or what it complains of."""
    config = tmp_path / "ol0.json"
    tree = {"kafka": settings.kafka.model_dump(mode="json"), "streaming": {"clock": "ticks"}}
    config.write_text(json.dumps(tree))

    def run(*arguments: object, status: int = 0) -> str:
        command = [sys.executable, "-m", "ol0", "dlq", *map(str, arguments), "--config", str(config)]
        env = {**os.environ, "COLUMNS": "100"}
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=env)
        assert done.returncode == status, done.stderr
        return done.stdout if status == 0 else done.stderr

    return run


def bury(
    lineage: Lineage,
    offset: int,
    value: bytes,
    *,
    name: str = "decisions",
    stage: str = "decode",
    error: ContractError = NO_SUCH_SCHEMA,
) -> None:
    """Writes a dead letter as the feedback service does."""
    topic = lineage.topics.full(name)
    letter = DeadLetter(topic, 0, offset, b"session-1", value, "feedback", stage, error)
    DeadLetters(lineage).write([letter])


def end_of(lineage: Lineage, name: str) -> int:
    return lineage.clients.bounds(lineage.topics.full(name), [0], TIMEOUT_S)[0][1]


def test_where_nothing_is_buried_the_list_says_so(ol0: Ol0, settings: Settings) -> None:
    prefix = settings.kafka.topic_prefix
    assert ol0("list") == f"no dead letters in lineage {prefix}\n"
    assert ol0("list", "--topic", "decisions") == f"no dead letters in decisions of lineage {prefix}\n"
    assert ol0("replay", "--topic", "decisions") == (
        "serving.base is not set: whether features and actions fit this lineage is not checked\n"
        "no dead letters to replay\n"
    )


def test_the_list_counts_each_bad_record_once_and_names_the_newest(ol0: Ol0, lineage: Lineage) -> None:
    # Given letters of two topics, one of them written twice, and one that somebody else wrote
    for offset in (3, 3, 4):
        bury(lineage, offset, b"garbage")
    bury(lineage, 9, b"{}", name="feedback.user", error=RangeError("\x1b[31mthumb: 7; [bold]+1[/bold] or -1"))
    producer = lineage.clients.producer()
    write(producer, Outgoing(lineage.topics.dead_letter("decisions"), None, b"who am I"))
    assert producer.flush(TIMEOUT_S) == 0

    # Then the table has each of them once
    lines = ol0("list").splitlines()
    rows = [line.split() for line in lines]
    assert ["decisions", "UnknownSchema", "2"] in [row[:3] for row in rows]
    assert ["decisions", "(unreadable", "headers)", "1"] in [row[:4] for row in rows]
    assert ["feedback.user", "RangeError", "1"] in [row[:3] for row in rows]

    # And the newest stand first, in words that leave the terminal alone
    decisions, feedback = lineage.topics.full("decisions"), lineage.topics.full("feedback.user")
    assert lines[-1] == "`ol0 dlq show decisions.dlq 0 3` opens the newest"
    assert ol0("show", "decisions.dlq", 0, 3).startswith("unknown source")
    assert lines[-5].startswith(f"{decisions}.dlq[0]@3  ")
    assert "no header source_topic" in lines[-5]
    assert lines[-4].startswith(f"{feedback}[0]@9  ")
    assert lines[-4].endswith(r"RangeError: \x1b[31mthumb: 7; [bold]+1[/bold] or -1")
    assert lines[-3].startswith(f"{decisions}[0]@4  ")

    # And it can be cut down
    one = ol0("list", "--topic", feedback, "--limit", 1)
    assert "UnknownSchema" not in one
    assert f"{feedback}[0]@9" in one


def test_a_letter_is_shown_with_its_headers_its_bytes_and_a_remedy(ol0: Ol0, lineage: Lineage) -> None:
    bury(lineage, 3, b"\xffgarbage")
    bury(lineage, 4, b'{"thumb": 3}', name="feedback.user", error=RangeError("thumb: 3; expected +1 or -1"))
    bury(lineage, 5, lineage.codec.encode(DECISION), stage="check", error=RangeError("3 features"))

    topic = lineage.topics.full("decisions")
    garbage = ol0("show", "decisions", 0, 3)
    assert f"{topic}[0]@3, dead letter {topic}.dlq[0]@0, " in garbage
    assert "  key: session-1\n" in garbage
    assert "  message: schema id 15; schemas/ids.json knows 2 to 14\n" in garbage
    assert "0000  ff 67 61 72 62 61 67 65                          .garbage\n" in garbage
    assert "let the producer write the id of schemas/ids.json" in garbage
    assert ol0("show", topic, 0, 3) == garbage
    assert ol0("show", "decisions.dlq", 0, 0) == garbage

    assert 'JSON:\n  {\n    "thumb": 3\n  }\n' in ol0("show", "feedback.user", 0, 4)
    record = ol0("show", "decisions", 0, 5)
    assert f"decision_id: '{DECISION_ID}'" in record
    assert "serving.base" in record
    assert "no dead letter of" in ol0("show", "decisions", 0, 99, status=1)
    assert "releases has no dead letters" in ol0("show", "releases", 0, 0, status=1)
    assert "'nonsense' is no topic of the lineage" in ol0("show", "nonsense", 0, 0, status=1)
    assert "those with dead letters: decisions, " in ol0("show", "nonsense", 0, 0, status=1)


def test_a_rehearsal_says_what_would_become_of_each_letter_and_sends_nothing(ol0: Ol0, lineage: Lineage) -> None:
    bury(lineage, 3, lineage.codec.encode(DECISION))
    bury(lineage, 4, b"garbage")
    bury(lineage, 5, lineage.codec.encode(DECISION), stage="check", error=RangeError("3 features"))
    topic = lineage.topics.full("decisions")

    said = ol0("replay").splitlines()

    assert f"{topic}[0]@3: would be accepted, goes to {topic}[0]" in said
    assert (
        f"{topic}[0]@4: would be refused, stays: ContractError: first byte 103; a framed Avro record begins with 0"
        in said
    )
    assert any(line.startswith(f"{topic}[0]@5: may be accepted, goes to {topic}[0]") for line in said)
    counted = "1 would be accepted, 1 may be accepted, 1 would be refused"
    assert said[-1] == f"{counted}; nothing was sent; add --apply to send what is not refused"
    assert end_of(lineage, "decisions") == 0
    assert ol0("replay", "--where", "typo").endswith("no dead letter with 'typo' in it; `ol0 dlq list` names them\n")


def test_a_replay_sends_what_would_be_accepted_with_its_key_and_leaves_the_rest(ol0: Ol0, lineage: Lineage) -> None:
    # Given letters that this version can read and one that it cannot
    value = lineage.codec.encode(DECISION)
    bury(lineage, 3, value)
    bury(lineage, 4, b"garbage")
    bury(lineage, 5, value, error=ContractError("another reason"))
    buried = len(read_messages(lineage, lineage.topics.dead_letter("decisions")))

    # When those with one reason are sent again
    said = ol0("replay", "--topic", "decisions", "--where", "Schema ID 15", "--apply").splitlines()

    # Then they stand on their topic as they were, and nothing else has changed
    assert said[-1] == "1 sent and acknowledged, 1 left"
    (sent,) = read_messages(lineage, lineage.topics.full("decisions"))
    assert (sent.key(), sent.value()) == (b"session-1", value)
    assert dict(sent.headers() or []) == {"ol0.replayed-from": f"{lineage.topics.full('decisions')}/0/3".encode()}
    assert len(read_messages(lineage, lineage.topics.dead_letter("decisions"))) == buried


def test_letters_that_come_while_they_are_read_are_not_read(lineage: Lineage) -> None:
    bury(lineage, 1, b"one")
    bury(lineage, 2, b"two")
    letters = read_letters(lineage, ["decisions"])
    assert next(letters).value == b"one"
    bury(lineage, 3, b"three")
    assert [letter.value for letter in letters] == [b"two"]


def test_letters_of_a_transaction_that_was_aborted_do_not_count_and_hold_nobody_up(lineage: Lineage) -> None:
    producer = lineage.clients.transactional_producer("canary", lineage.clients.log_error)
    producer.init_transactions(TIMEOUT_S)
    for end, offset in ((producer.commit_transaction, 1), (producer.abort_transaction, 2)):
        producer.begin_transaction()
        headers = DeadLetter(
            lineage.topics.full("outcomes"), 0, offset, b"k", b"v", "canary", "decode", NO_SUCH_SCHEMA
        ).headers()
        write(producer, Outgoing(lineage.topics.dead_letter("outcomes"), b"k", b"v", headers=headers))
        producer.flush(TIMEOUT_S)
        end()
    letters = list(read_letters(lineage, ["outcomes"]))
    assert [letter.source for letter in letters] == [Place(lineage.topics.full("outcomes"), 0, 1)]


def test_a_topic_that_is_missing_is_said_with_the_command_that_makes_it(settings: Settings) -> None:
    with pytest.raises(StreamError, match=r"no topic .*\.decisions\.v1\.dlq; `ol0 topics apply`"):
        list(read_letters(Lineage.of(settings.kafka), ["decisions"]))


def test_what_is_replayed_twice_counts_once_in_the_join(
    stack: NativeStack, settings: Settings, lineage: Lineage, ol0: Ol0
) -> None:
    # Given feedback on a decision, both refused once by a version that could not read them
    settings = settings.model_copy(update={"redis": RedisConfig.model_validate({"url": stack.redis_url})})
    apply_topics(settings)
    bury(lineage, 3, lineage.codec.encode(DECISION))
    bury(lineage, 4, lineage.codec.encode(USER_FEEDBACK), name="feedback.user")
    put_bytes(
        lineage, "decisions", lineage.codec.encode(replace(DECISION, decision_id=DecisionId(f"{DECISION_ID[:-1]}2")))
    )

    # When both are replayed twice
    for _ in range(2):
        assert ol0("replay", "--apply").endswith("2 sent and acknowledged, 0 left\n")

    # Then the join has all copies on its account, and one window with one signal of them
    store = ReplayStore(connect(settings.redis), settings.kafka.topic_prefix)
    store.attach()
    handler = FeedbackHandler(settings.streaming, 3, (10, 4), Payloads(lineage.codec))
    join = FeedbackJoin(store, handler, BatchSender("outcomes", lineage).send)
    sources = ("decisions", "feedback.user", "feedback.tool", "feedback.implicit")
    loop = ConsumeLoop("feedback", "1", sources, join, lineage=lineage, streaming=settings.streaming)
    loop.open()

    def all_in() -> bool:
        loop.step()
        counters = store.counters()
        return (counters.decisions, counters.feedback) == (3, 2)

    wait_until(all_in, TIMEOUT_S)
    loop.close()
    counters = store.counters()
    assert counters.open == 2
    assert sum(counters.decisions_dropped.values()) == 1
    assert counters.waiting == 1
    assert sum(counters.feedback_dropped.values()) == 1
