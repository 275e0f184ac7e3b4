import os
import signal
import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from random import Random
from uuid import uuid4

import numpy as np
import pytest
from pydantic import SecretStr

from ol0 import Router
from ol0.config import FORMER_KEY, HostKey, KafkaConfig, ServingConfig, Settings
from ol0.controller.checkpoint import Opener, read_checkpoint
from ol0.controller.controller import Controller
from ol0.controller.numbering import number_of
from ol0.errors import CheckpointError, ConfigError, ContractError, RangeError, StreamError
from ol0.kafka.lineage import Lineage
from ol0.kafka.sending.host_sender import HostSender
from ol0.kafka.sending.producer_thread import FULL, Account
from ol0.records import (
    Arm,
    Decision,
    DecisionId,
    Digest,
    ImplicitFeedback,
    ImplicitKind,
    Mode,
    ServingState,
    ToolFeedback,
    UserFeedback,
)
from ol0.sdk.feedback import Implicit, ToolResult
from ol0.sdk.options import Options
from ol0.sdk.router import UNSENDABLE
from ol0.sdk.view import view_of_state
from testbed.serving_states import BASE, LIVE, STAGED, D, Log, a_release, a_router, a_state, features
from testbed.waiting import wait_until

DECISION = DecisionId(str(uuid4()))
KEY = SecretStr("of a test")


class Releases:
    """A releases topic that a test writes to."""

    def __init__(self, *states: ServingState, answers: bool = True) -> None:
        self.value: ServingState | None = None
        self.caught_up = False
        self.current_at_s: float | None = None
        self.closed = False
        self.failures = 0
        self._answers = answers
        self._waiting = list(states)
        self._news = threading.Condition()

    def write(self, state: ServingState) -> None:
        with self._news:
            self._waiting.append(state)
            self._news.notify()

    def poll(self, timeout_s: float) -> bool:
        with self._news:
            if self.failures:
                self.failures -= 1
                raise OSError("the client broke")
            if self._answers:
                self.caught_up = True
                self.current_at_s = time.monotonic()
            if not self._waiting:
                self._news.wait(timeout_s / 10)
                return False
            self.value = self._waiting.pop(0)
            return True

    def close(self) -> None:
        self.closed = True


def following(
    releases: Releases,
    log: Log | None = None,
    base: Path | None = None,
    wait_s: float = 2.0,
    opener: Opener = read_checkpoint,
) -> Router:
    return Router.following(
        lambda: releases,
        ServingConfig(base=base, arm_key=KEY, user_key=KEY),
        Options(wait_s=wait_s, rng=Random(1)),
        log or Log(),
        opener=opener,
    )


def test_it_serves_what_is_released_and_knows_how_old_that_is() -> None:
    releases = Releases(a_state(sequence=5))
    with following(releases) as router:
        assert router.serving == (5, LIVE.digest)
        assert router.age_s is not None
        assert router.age_s < 5
        releases._answers = False
        then_s = router.age_s
        wait_until(lambda: router.age_s is not None and router.age_s > then_s + 0.2, 5)
    assert releases.closed


@pytest.mark.parametrize("missing", HostKey)
def test_a_router_that_would_log_does_not_open_without_its_keys(missing: HostKey) -> None:
    config = ServingConfig(arm_key=KEY, user_key=KEY).model_copy(update={missing: None})
    with pytest.raises(ConfigError, match=rf"serving\.{missing} is not set: `ol0 keys host`"):
        Router.following(Releases, config, Options(), Log())
    with pytest.raises(ConfigError, match=rf"serving\.{missing} is not set: `ol0 keys host`"):
        Router.open(Settings(serving=config))


def test_a_key_that_everybody_knows_is_taken_and_said_to_be_one(caplog: pytest.LogCaptureFixture) -> None:
    config = ServingConfig(arm_key=KEY, user_key=SecretStr(FORMER_KEY))
    releases = Releases(a_state())
    with Router.following(lambda: releases, config, Options(), Log()):
        pass
    assert "serving.user_key is 'ol0'" in caplog.text
    assert "serving.arm_key" not in caplog.text


def test_a_new_release_becomes_visible_at_the_next_prompt_and_not_before() -> None:
    releases, vector = Releases(a_state(live=BASE)), features(1)[0]
    with following(releases) as router, router.prompt("s") as prompt:
        before = {prompt.decide(vector).digest for _ in range(20)}
        releases.write(a_state(sequence=2))
        wait_until(lambda: router.serving == (2, LIVE.digest), 5)
        assert before == {prompt.decide(vector).digest for _ in range(20)} == {BASE.digest}
        assert {router.prompt(f"s{n}").decide(vector).digest for n in range(50)} == {BASE.digest, LIVE.digest}


def test_no_half_updated_weights_are_ever_seen() -> None:
    """Prompts in four threads while states change as fast as they can: every action is that of one whole controller."""
    log, vectors = Log(), features(40)
    router = a_router(a_state(), log)
    other = a_release(BASE.digest, BASE.digest, 3)
    greedy = {one.digest: read_checkpoint(one.heads).greedy(vectors).tolist() for one in (BASE, LIVE, other, STAGED)}
    stop, wrong = threading.Event(), []

    def serve(thread: int) -> None:
        for number in range(150):
            with router.prompt(f"{thread}.{number}") as prompt:
                prompt._exploring = 0.0
                choices = [prompt.decide(vector) for vector in vectors]
            digests = {choice.digest for choice in choices}
            if len(digests) != 1 or [list(one.action) for one in choices] != greedy[digests.pop()]:
                wrong.append((thread, number))

    def release() -> None:
        states = [a_state(2), a_state(3, live=other), a_state(4, staged=STAGED), a_state(5, mode=Mode.OBSERVE)]
        while not stop.is_set():
            for state in states:
                router.take(state)

    threads = [threading.Thread(target=serve, args=(n,)) for n in range(4)]
    writer = threading.Thread(target=release)
    writer.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    writer.join()
    assert not wrong
    assert {one.digest for one in log.decisions} == set(greedy)
    assert len({one.decision_id for one in log.decisions}) == 4 * 150 * 40


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


