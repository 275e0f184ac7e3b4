"""README does what it says, as it stands there: settings, commands and snippets, on servers of one's own."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from confluent_kafka import Producer

from ol0.cli import app
from ol0.clock import wall_clock_ms
from ol0.config import load_settings
from ol0.operator.setup.prompts import read_prompts
from ol0.records import ServingState
from ol0.replay.connection import connect
from ol0.replay.store import ReplayStore
from ol0.stacks.native import NativeStack
from ol0.supervisor.service_commands import SERVICES
from testbed.lineages import Journal
from testbed.processes import Started, ol0
from testbed.waiting import wait_until

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
INLINE = [" ".join(line.split()) for line in re.findall(r"`(?:\.venv/bin/)?(ol0 [^`]+)`", README)]
FENCED = [line for _, text in BLOCKS for line in text.splitlines() if line.startswith("ol0 ")]
ITS_DECISION = "7e0f3c52-6c1b-4f0e-9d1a-1f2e3d4c5b6a"
UP_WITHIN_S = 90.0


def block(language: str, begin: str) -> str:
    """The one block of code that begins so."""
    found: list[str] = [text for name, text in BLOCKS if name == language and text.startswith(begin)]
    assert len(found) == 1, f"{len(found)} blocks begin with {begin!r}"
    return found[0]


def run(line: str) -> str:
    """What a command line of README prints."""
    done = ol0(*shlex.split(line)[1:])
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def clone(stack: NativeStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where README's reader stands, with README's settings; only the addresses are those of this session's servers."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "services").symlink_to(ROOT / "services")
    text = block("toml", "[kafka]").replace("redis://localhost:6379/0", stack.redis_url)
    (tmp_path / "ol0.toml").write_text(text.replace("localhost:9092", stack.bootstrap_servers))
    return tmp_path


@pytest.fixture
def services(clone: Path) -> Iterator[Started]:
    """README's commands, one after the other; the last one goes on."""
    *before, last = block("", "ol0 keys host").splitlines()
    for line in before:
        run(line)
    started = Started(clone, *shlex.split(last)[1:])
    yield started
    started.close()


def decide() -> str:
    """README's host: one prompt, one thumb. Returns the decision that it was about."""
    prompts, _ = read_prompts(None)
    names: dict[str, object] = {
        "features": prompts.features[0],
        "experts": [str.upper] * prompts.success.shape[1],
        "text": "a prompt",
    }
    exec(block("python", "from ol0 import Router"), names)  # noqa: S102 - our own page
    return str(names["choice"].decision_id)  # type: ignore[attr-defined]


def say_by_every_other_way(stack: NativeStack, decision_id: str) -> None:
    """README's command lines, its JSON and its Avro, about this decision."""
    for line in block("", "ol0 send").splitlines():
        run(line.replace(ITS_DECISION, decision_id))
    said = {**json.loads(block("json", "{")), "decision_id": decision_id, "time_ms": wall_clock_ms()}
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
    producer.produce("ol0.feedback.user.v1", json.dumps(said).encode(), key="session-17")
    assert not producer.flush(10)
    avro = block("python", "import io").replace("localhost:9092", stack.bootstrap_servers)
    exec(avro, {"decision_id": decision_id, "now_ms": wall_clock_ms()})  # noqa: S102 - as above


def test_the_services_come_up_take_what_every_snippet_says_and_end_with_sigterm(
    stack: NativeStack, services: Started, clone: Path
) -> None:
    # Given README's commands in its order, until the base serves.
    settings = load_settings(Path("ol0.toml"))
    with Journal(settings, "releases") as journal:
        journal.first(ServingState, within_s=UP_WITHIN_S)
    assert set(services.services()) == set(SERVICES)
    # When its host decides, and feedback comes by each of its five ways.
    say_by_every_other_way(stack, decide())
    # Then all of it waits for the window to close, nothing is a dead letter, and the commands answer.
    store = ReplayStore(connect(settings.redis), settings.kafka.topic_prefix)
    wait_until(lambda: (store.counters().open, store.counters().waiting) == (1, 5), 30)
    assert run("ol0 dlq list --config ol0.toml") == "no dead letters in lineage ol0\n"
    assert "live the base" in run("ol0 status --config ol0.toml")
    # When it is asked to end, then all services end in time, and the command with them.
    services.process.terminate()
    assert services.process.wait(12) == 0
    assert services.errors == ""
    services.wait_until_all_are_gone()
    assert {path.stem for path in (clone / "runs" / "logs").iterdir()} == set(SERVICES)


@pytest.mark.parametrize("line", sorted({*FENCED, *INLINE}))
def test_every_command_that_is_named_is_there_with_its_options(line: str) -> None:
    words, command = shlex.split(line)[1:], typer.main.get_command(app)
    while hasattr(command, "commands"):
        assert words[0] in command.commands, f"no {words[0]!r} among {sorted(command.commands)}"
        command = command.commands[words.pop(0)]
    if words:  # a bare name is no call
        command.make_context(line, words)
