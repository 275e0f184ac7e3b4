"""README does what it says, as it stands there: settings, commands and snippets, on servers of one's own.

Of the other pages, every command that they name is there; what they show as code is run by tests of their own.
"""

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")]
PAGES += sorted((ROOT / "docs").glob("*.md"))
README, *_ = TEXTS = [page.read_text(encoding="utf-8") for page in PAGES]
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
COMMANDS = {
    " ".join(line.split())
    for text in TEXTS
    for line in [*re.findall(r"`(?:\.venv/bin/)?(ol0 [^`]+)`", text), *re.findall(r"^(ol0 .*)$", text, re.MULTILINE)]
}
TARGETS = {name for text in TEXTS for name in re.findall(r"(?:`|^)make ([\w-]+)", text, re.MULTILINE)}
LOOKS = {
    "ol0 report": "not known yet; 0 sessions",
    "ol0 releases list": "offered -> live",
    "ol0 replay stats": "decisions         1: 0 outcomes",
    "ol0 trace ID": "Not published yet.",
    "ol0 dlq replay": "no dead letters",
}
"""Commands that only look, and words of what they print while the first window is open."""
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
    decision_id = decide()
    say_by_every_other_way(stack, decision_id)
    # Then all of it waits for the window to close, nothing is a dead letter, and the commands answer.
    store = ReplayStore(connect(settings.redis), settings.kafka.topic_prefix)
    wait_until(lambda: (store.counters().open, store.counters().waiting) == (1, 5), 30)
    assert run("ol0 dlq list --config ol0.toml") == "no dead letters in lineage ol0\n"
    assert "live the base" in run("ol0 status --config ol0.toml")
    assert [line for line in LOOKS if f"`{line}`" not in README] == []
    with ThreadPoolExecutor() as pool:  # most of them wait
        found = list(pool.map(run, (f"{line.replace('ID', decision_id)} --config ol0.toml" for line in LOOKS)))
    assert [told in text for told, text in zip(LOOKS.values(), found, strict=True)] == [True] * len(LOOKS)
    # When it is asked to end, then all services end in time, and the command with them.
    services.process.terminate()
    assert services.process.wait(12) == 0
    assert services.errors == ""
    services.wait_until_all_are_gone()
    assert {path.stem for path in (clone / "runs" / "logs").iterdir()} == set(SERVICES)


@pytest.mark.parametrize("line", sorted(COMMANDS))
def test_every_command_that_is_named_is_there_with_its_options(line: str) -> None:
    words, command = shlex.split(line)[1:], typer.main.get_command(app)
    while words and hasattr(command, "commands"):
        assert words[0] in command.commands, f"no {words[0]!r} among {sorted(command.commands)}"
        command = command.commands[words.pop(0)]
    takers = {name for it in command.params for name in it.opts if not getattr(it, "is_flag", True)}
    if words and words[-1] in takers:  # an option that a sentence is about
        words.append("VALUE")
    if words and words != ["--help"]:  # a bare name is no call
        command.make_context(line, words)


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_every_target_of_make_that_is_named_is_there(target: str) -> None:
    done = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
