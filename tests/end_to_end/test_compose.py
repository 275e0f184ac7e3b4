import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydantic import SecretStr

from ol0.config import KafkaConfig, RedisConfig, ServingConfig, Settings
from ol0.kafka.lineage import Lineage
from ol0.kafka.topic_readers.compacted_reader import CompactedReader
from ol0.kafka.topic_readers.log_reader import LogReader
from ol0.operator.setup.prompts import read_prompts
from ol0.records import DecisionId, Outcome
from ol0.sdk.router import Router
from ol0.stacks.ports import free_ports
from ol0.supervisor.service_commands import SERVICES
from support.docker_engine import docker, published_ports, require_docker
from testbed.waiting import wait_until

COMPOSE_FILE = Path(__file__).parents[2] / "docker-compose.yml"
ONE_SHOTS = ("topics", "warmup")
RELEASE_S = OUTCOME_S = RESTART_S = 60.0
KILL_9 = "import os; os.kill(-1, 9)"  # everything in the container but process 1, which is Docker's init

pytestmark = [pytest.mark.docker, pytest.mark.slow]


@dataclass(frozen=True)
class Compose:
    """The stack of docker-compose.yml under a name and a port of its own, with windows of two seconds."""

    project: str = field(default_factory=lambda: f"ol0-test-{uuid.uuid4().hex[:8]}")
    port: int = field(default_factory=lambda: free_ports(1)[0])
    redis_port: int = field(default_factory=lambda: free_ports(1)[0])

    def run(self, *words: str) -> str:
        return docker(*self.command(*words), environment=self.environment)

    def command(self, *words: str) -> list[str]:
        return ["compose", "--project-name", self.project, "--file", str(COMPOSE_FILE), *words]

    @property
    def environment(self) -> Mapping[str, str]:
        return {
            **os.environ,
            "OL0_KAFKA_PORT": str(self.port),
            "OL0_REDIS_PORT": str(self.redis_port),
            "OL0_STREAMING__REWARD_WINDOW_S": "2",
            "OL0_STREAMING__ALLOWED_LATENESS_S": "0.5",
        }

    @property
    def settings(self) -> Settings:
        """As a host application outside of Docker has them."""
        redis = RedisConfig(url=SecretStr(f"redis://localhost:{self.redis_port}/0"))
        keys = ServingConfig(arm_key=SecretStr("of a test"), user_key=SecretStr("of a test"))
        return Settings(kafka=KafkaConfig(bootstrap_servers=f"localhost:{self.port}"), redis=redis, serving=keys)

    def container(self, service: str) -> str:
        return self.run("--profile", "*", "ps", "--all", "--quiet", service).strip()

    def inspect(self, service: str, what: str) -> str:
        return docker("inspect", "--format", f"{{{{{what}}}}}", self.container(service)).strip()

    def kill_9(self, service: str) -> None:
        """From inside: after ``docker kill`` no restart policy applies, for then somebody wanted it to be down."""
        words = self.command("exec", "-T", service, "python", "-c", KILL_9)
        subprocess.run(["docker", *words], env=self.environment, capture_output=True, check=False)  # dies with the rest

    def left(self) -> str:
        """Containers, volumes and networks of the project."""
        mine = f"label=com.docker.compose.project={self.project}"
        lists = (["ps", "--all"], ["volume", "ls"], ["network", "ls"])
        return "".join(docker(*words, "--quiet", "--filter", mine) for words in lists)

    def show_logs(self) -> None:
        sys.stderr.write(self.run("logs", "--no-color", "--tail", "40"))


@pytest.fixture(scope="module")
def stack() -> Iterator[Compose]:
    require_docker()
    compose = Compose()
    try:
        compose.run("up", "--build", "--wait", "--wait-timeout", "180")
    except BaseException:
        compose.show_logs()
        raise
    else:
        yield compose
    finally:
        compose.run("--profile", "soak", "down", "--volumes")


@pytest.fixture
def compose(stack: Compose) -> Iterator[Compose]:
    """The same, with logs: pytest shows them where the test fails."""
    yield stack
    stack.show_logs()


def thumb_outcomes(settings: Settings, thumbs: Sequence[int | None]) -> dict[DecisionId, tuple[int | None, Outcome]]:
    """Decides once for every thumb, gives it where there is one, and waits for what becomes of the decisions."""
    prompts, _ = read_prompts(None)
    given: dict[DecisionId, int | None] = {}
    with Router.open(settings) as router:
        for number, thumb in enumerate(thumbs):
            session = f"session-{uuid.uuid4()}"
            with router.prompt(session, user=f"user-{number}") as prompt:
                choice = prompt.decide(prompts.features[number])
            if thumb is not None:
                assert router.report(choice.decision_id, session, thumb=thumb)
            given[choice.decision_id] = thumb
    return {one.decision_id: (given[one.decision_id], one) for one in outcomes_of(settings, given)}


