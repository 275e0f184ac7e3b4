import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import SecretStr

from ol0 import Router
from ol0.config import FORMER_KEY, HostKey, ServingConfig, Settings
from ol0.controller.checkpoint import read_checkpoint
from ol0.controller.controller import Controller
from ol0.errors import CheckpointError, ConfigError, StreamError
from ol0.records import (
    Arm,
    Digest,
    Mode,
)
from ol0.sdk.options import Options
from support.router import DECISION, KEY, Releases, following
from testbed.serving_states import BASE, LIVE, STAGED, D, Log, a_release, a_router, a_state, features
from testbed.waiting import wait_until


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
