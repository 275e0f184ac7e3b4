"""Servers of other forms than one Valkey with the right settings: a cluster, Sentinel, TLS, a managed one."""

import datetime as dt
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from redis import Redis

from ol0.stacks.binaries import valkey_server
from ol0.stacks.ports import LOOPBACK, free_ports
from ol0.stacks.readiness import valkey_answers, wait_ready
from ol0.supervisor.guard import GuardedProcess
from testbed.waiting import wait_until

READY_S = 60.0
RIGHT = (
    "--repl-diskless-sync-delay",
    "0",
    "--appendonly",
    "yes",
    "--maxmemory",
    "200mb",
    "--maxmemory-policy",
    "noeviction",
)


class StoreServer:
    """A ``valkey-server`` with options of the test's; ended with its context."""

    def __init__(self, folder: Path, *options: str) -> None:
        (self.port,) = free_ports(1)
        folder.mkdir(parents=True, exist_ok=True)
        fixed = ("--bind", LOOPBACK, "--port", str(self.port), "--dir", str(folder), "--save", "")
        self._argv, self._log = [str(valkey_server()), *options, *fixed], folder / "log"
        self.client: Redis = Redis(port=self.port, decode_responses=True)

    @property
    def url(self) -> str:
        return f"redis://{LOOPBACK}:{self.port}/0"

    def ask(self, *words: object) -> Any:  # noqa: ANN401 - whatever it answers
        """A command that the client has no method for."""
        return self.client.execute_command(*words)  # type: ignore[no-untyped-call]

    def __enter__(self) -> Self:
        self._process = GuardedProcess.start(self._argv, log=self._log)
        try:
            wait_ready("the store", self._process, lambda: valkey_answers(self.port), self._log, READY_S)
        except BaseException:
            self._process.stop(0)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self._process.stop(0)


@contextmanager
def cluster_of_two(folder: Path) -> Iterator[tuple[StoreServer, StoreServer]]:
    """Two nodes, each with half of the slots."""
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000", *RIGHT)
    # By itself a node's bus takes its port + 10,000, which any client's connection may have by now.
    buses = [("--cluster-port", str(port)) for port in free_ports(2)]
    with (
        StoreServer(folder / "a", *options, *buses[0]) as first,
        StoreServer(folder / "b", *options, *buses[1]) as second,
    ):
        first.ask("CLUSTER", "ADDSLOTSRANGE", 0, 8191)
        second.ask("CLUSTER", "ADDSLOTSRANGE", 8192, 16383)
        first.ask("CLUSTER", "MEET", LOOPBACK, second.port, buses[1][1])
        nodes = (first, second)
        wait_until(lambda: all("cluster_state:ok" in _cluster_info(node) for node in nodes), READY_S)
        yield nodes


def move_slot(slot: int, source: StoreServer, target: StoreServer) -> None:
    """The whole slot with its keys, as an operator who reshards does it."""
    names = {node: node.ask("CLUSTER", "MYID") for node in (source, target)}
    target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", names[source])
    source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", names[target])
    keys = source.ask("CLUSTER", "GETKEYSINSLOT", slot, 100)
    source.ask("MIGRATE", LOOPBACK, target.port, "", 0, 5_000, "KEYS", *keys)
    for node in (target, source):
        node.ask("CLUSTER", "SETSLOT", slot, "NODE", names[target])


def _cluster_info(node: StoreServer) -> str:
    return str(node.ask("CLUSTER", "INFO"))


@contextmanager
def sentinel_of(folder: Path, master: StoreServer) -> Iterator[StoreServer]:
    """A sentinel that watches ``master``, which it calls ``main``."""
    folder.mkdir(parents=True)
    settings = folder / "sentinel.conf"
    settings.write_text(f"sentinel monitor main {LOOPBACK} {master.port} 1\n")
    with StoreServer(folder, str(settings), "--sentinel") as sentinel:
        yield sentinel


@contextmanager
def behind_tls(folder: Path, server: StoreServer) -> Iterator[tuple[int, Path]]:
    """A port that speaks TLS for a server, and the certificate to trust."""
    certificate, key = _certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server((LOOPBACK, 0)) as listener:
        threading.Thread(target=_serve_tls, args=(listener, context, server.port), daemon=True).start()
        yield listener.getsockname()[1], certificate
        listener.shutdown(socket.SHUT_RDWR)


def _serve_tls(listener: socket.socket, context: ssl.SSLContext, port: int) -> None:
    with suppress(OSError):
        while True:
            accepted, _ = listener.accept()
            threading.Thread(target=_speak_tls, args=(accepted, context, port), daemon=True).start()


def _speak_tls(accepted: socket.socket, context: ssl.SSLContext, port: int) -> None:
    with suppress(OSError):  # a client that does not trust the certificate goes
        outer, inner = context.wrap_socket(accepted, server_side=True), socket.create_connection((LOOPBACK, port))
        threading.Thread(target=_pump, args=(inner, outer), daemon=True).start()
        _pump(outer, inner)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError), source, target:
        while data := source.recv(65_536):
            target.sendall(data)


def _certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "store")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(LOOPBACK))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "store.pem", folder / "store.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption_algorithm=plain)
    )
    return paths