def test_a_bad_newer_state_is_refused_and_the_last_good_one_serves_on() -> None:
    releases = Releases(a_state())
    with following(releases) as router:
        releases.write(a_state(sequence=2, live=replace(LIVE, heads=b"garbage")))
        wait_until(lambda: router.refused, 5)
        assert router.serving == (1, LIVE.digest)
        releases.write(a_state(sequence=3))
        wait_until(lambda: router.serving == (3, LIVE.digest), 5)
        assert router.refused is None


def test_a_client_that_breaks_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ol0.sdk.release_watcher.RETRY_S", 0.01)
    releases = Releases(a_state())
    with following(releases) as router:
        releases.failures = 3
        releases.write(a_state(sequence=2))
        wait_until(lambda: router.serving == (2, LIVE.digest), 5)


@pytest.mark.parametrize("answers", [True, False])
def test_without_a_release_the_base_file_serves(tmp_path: Path, *, answers: bool) -> None:
    path = tmp_path / "base.safetensors"
    path.write_bytes(BASE.heads)
    releases = Releases(answers=answers)
    with following(releases, base=path, wait_s=0.05) as router:
        assert router.serving == (0, BASE.digest)
        releases._answers = True
        releases.write(a_state())
        wait_until(lambda: router.serving == (1, LIVE.digest), 5)


def test_with_nothing_at_all_it_says_what_to_do(tmp_path: Path) -> None:
    releases = Releases(a_state(live=replace(LIVE, approvals=())))
    with pytest.raises(ConfigError, match=r"has no state that can serve.*ol0 warmup"):
        following(releases)
    assert releases.closed
    with pytest.raises(ConfigError, match=r"did not answer within 0.05 s.*base.safetensors"):
        following(Releases(answers=False), base=tmp_path / "base.safetensors", wait_s=0.05)


def test_a_local_router_needs_no_kafka(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    path.write_bytes(LIVE.heads)
    for source in (path, LIVE.heads):
        with Router.local(source) as router, router.prompt("s") as prompt:
            assert prompt.decide(np.zeros(D)).digest == LIVE.digest
            assert router.dropped == 0
            assert not router.report(DECISION, "s", thumb=1)
    with pytest.raises(CheckpointError):
        Router.local(b"garbage")


def test_the_kill_switch_hands_everybody_to_the_base_from_the_next_prompt_on() -> None:
    log, vector = Log(), features(1)[0]
    router = a_router(a_state(), log, holdback=0)
    pinned = router.prompt("s")
    router.kill()
    assert router.killed
    assert router.prompt("s").decide(vector).digest == BASE.digest
    assert not log.records
    assert pinned.decide(vector).digest == LIVE.digest
    router.take(a_state(sequence=2))
    assert router.prompt("s").decide(vector).digest == BASE.digest
    router.revive()
    assert router.prompt("s").decide(vector).digest == LIVE.digest


@pytest.mark.parametrize(("value", "killed"), [("1", True), ("0", False), ("", False)])
def test_the_environment_can_kill(monkeypatch: pytest.MonkeyPatch, value: str, *, killed: bool) -> None:
    monkeypatch.setenv("OL0_KILL", value)
    assert a_router(a_state()).killed is killed


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


def test_arms_get_their_shares() -> None:
    router = a_router(a_state(staged=STAGED, share=0.3))
    arms = [router.prompt(f"s{n}")._arm for n in range(4_000)]
    for arm, share in ((Arm.HOLDBACK, 0.25), (Arm.STAGED, 0.3), (Arm.LIVE, 0.45)):
        assert arms.count(arm) / len(arms) == pytest.approx(share, abs=0.03)


def test_a_state_whose_chunks_cannot_be_read_for_now_is_opened_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ol0.sdk.release_watcher.RETRY_S", 0.01)
    failures = [StreamError("Kafka does not answer")] * 3

    def opener(heads: bytes, digest: Digest | None) -> Controller:
        if digest == STAGED.digest and failures:
            raise failures.pop()
        return read_checkpoint(heads, digest)

    releases = Releases(a_state())
    with following(releases, opener=opener) as router:
        releases.write(a_state(sequence=2, staged=STAGED))
        wait_until(lambda: router.serving == (2, LIVE.digest), 5)
    assert not failures


def test_a_state_of_which_a_chunk_is_missing_is_refused_and_the_last_good_one_serves_on() -> None:
    def opener(heads: bytes, digest: Digest | None) -> Controller:
        if digest == STAGED.digest:
            raise CheckpointError("chunk 3 of 12 is missing")
        return read_checkpoint(heads, digest)

    releases = Releases(a_state())
    with following(releases, opener=opener) as router:
        releases.write(a_state(sequence=2, staged=STAGED))
        wait_until(lambda: router.refused, 5)
        assert (router.refused, router.serving) == ("chunk 3 of 12 is missing", (1, LIVE.digest))
