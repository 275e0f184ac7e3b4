"""Kafka and Valkey as containers, through testcontainers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Self

from docker.errors import DockerException
from requests.exceptions import RequestException
from testcontainers.core.container import DockerContainer

from ol0.errors import StackError
from ol0.stacks.ports import LOOPBACK, free_ports
from ol0.stacks.readiness import kafka_answers, valkey_answers
from ol0.stacks.stack import STORE_BYTES

KAFKA_IMAGE = "apache/kafka:4.3.1"
VALKEY_IMAGE = "valkey/valkey:9.1"
READY_S = 60.0
LOOK_EVERY_S = 0.1


def kafka_container(port: int) -> DockerContainer:
    """One broker that is its own controller.

    It has two addresses: clients outside know it by the host's port, and it knows itself (it writes the markers that
    end transactions to itself, as a client) by one that exists inside.
    """
    settings = {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_LISTENERS": "INTERNAL://:29092,EXTERNAL://:9092,CONTROLLER://:9093",
        "KAFKA_ADVERTISED_LISTENERS": f"INTERNAL://localhost:29092,EXTERNAL://{LOOPBACK}:{port}",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "INTERNAL:PLAINTEXT,EXTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "KAFKA_INTER_BROKER_LISTENER_NAME": "INTERNAL",
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
        "KAFKA_MESSAGE_MAX_BYTES": str(8 * 1024 * 1024),
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "KAFKA_HEAP_OPTS": "-Xmx512m",
    }
    return _bound(DockerContainer(KAFKA_IMAGE).with_envs(**settings), 9092, port)


def valkey_container(port: int) -> DockerContainer:
    """With the settings that the replay store asks for."""
    # Without a password it would refuse clients from outside the container; its port is on the loopback address.
    memory = f"--maxmemory {STORE_BYTES} --maxmemory-policy noeviction"
    options = f'--protected-mode no --appendonly yes {memory} --save ""'
    return _bound(DockerContainer(VALKEY_IMAGE).with_command(f"valkey-server {options}"), 6379, port)


def _bound(container: DockerContainer, inside: int, outside: int) -> DockerContainer:
    """On the loopback address only: docker-py takes a pair here, which testcontainers' signature does not know."""
    container.ports[f"{inside}/tcp"] = (LOOPBACK, outside)  # type: ignore[assignment]
    return container


class ContainerStack:
    """Implements ``Stack``. The containers keep their data themselves, until ``stop``.

    Raises:
        StackError: Docker does not answer.
    """

    def __init__(self, _root: Path) -> None:
        self._kafka_port, self._redis_port = free_ports(2)
        with _docker_errors():  # a container asks the engine already when it is made
            self._kafka = kafka_container(self._kafka_port)
            self._valkey = valkey_container(self._redis_port)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    @property
    def bootstrap_servers(self) -> str:
        """Kafka's ``host:port``."""
        return f"{LOOPBACK}:{self._kafka_port}"

    @property
    def redis_url(self) -> str:
        """The store's URL."""
        return f"redis://{LOOPBACK}:{self._redis_port}/0"

    def start(self) -> None:
        """Starts both and waits until they answer; removes them where one does not."""
        try:
            with _docker_errors():
                self._valkey.start()
                self._kafka.start()
                self._wait_for_redis()
                self._wait_for_kafka()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stops and removes both."""
        with _docker_errors():
            for container in (self._kafka, self._valkey):
                container.stop()

    def _wait_for_kafka(self) -> None:
        _wait("Kafka", self._kafka, lambda: kafka_answers(self._kafka_port))

    def _wait_for_redis(self) -> None:
        _wait("Valkey", self._valkey, lambda: valkey_answers(self._redis_port))


@contextmanager
def _docker_errors() -> Iterator[None]:
    """What Docker's client raises, and what it lets through when the engine hangs up, in words."""
    try:
        yield
    except (DockerException, RequestException) as error:
        raise StackError(
            f"Docker refuses: {error}; is the engine up (`docker info`)? `--stack native` works without Docker"
        ) from error


def _wait(name: str, container: DockerContainer, answers: Callable[[], bool]) -> None:
    deadline_s = monotonic() + READY_S
    while not answers():
        if monotonic() > deadline_s:
            out, error = container.get_logs()
            end = "\n".join((out + error).decode(errors="replace").splitlines()[-20:])
            raise StackError(f"{name} did not answer within {READY_S:g} s. The last lines of its log:\n{end}")
        sleep(LOOK_EVERY_S)
