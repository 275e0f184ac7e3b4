from dataclasses import replace

import pytest

from ol0.errors import ConfigError, StreamError
from ol0.records import Gate, OperatorKind, Record, Tick
from ol0.wire.topics import DAY_MS, Route, Topics, load_specs
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
    STAGED,
    TICK,
    TOOL_FEEDBACK,
    TRANSITION,
    USER_FEEDBACK,
    VERDICT,
)


@pytest.mark.parametrize(
    ("record", "route"),
    [
        (DECISION, Route("lin.decisions.v1", b"session-1")),
        (USER_FEEDBACK, Route("lin.feedback.user.v1", b"session-1")),
        (TOOL_FEEDBACK, Route("lin.feedback.tool.v1", b"session-1")),
        (IMPLICIT_FEEDBACK, Route("lin.feedback.implicit.v1", b"session-1")),
        (OUTCOME, Route("lin.outcomes.v1", b"session-1")),
        (CANDIDATE, Route("lin.candidates.v1", STAGED.encode())),
        (replace(VERDICT, gate=Gate.CANARY), Route("lin.verdicts.v1", b"canary", 0)),
        (replace(VERDICT, gate=Gate.DRIFT), Route("lin.verdicts.v1", b"drift", 1)),
        (SERVING_STATE, Route("lin.releases.v1", b"serving")),
        (TRANSITION, Route("lin.transitions.v1", STAGED.encode())),
        (OPERATOR_COMMAND, Route("lin.operator.v1", b"forget/5f2b9c")),
        (SNAPSHOT, Route("lin.state.v1", b"drift")),
        (CHUNK, Route("lin.tensors.v1", CHUNK.digest.encode())),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, Route) else value.topic,
)
def test_every_record_has_its_topic_and_key(record: Record, route: Route) -> None:
    assert Topics("lin").route(record) == route


def test_a_tick_has_no_topic_of_its_own() -> None:
    with pytest.raises(StreamError, match="send_to"):
        Topics("lin").route(TICK)


def test_a_record_goes_to_a_topic_that_declares_it() -> None:
    topics = Topics("lin")
    for record in EXAMPLES:
        if not isinstance(record, Tick):
            name = topics.logical(topics.route(record).topic)
            assert topics.spec(name).records == (type(record).__name__,)


def test_names_lead_there_and_back() -> None:
    topics = Topics("a-b")
    for name in topics.specs:
        assert topics.full(name) == f"a-b.{name}.v1"
        assert topics.logical(topics.full(name)) == name
        assert topics.dead_letter(name) == f"a-b.{name}.v1.dlq"


@pytest.mark.parametrize("full", ["decisions", "other.decisions.v1", "lin.decisions.v2", "lin.decisions.v1.dlq"])
def test_a_topic_of_another_lineage_is_refused(full: str) -> None:
    with pytest.raises(StreamError, match="no topic of the lineage 'lin'"):
        Topics("lin").logical(full)


def test_the_declaration_is_read_as_its_head_describes() -> None:
    specs = load_specs()
    assert specs["decisions"].retention_ms == 7 * DAY_MS
    assert not specs["decisions"].compacted
    assert specs["decisions"].timestamps == "LogAppendTime"
    assert specs["transitions"].retention_ms is None
    assert not specs["transitions"].compacted
    assert specs["state"].compacted
    assert specs["state"].max_message_bytes == 8_388_608
    assert not specs["releases"].dead_letters


def test_partitions_come_from_the_configuration_where_it_names_them() -> None:
    topics = Topics("lin", {"decisions": 12})
    assert topics.spec("decisions").partitions == 12
    assert topics.spec("outcomes").partitions == 4


@pytest.mark.parametrize("overrides", [{"decision": 2}, {"decisions": 0}, {"verdicts": 1}])
def test_an_override_that_cannot_be_is_refused(overrides: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=r"kafka\.partitions\.(decision|verdicts = 1: each of 2 gates)"):
        Topics("lin", overrides)


def test_an_unknown_topic_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(StreamError, match=r"'verdict' is no topic: .*verdicts"):
        Topics("lin").full("verdict")


def test_every_order_has_a_key_of_its_own_so_that_compaction_takes_none_that_nobody_has_read() -> None:
    topics = Topics("lin")
    freeze = replace(OPERATOR_COMMAND, kind=OperatorKind.FREEZE)
    others = [
        replace(freeze, time_ms=freeze.time_ms + 1),
        replace(freeze, value="other"),
        replace(freeze, actor="ben"),
        replace(freeze, kind=OperatorKind.THAW),
    ]
    keys = {topics.route(order).key for order in (freeze, freeze, *others)}
    assert len(keys) == 5
    assert topics.route(freeze).key.startswith(f"freeze/{freeze.time_ms}/".encode())


def test_a_user_is_forgotten_under_one_key_however_often_it_is_ordered() -> None:
    topics = Topics("lin")
    again = replace(OPERATOR_COMMAND, time_ms=OPERATOR_COMMAND.time_ms + 1, actor="ben")
    assert topics.route(again).key == topics.route(OPERATOR_COMMAND).key