def outcomes_of(settings: Settings, decisions: Mapping[DecisionId, int | None]) -> list[Outcome]:
    """The outcomes of these decisions, each as often as it stands on the topic, once there is one for each."""
    follower, found = LogReader(settings, ["outcomes"]), list[Outcome]()

    def complete() -> bool:
        records = (record for _, record, _ in follower.poll())
        found.extend(one for one in records if isinstance(one, Outcome) and one.decision_id in decisions)
        return {one.decision_id for one in found} == decisions.keys()

    try:
        wait_until(complete, OUTCOME_S)
    finally:
        follower.close()
    return found


def wait_for_release(settings: Settings) -> None:
    with CompactedReader("releases", Lineage.of(settings.kafka)) as reader:
        wait_until(lambda: reader.poll(0.2), RELEASE_S)


def reward_of(thumb: int | None) -> float | None:
    return None if thumb is None else (thumb + 1) / 2


def test_every_service_is_healthy_and_the_one_shots_ended_well(compose: Compose) -> None:
    assert {name: compose.inspect(name, ".State.Health.Status") for name in SERVICES} == dict.fromkeys(
        SERVICES, "healthy"
    )
    assert {compose.inspect(name, ".State.ExitCode") for name in ONE_SHOTS} == {"0"}


def test_a_thumb_from_outside_becomes_the_reward_of_its_decision(compose: Compose) -> None:
    wait_for_release(compose.settings)
    results = thumb_outcomes(compose.settings, [1, -1, None, 1, -1, None]).values()
    assert [outcome.reward for _, outcome in results] == [reward_of(thumb) for thumb, _ in results]
    assert {reward_of(thumb) for thumb, _ in results} == {1.0, 0.0, None}


def test_a_service_that_was_killed_comes_back_by_itself_and_goes_on(compose: Compose) -> None:
    wait_for_release(compose.settings)
    before = int(compose.inspect("feedback", ".RestartCount"))
    compose.kill_9("feedback")
    wait_until(lambda: int(compose.inspect("feedback", ".RestartCount")) == before + 1, RESTART_S)
    wait_until(lambda: compose.inspect("feedback", ".State.Health.Status") == "healthy", RESTART_S)
    results = thumb_outcomes(compose.settings, [1, -1]).values()
    assert sorted(str(outcome.reward) for _, outcome in results) == ["0.0", "1.0"]


def test_only_kafka_can_be_reached_from_the_host_and_only_by_its_loopback_address(compose: Compose) -> None:
    ports = {name: published_ports(compose.container(name)) for name in (*SERVICES, "valkey", "kafka")}
    assert ports.pop("kafka") == [f"127.0.0.1:{compose.port}"]
    assert ports.pop("valkey") == [f"127.0.0.1:{compose.redis_port}"]
    assert not any(ports.values())


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_no_rights_to_speak_of(compose: Compose, service: str) -> None:
    assert compose.inspect(service, ".Config.User") == "10001"
    assert compose.inspect(service, ".HostConfig.ReadonlyRootfs") == "true"
    assert json.loads(compose.inspect(service, "json .HostConfig.CapDrop")) == ["ALL"]


def test_a_soak_kills_every_service_of_its_own_and_leaves_its_report_in_a_volume(
    compose: Compose, tmp_path: Path
) -> None:
    # Given a day that is a quarter of an hour, at 60 to 1
    short = {"OL0_SOAK_HOURS": "0.25", "OL0_SOAK_TIME_SCALE": "60", "OL0_SOAK_RATE": "60"}
    words = compose.command("--profile", "soak", "up", "--build", "--no-deps", "--exit-code-from", "soak", "soak")
    # When it is run beside the stack, on its servers
    environment = {**compose.environment, **short}
    done = subprocess.run(["docker", *words], env=environment, capture_output=True, text=True, check=False, timeout=280)
    sys.stderr.write(done.stdout[-8_000:] + done.stderr[-2_000:])
    compose.run("--profile", "soak", "cp", "soak:/data/run/.", str(tmp_path))
    # Then every record is accounted for, whether or not so short a run has proven anything
    report = json.loads((tmp_path / "report.json").read_text())
    assert (done.returncode, report["verdict"]) in {(0, "passed"), (3, "not proven")}
    assert report["reconciliation"]["decisions"] == report["reconciliation"]["outcomes_read"] == 900
    assert {fault["fault"] for fault in report["faults"]} == {f"kill -9 of {name}" for name in SERVICES}
    assert (tmp_path / "report.html").read_text().startswith("<!DOCTYPE html>")
    # And it had no more rights than a service, and limits
    assert compose.inspect("soak", ".Config.User") == "10001"
    assert compose.inspect("soak", ".HostConfig.ReadonlyRootfs") == "true"
    assert json.loads(compose.inspect("soak", "json .HostConfig.CapDrop")) == ["ALL"]
    assert int(compose.inspect("soak", ".HostConfig.Memory")) == 3 * 1024**3
    assert int(compose.inspect("soak", ".HostConfig.PidsLimit")) == 512


def test_down_leaves_nothing(compose: Compose) -> None:
    """The last one: it takes the stack away."""
    assert compose.left()
    compose.run("--profile", "soak", "down", "--volumes")
    assert not compose.left()
