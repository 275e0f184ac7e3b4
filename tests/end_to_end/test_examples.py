"""The hosts of examples/ run as they say, on a real broker, and everything that they send arrives."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from ol0.records import Decision, Feedback, ToolFeedback, UserFeedback
from ol0.stacks.native import NativeStack
from ol0.stacks.ports import free_ports
from testbed.lineages import Journal, Place, bring_in
from testbed.waiting import wait_until

EXAMPLES = Path(__file__).parents[2] / "examples"
TOPICS = ("decisions", "feedback.user", "feedback.tool")
UP_WITHIN_S = 30.0


@pytest.fixture
def place(stack: NativeStack, tmp_path: Path) -> Place:
    """A lineage whose hosts serve the base file: nothing was released yet."""
    return bring_in(stack, tmp_path, {})


def command_of(example: str, place: Place) -> list[str]:
    """Its second line of words, with this lineage's settings, from where a reader stands."""
    (line,) = re.findall(r"^Run it: (.*)$", (EXAMPLES / example).read_text(), re.MULTILINE)
    words = shlex.split(line.rpartition("| ")[2].replace("ol0.toml", str(place.config)))
    here = {"python": [sys.executable], "uvicorn": [sys.executable, "-m", "uvicorn"]}
    return ["env", *(part for word in words for part in here.get(word, [word]))]


def run(example: str, place: Place, given: str = "") -> str:
    done = subprocess.run(
        command_of(example, place),
        input=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=EXAMPLES.parent,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def arrived(place: Place, decisions: int, feedback: int, kind: type[Feedback]) -> None:
    """So many decisions, and feedback about each of them."""
    with Journal(place.settings, *TOPICS) as journal:
        made = journal.at_least(decisions, Decision)
        said = journal.at_least(feedback, kind)
    assert len(made) == decisions
    assert {one.decision_id for one in said} == {one.decision_id for one in made}


@pytest.mark.parametrize("example", ["minimal.py", "torch_host.py"])
def test_a_host_of_lines_decides_and_reports(example: str, place: Place) -> None:
    told = run(example, place, "why does my disk spin up\nand how do I stop it\n")
    assert re.fullmatch(r"expert \d answers: why .*\nexpert \d answers: and .*\n4 records delivered, 0 lost\n", told)
    arrived(place, 2, 2, UserFeedback)


def test_the_host_on_an_event_loop_serves_all_its_sessions(place: Place) -> None:
    assert run("asyncio_host.py", place) == "800 records delivered, 0 lost\n"
    arrived(place, 400, 400, ToolFeedback)


def ask(url: str, body: dict[str, object] | None = None) -> bytes:
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(url, data, {"Content-Type": "application/json"}), timeout=10) as answer:  # noqa: S310 - ours
        return bytes(answer.read())


@pytest.fixture
def service(place: Place, tmp_path: Path) -> Iterator[str]:
    """The web service, from its first answer on until it has sent everything; its address."""
    port = free_ports(1)[0]
    command = [*command_of("fastapi_host.py", place), "--port", str(port)]
    with (tmp_path / "log.txt").open("w") as log:
        process = subprocess.Popen(command, cwd=EXAMPLES.parent, stdout=log, stderr=log)
    try:
        wait_until(lambda: "Uvicorn running" in (tmp_path / "log.txt").read_text(), UP_WITHIN_S)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def test_the_web_service_decides_passes_thumbs_on_and_shows_its_figures(service: str, place: Place) -> None:
    who: dict[str, object] = {"session": "s", "user": "ann"}
    chosen = json.loads(ask(f"{service}/ask", {**who, "text": "why does my disk spin up"}))
    assert json.loads(ask(f"{service}/thumb", {**who, "decision": chosen["decision"], "thumb": 1})) == {"sent": True}
    arrived(place, 1, 1, UserFeedback)
    wait_until(lambda: b"ol0_sdk_delivered_total 2.0" in ask(f"{service}/metrics"), UP_WITHIN_S)
