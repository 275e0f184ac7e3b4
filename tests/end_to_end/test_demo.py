"""``ol0 demo`` and ``ol0 run`` as a person starts them, and everything that may happen to them."""

import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ol0.supervisor.service_commands import SERVICES
from testbed.processes import Started, ol0
from testbed.waiting import wait_until

UP_WITHIN_S = 90.0
ENDS_WITHIN_S = 200.0
USERS_ASK = "Users start to send prompts."
INTERRUPTED = 130
NOT_PROVEN = 3
READERS = tuple(name for name in SERVICES if name != "learner")
DECISIONS = 3_000
RATE = 30
"""Decisions a second: for 100 s, in which six services die and come back one by one on a busy machine, too."""

Start = Callable[..., Started]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts ``ol0 ...`` in the background; whatever it leaves behind is killed when the test is over."""
    started: list[Started] = []

    def one(*arguments: str | Path) -> Started:
        started.append(Started(tmp_path, *arguments))
        return started[-1]

    yield one
    for command in started:
        command.close()


def start_demo(start: Start, decisions: int, out: Path, rate: int = 180) -> Started:
    """A demo whose users have begun to ask, with everything that belongs to it."""
    demo = start("demo", "--decisions", str(decisions), "--rate", str(rate), "--out", out)
    demo.wait_for_output(USERS_ASK, UP_WITHIN_S)
    commands = demo.look().values()
    assert set(demo.services()) == set(SERVICES)
    assert any("kafka.Kafka" in command and "guardian.py" not in command for command in commands)
    assert any("valkey-server" in command and "guardian.py" not in command for command in commands)
    assert sum("guardian.py" in command for command in commands) == len(SERVICES) + 2
    return demo


def kill_each_service_once(demo: Started) -> None:
    """``kill -9``, one after the other, each as soon as the one before it was started again."""
    for name in SERVICES:
        before = demo.services()
        os.kill(before[name], signal.SIGKILL)
        wait_until(lambda name=name, old=before[name]: demo.services().get(name, old) != old, 30)  # type: ignore[misc]


def decisions_made(demo: Started) -> int:
    """What the demo last said of it."""
    said: list[str] = re.findall(r"([\d,]+) of [\d,]+ decisions made", demo.output)
    return int(said[-1].replace(",", "")) if said else 0


@pytest.mark.slow
def test_a_demo_loses_nothing_when_every_service_is_killed_once(start: Start, tmp_path: Path) -> None:
    # Given a demo whose users are in the middle of their work.
    demo, out = start_demo(start, DECISIONS, tmp_path / "out", RATE), tmp_path / "out"
    wait_until(lambda: decisions_made(demo) > DECISIONS / 10, UP_WITHIN_S)
    # When every service is killed.
    kill_each_service_once(demo)
    # Then all are back while users still ask, status answers, and of the 3,000 decisions every record is accounted for.
    assert ol0("status", "--config", out / "ol0.json").returncode == 0
    wait_until(lambda: all(times_at_work(out / "logs" / f"{name}.log") == 2 for name in READERS), UP_WITHIN_S)
    assert decisions_made(demo) < DECISIONS
    wait_until(lambda: demo.process.poll() is not None, ENDS_WITHIN_S)
    report = json.loads((out / "report.json").read_text())
    assert report["reasons"] == [], demo.output
    # So few seldom prove a lift, which is said before they are made, and is no failure.
    assert "3,000 decisions are few" in demo.output
    assert (report["verdict"], demo.process.returncode) in {("passed", 0), ("not proven", NOT_PROVEN)}
    assert report["restarts"] == dict.fromkeys(SERVICES, 1)
    check_sums(report["reconciliation"])
    assert (out / "report.html").stat().st_size > 0
    demo.wait_until_all_are_gone()


def times_at_work(log: Path) -> int:
    """How often a service has said that it begins to read its sources; the learner reads none."""
    return len(re.findall(r'"event": "(?:open|assigned)"', log.read_text()))


def check_sums(account: dict[str, int | dict[str, int]]) -> None:
    """The equations of the design, from the figures as a reader of the report finds them."""
    count = {name: sum(value.values()) if isinstance(value, dict) else value for name, value in account.items()}
    assert count["decisions"] == DECISIONS == count["outcomes"] + count["decisions_dropped"]
    assert count["outcomes"] == count["examples"] + count["null_rewards"] == count["outcomes_read"]
    assert count["feedback"] == count["feedback_used"] + count["feedback_dropped"]
    assert count["feedback_used"] >= count["examples"] > 2_000


@pytest.mark.slow
def test_ctrl_c_ends_a_demo_and_everything_that_it_started(start: Start, tmp_path: Path) -> None:
    # Given a demo whose users ask.
    demo = start_demo(start, 100_000, tmp_path / "out")
    # When somebody presses Ctrl-C, which a terminal sends to the whole process group.
    os.killpg(demo.process.pid, signal.SIGINT)
    # Then it says so in one line, and nothing of it is left.
    assert demo.process.wait(30) == INTERRUPTED
    assert demo.errors == "ol0: interrupted; all processes that it started have stopped\n"
    demo.wait_until_all_are_gone()


@pytest.mark.slow
def test_a_demo_that_is_killed_leaves_nothing_behind(start: Start, tmp_path: Path) -> None:
    # Given a demo whose users ask.
    demo = start_demo(start, 100_000, tmp_path / "out")
    # When it is killed, without a chance to clean up.
    demo.process.kill()
    # Then nothing of it is left.
    demo.wait_until_all_are_gone()
