"""What a router writes: numbered decisions, feedback, and an account of both."""

import os
import signal
import threading
from collections.abc import Iterable

import pytest

from ol0 import Router
from ol0.config import KafkaConfig, ServingConfig
from ol0.controller.numbering import number_of
from ol0.errors import ContractError, RangeError
from ol0.kafka.lineage import Lineage
from ol0.kafka.sending.host_sender import HostSender
from ol0.kafka.sending.producer_thread import FULL, Account
from ol0.records import (
    Arm,
    Decision,
    DecisionId,
    ImplicitFeedback,
    ImplicitKind,
    ToolFeedback,
    UserFeedback,
)
from ol0.sdk.feedback import Implicit, ToolResult
from ol0.sdk.options import Options
from ol0.sdk.router import UNSENDABLE
from ol0.sdk.view import view_of_state
from support.router import DECISION
from testbed.serving_states import STAGED, Log, a_router, a_state, features


def test_fifty_threads_share_the_numbers_without_a_hole() -> None:
    log, vector = Log(), features(1)[0]
    router = a_router(a_state(staged=STAGED), log)

    def serve(thread: int) -> None:
        for turn in range(40):
            router.prompt(f"{thread}.{turn}").decide(vector)

    threads = [threading.Thread(target=serve, args=(n,)) for n in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for arm in Arm:
        mine = sorted(number for one in log.decisions if one.arm is arm for number in numbers_of([one]))
        assert mine == list(range(1, len(mine) + 1))


def test_what_the_queue_drops_has_taken_its_number() -> None:
    log, vector = Log(room=5), features(1)[0]
    router = a_router(a_state(), log)
    for place in range(20):
        log.room = 5 if place < 15 else 100
        router.prompt(f"s{place}", user="ann").decide(vector)
    assert numbers_of(log.decisions) == [1, 2, 3, 4, 5, 16, 17, 18, 19, 20]


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # Python 3.12 warns of threads at a fork
def test_a_forked_child_numbers_as_another_router() -> None:
    log, vector = Log(), features(1)[0]
    router = a_router(a_state(), log)
    router.prompt("s", user="ann").decide(vector)
    reading, writing = os.pipe()
    if not (pid := os.fork()):
        signal.alarm(20)
        try:
            router.prompt("s", user="ann").decide(vector)
            os.write(writing, log.decisions[-1].decision_id.encode())
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    ours, theirs = (number_of(DecisionId(one)) for one in (log.decisions[0].decision_id, os.read(reading, 36).decode()))
    assert ours is not None
    assert theirs is not None
    assert (ours.number, theirs.number) == (1, 1)
    assert ours.router != theirs.router


def numbers_of(decisions: Iterable[Decision]) -> list[int]:
    return [number.number for one in decisions if (number := number_of(one.decision_id)) is not None]


def test_what_cannot_be_logged_is_counted_and_the_host_is_served_all_the_same() -> None:
    log, vector = Log(room=2), features(1)[0]
    router = a_router(a_state(), log)
    for _ in range(5):
        router.prompt("s").decide(vector)
    assert (len(log.records), router.dropped) == (2, 3)
    router.prompt("").decide(vector)
    assert router.account == Account(6, 2, {FULL: 3, UNSENDABLE: 1})
    assert router.dropped == 4


def test_feedback_goes_out_as_the_record_of_its_kind() -> None:
    log = Log()
    router = a_router(a_state(), log)
    assert router.report(DECISION, "s", thumb=1, rating=4, correction=(1, 2), source="widget")
    assert router.report(DECISION, "s", tool=ToolResult("search", success=False, latency_ms=3.5))
    assert router.report(DECISION, "s", implicit=Implicit(ImplicitKind.COPY, 0.5), feedback_id="mine")
    user, tool, implicit = log.records
    assert isinstance(user, UserFeedback)
    assert (user.thumb, user.rating, user.correction, user.source) == (1, 4, (1, 2), "widget")
    assert isinstance(tool, ToolFeedback)
    assert (tool.tool, tool.success, tool.latency_ms, tool.source) == ("search", False, 3.5, "s")
    assert isinstance(implicit, ImplicitFeedback)
    assert (implicit.kind, implicit.strength, implicit.feedback_id) == (ImplicitKind.COPY, 0.5, "mine")
    assert len({user.feedback_id, tool.feedback_id, "mine"}) == 3
    assert {one.decision_id for one in (user, tool, implicit)} == {DECISION}


def test_one_signal_at_a_time() -> None:
    router = a_router(a_state(), Log())
    with pytest.raises(ContractError, match="one signal"):
        router.report(DECISION, "s")
    with pytest.raises(ContractError, match="one signal"):
        router.report(DECISION, "s", thumb=1, implicit=Implicit(ImplicitKind.COPY))


def test_two_people_who_vote_on_one_decision_are_two_sources() -> None:
    log = Log()
    router = a_router(a_state(), log)
    router.report(DECISION, "s", thumb=1, user="ann")
    router.report(DECISION, "s", thumb=-1, user="bob")
    router.report(DECISION, "another", thumb=-1)
    router.report(DECISION, "s", thumb=1, user="ann")
    ann, bob, stranger, again = (record.source for record in log.records if isinstance(record, UserFeedback))
    assert len({ann, bob, stranger}) == 3
    assert ann == again == router.prompt("s", user="ann")._who.user
    with pytest.raises(ContractError, match="user or source"):
        router.report(DECISION, "s", thumb=1, user="ann", source="widget")


@pytest.mark.parametrize("label", ["x" * 257, "é" * 129, "\ud800"])
def test_a_label_that_the_log_cannot_hold_is_refused_before_anything_is_decided(label: str) -> None:
    router = a_router(a_state(), Log())
    with pytest.raises(RangeError, match="session_id"):
        router.prompt(label)
    with pytest.raises(RangeError, match="group"):
        router.prompt("s", group=label)
    router.prompt("é" * 128, user="x" * 300, group="x" * 256).decide(features(1)[0])


@pytest.mark.parametrize("given", [{"session_id": "x" * 257}, {"source": "x" * 257}, {"feedback_id": "x" * 257}])
def test_feedback_that_no_reader_would_take_is_refused_to_whoever_reports_it(given: dict[str, str]) -> None:
    sender = HostSender(Lineage.of(KafkaConfig(bootstrap_servers="127.0.0.1:1")))
    router = Router(view_of_state(a_state()), ServingConfig(), Options(), sender)
    about = {"decision_id": DECISION, "session_id": "s", **given}
    with pytest.raises(RangeError, match="257 bytes"):
        router.report(**about, thumb=1)  # type: ignore[arg-type]
    assert router.account == Account()
    router.close()


def test_closing_delivers_what_is_under_way() -> None:
    log = Log()
    with a_router(a_state(), log):
        assert not log.closed
    assert log.closed
