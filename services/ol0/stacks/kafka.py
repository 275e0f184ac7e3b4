import base64
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ol0.errors import StackError
from ol0.stacks.binaries import java
from ol0.stacks.jars import kafka_jars
from ol0.stacks.ports import LOOPBACK, free_ports
from ol0.stacks.readiness import kafka_answers, last_lines, wait_ready
from ol0.supervisor.guard import GuardedProcess

READY_TIMEOUT_S = 180.0  # 2 s on an idle machine; beside everything else that restarts after kill -9, 60 were too few
STOP_GRACE_S = 10.0
LARGEST_RECORD_BYTES = 8 * 1024 * 1024  # a candidate checkpoint travels in one record

# The numbers that differ from Kafka's own defaults, and why. Everything else is the default, timestamps included.
SETTINGS = {
    # Every node has both roles.
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "controlled.shutdown.enable": "false",  # there is no other broker to hand partitions to
    # A restarted broker is refused until the session of the one before it has expired: at the default of 9 s a restart
    # takes 13 s, at 2 s it takes 4 s. A pause of more than 2 s fences the broker until its next heartbeat, no more.
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "500",
    # A misspelt topic is an error.
    "auto.create.topics.enable": "false",
    "min.insync.replicas": "1",
    # The first commit and the first transaction wait until these exist: few partitions, short wait.
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    # A consumer that is alone need not wait for others, and a test may declare one dead after a second.
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    # Abandoned transactions are looked for this often; at the default of 10 s a killed writer holds back its readers
    # for up to three times its transaction.timeout.ms of 5 s.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    "message.max.bytes": str(LARGEST_RECORD_BYTES),
    "replica.fetch.max.bytes": str(LARGEST_RECORD_BYTES),
    # Sized for two cores and a small heap (the cleaner alone asks for 128 MB by default).
    "num.network.threads": "2",
    "num.io.threads": "4",
    "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
}


MOST_REPLICAS = 3


@dataclass(frozen=True)
class Cluster:
    """The nodes of a Kafka cluster, on the loopback address: where clients and where controllers connect.

    Attributes:
        cluster_id: what every node's data folder is formatted with.
        ports: for clients, one a node.
        controller_ports: the same for the quorum.
    """

    cluster_id: str
    ports: Sequence[int]
    controller_ports: Sequence[int]

    @classmethod
    def of(cls, nodes: int) -> "Cluster":
        """So many nodes, on ports that are free.

        Raises:
            StackError: hardly a port is free.
        """
        ports = free_ports(2 * nodes)
        return cls(_new_cluster_id(), ports[:nodes], ports[nodes:])

    @property
    def bootstrap_servers(self) -> str:
        """Every node's ``host:port``."""
        return ",".join(f"{LOOPBACK}:{port}" for port in self.ports)

    def settings(self, node: int) -> Mapping[str, str]:
        """What makes a node one of this cluster; nodes are counted from 0."""
        client = f"PLAINTEXT://{LOOPBACK}:{self.ports[node]}"
        replicas = str(min(len(self.ports), MOST_REPLICAS))
        topics = ("default", "offsets.topic", "transaction.state.log", "share.coordinator.state.topic")
        return {
            "node.id": str(node + 1),
            "listeners": f"{client},CONTROLLER://{LOOPBACK}:{self.controller_ports[node]}",
            "advertised.listeners": client,
            "controller.quorum.voters": ",".join(
                f"{number}@{LOOPBACK}:{port}" for number, port in enumerate(self.controller_ports, 1)
            ),
            "transaction.state.log.min.isr": "1" if replicas == "1" else "2",
            **{f"{topic}.replication.factor": replicas for topic in topics},
        }


class Kafka:
    """One node of Kafka 4.3.1 (KRaft) as a child process, on the loopback address only. Keeps its ports and data.

    Args:
        root: the folder for data, settings and log.
        cluster: what it is a part of.
        node: which one, counted from 0.
        heap_mb: its largest heap.
        cache: where the jars are kept; the user's cache folder when None.
        settings: of Kafka's own, over those that every node has.
    """

    def __init__(
        self,
        root: Path,
        cluster: Cluster,
        node: int = 0,
        *,
        heap_mb: int,
        cache: Path | None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._root = root
        self._cluster, self._node = cluster, node
        self._settings = {**SETTINGS, **(settings or {})}
        self._heap_mb = heap_mb
        self._cache = cache
        self._process: GuardedProcess | None = None

    @property
    def port(self) -> int:
        """Where clients connect."""
        return self._cluster.ports[self._node]

    @property
    def data(self) -> Path:
        """Where its logs lie."""
        return self._root / "data"

    @property
    def log(self) -> Path:
        """The broker's log."""
        return self._root / "kafka.log"

    @property
    def pid(self) -> int:
        """The broker's process id; it must have been started."""
        assert self._process is not None, "Kafka has not been started"
        return self._process.pid

    def start(self) -> None:
        """Start the broker on its data, which is made at the first start. Returns when topics can be created.

        A node without a quorum is not ready: start several at the same time.

        Raises:
            StackError: It did not come up, or its jars cannot be had.
        """
        java_command = self._java_command()
        settings = self._write_settings()
        if not (self.data / "meta.properties").exists():
            self._format(java_command, settings)
        self._process = GuardedProcess.start([*java_command, "kafka.Kafka", str(settings)], log=self.log)
        wait_ready("Kafka", self._process, lambda: kafka_answers(self.port), self.log, READY_TIMEOUT_S)

    def stop(self) -> None:
        """End the broker, if it runs."""
        if self._process is not None:
            self._process.stop(STOP_GRACE_S)

    def _format(self, java_command: list[str], settings: Path) -> None:
        options = ["--cluster-id", self._cluster.cluster_id, "--config", str(settings)]
        tool = ["kafka.tools.StorageTool", "format", *options]
        exit_code = GuardedProcess.start([*java_command, *tool], log=self.log).wait_or_kill(READY_TIMEOUT_S)
        if exit_code != 0:
            raise StackError(f"Kafka's data folder {self.data} cannot be formatted. {last_lines(self.log)}")

    def _java_command(self) -> list[str]:
        return [
            str(java()),
            f"-Xmx{self._heap_mb}m",
            "-XX:+UseSerialGC",  # starts fastest, and G1 gains nothing at this heap on two cores
            "-Djava.net.preferIPv4Stack=true",
            f"-XX:ErrorFile={self._root}/jvm-crash-%p.log",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSS",
            "-cp",
            ":".join(map(str, kafka_jars(self._cache))),
        ]

    def _write_settings(self) -> Path:
        settings = {**self._settings, **self._cluster.settings(self._node), "log.dirs": str(self.data)}
        path = self._root / "server.properties"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        return path


def _new_cluster_id() -> str:
    """16 random bytes in URL-safe base64, as Kafka makes them; the first is 0, so that none begins with a dash."""
    return base64.urlsafe_b64encode(b"\0" + secrets.token_bytes(15)).decode().rstrip("=")
