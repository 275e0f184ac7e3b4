"""The SDK in a host whose Kafka is away, refuses, or is another one. Ten of each: benchmarks/sdk_outages.py."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from ol0 import Router
from ol0.kafka.sending.producer_thread import FULL, GRACE_S
from ol0.records import DecisionId
from ol0.sdk.options import Options
from ol0.sdk.router import FLUSH_S
from testbed.outages import WITHIN_S, Place, a_place, denied, paused, recreated
from testbed.serving_states import features
from testbed.waiting import wait_until

ROOM = 50
REFUSED = "CLUSTER_AUTHORIZATION_FAILED"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with a_place(tmp_path_factory.mktemp("outages")) as running:
        yield running


def open_router(place: Place) -> Router:
    settings = place.with_options({"queue.buffering.max.messages": ROOM})
    return Router.open(settings, Options(rng=Random(1), wait_s=WITHIN_S))


def decide(router: Router, count: int) -> list[DecisionId]:
    with router.prompt("session") as prompt:
        return [prompt.decide(features(1)[0]).decision_id for _ in range(count)]


def decide_until_delivered(router: Router) -> None:
    before = router.account.delivered
    wait_until(lambda: decide(router, 1) and router.account.delivered > before, WITHIN_S)


def test_after_a_full_queue_records_are_delivered_again(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    # Given a broker that stands still, and more records than there is room for
    router = open_router(place)
    decide_until_delivered(router)
    end = paused(place, 2)
    try:
        wait_until(lambda: decide(router, 1) and router.account.reasons.get(FULL, 0) >= 5 * ROOM, WITHIN_S)
    finally:
        end()
    # When it goes on, then so do the records, and what waited was not lost
    decide_until_delivered(router)
    router.close()
    account = router.account
    assert account.reasons.keys() == {FULL}
    assert account.made == account.delivered + account.dropped
    # And the host was told in a few lines, with all of them counted
    lines = [record.getMessage() for record in caplog.records if record.name == "ol0.kafka"]
    assert len(lines) < 5
    assert sum(int(count) for count in re.findall(r"records were dropped \((\d+)\)", str(lines))) == account.dropped


def test_after_a_fatal_error_there_is_another_producer_and_everything_was_counted(place: Place) -> None:
    # Given a host that may not write when its first record comes: no producer survives that
    router, leaving = open_router(place), open_router(place)
    end = denied(place, 3)
    try:
        wait_until(lambda: decide(router, 1) and router.account.reasons.get(REFUSED, 0) > 2, WITHIN_S)
        # When it leaves in the midst of this, then in time, and with a sum that is right
        decide(leaving, 20)
        began_s = time.monotonic()
        leaving.close()
        assert time.monotonic() - began_s < FLUSH_S + GRACE_S
        assert (leaving.account.made, leaving.account.dropped, leaving.account.waiting) == (20, 20, 0)
    finally:
        end()
    # And when it may write again, then it does, without being opened anew
    decide_until_delivered(router)
    router.close()
    assert router.account.made == router.account.delivered + router.account.dropped


def test_a_topic_that_was_made_anew_is_followed_from_its_beginning(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a router that has read the releases, of which there is one more than there will be
    monkeypatch.setattr("ol0.kafka.logs.identities.ASK_S", 0.1)
    monkeypatch.setattr("ol0.kafka.topic_readers.compacted_reader.AGAIN_S", 0.1)
    place.release(7)
    router = open_router(place)
    wait_until(lambda: router.serving is not None and router.serving[0] == 7, WITHIN_S)
    # When the topics are deleted and recreated, then it serves what stands in the new ones, and logs into them
    recreated(place, 4)()
    wait_until(lambda: router.serving is not None and router.serving[0] == 4, WITHIN_S)
    decide_until_delivered(router)
    router.close()
    assert router.account.made == router.account.delivered + router.account.dropped
    assert router.age_s is not None


HOST = """
import os, sys
from pathlib import Path
from random import Random
import numpy as np
from ol0 import Router
from ol0.config import load_settings
from ol0.sdk.options import Options

router = Router.open(load_settings(Path(sys.argv[1])), Options(wait_s=30.0))
features = np.zeros(6, np.float32)
early = router.prompt("early")
choice = early.decide(features)
if not (pid := os.fork()):
    assert (router.account.made, router.account.dropped) == (0, 0)
    other = router.prompt("child").decide(features)
    assert router.report(choice.decision_id, "early", thumb=1)
    early.decide(features)
    router.close()
    account = router.account
    assert (account.made, account.delivered) == (3, 2), account
    assert router.age_s < 60
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
early.decide(features)
router.close()
assert (router.account.made, router.account.delivered) == (2, 2), router.account
"""


def test_a_forked_worker_logs_and_reports_and_ends_like_any_process(place: Place, tmp_path: Path) -> None:
    config, before = tmp_path / "ol0.json", place.records()
    config.write_text(place.settings.model_dump_json(include={"kafka", "serving"}))
    command = [sys.executable, "-c", HOST, str(config)]
    host = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN_S, check=False, env=os.environ)
    assert (host.returncode, host.stdout) == (0, ""), host.stderr
    assert place.records() == before + 4
