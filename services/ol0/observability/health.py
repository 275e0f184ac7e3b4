"""/livez, /readyz and /metrics of one process, on a port of its own.

Alive: the loop comes round, so a restart would not help. Ready: that, and all that it needs answers.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from ol0.config import ObservabilityConfig
from ol0.errors import ConfigError, OL0Error
from ol0.observability.metrics import READY

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

STALE_S = 60.0  # a loop that has not come round for a minute hangs: restarting it is safe, so livez says so
LARGEST_PORT = 65_535
FRESH_S = 2.0  # several that ask at once, or in a row, cost one question to broker and store

Probe = Callable[[], None]
"""Asks something that the loop needs. Returns within seconds; raises OL0Error where there is no answer."""


class Heartbeat:
    """The loop beats once a round; the first beat makes the process ready."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: float | None = None
        self._started = clock()

    def beat(self) -> None:
        """One round of the loop is done."""
        self._last = self._clock()

    @property
    def ready(self) -> bool:
        """Whether the loop has come round once and not stopped doing so."""
        return self._last is not None and self.alive

    @property
    def alive(self) -> bool:
        """Whether the loop has come round within the last minute (or the process has just started)."""
        return self._clock() - (self._last or self._started) < STALE_S


class Readiness:
    """Whether the service does its work now: its loop comes round, and what the loop needs answers.

    Args:
        heartbeat: of the loop.
        probes: asked on demand, at most every ``FRESH_S``.
        clock: seconds.
    """

    def __init__(
        self, heartbeat: Heartbeat, probes: Sequence[Probe] = (), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._heartbeat = heartbeat
        self._probes = probes
        self._clock = clock
        self._lock = threading.Lock()
        self._asked: float | None = None
        self._unanswered = ""

    @property
    def obstacle(self) -> str:
        """What is missing, in words; empty: nothing is."""
        if not self._heartbeat.ready:
            return "the loop has not completed a round" + ("" if self._heartbeat.alive else f" within {STALE_S:g} s")
        with self._lock:
            if self._asked is None or self._clock() - self._asked >= FRESH_S:
                self._unanswered = "; ".join(filter(None, map(_ask, self._probes)))
                self._asked = self._clock()
            return self._unanswered


def _ask(probe: Probe) -> str:
    try:
        probe()
    except OL0Error as error:
        return str(error)
    return ""


class HealthApp:
    """The WSGI application behind the three addresses."""

    def __init__(self, heartbeat: Heartbeat, readiness: Readiness, registry: CollectorRegistry) -> None:
        self._heartbeat = heartbeat
        self._readiness = readiness
        self._registry = registry

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answers one request."""
        match environ.get("PATH_INFO"):
            case "/metrics":
                start_response("200 OK", [("Content-Type", CONTENT_TYPE_LATEST)])
                return [generate_latest(self._registry)]
            case "/livez":
                obstacle = "" if self._heartbeat.alive else f"the loop has not completed a round within {STALE_S:g} s"
            case "/readyz":
                obstacle = self._readiness.obstacle
            case _:
                start_response("404 Not Found", [("Content-Type", "text/plain")])
                return [b"there are /metrics, /livez and /readyz\n"]
        start_response("503 Service Unavailable" if obstacle else "200 OK", [("Content-Type", "text/plain")])
        return [f"no: {obstacle}\n".encode() if obstacle else b"yes\n"]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """A probe every few seconds is no news."""


@contextmanager
def serve_health(
    config: ObservabilityConfig, heartbeat: Heartbeat, probes: Sequence[Probe] = ()
) -> Iterator[CollectorRegistry]:
    """Serves the three addresses while the context lasts; port 0 serves nothing.

    Raises:
        ConfigError: the address cannot be served.
    """
    registry, readiness = CollectorRegistry(), Readiness(heartbeat, probes)
    ready = Gauge(READY.name, READY.tells, registry=registry)
    ready.set_function(lambda: float(not readiness.obstacle))
    if not config.port:
        yield registry
        return
    with _server(config, HealthApp(heartbeat, readiness, registry)) as server:
        threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
        try:
            yield registry
        finally:
            server.shutdown()


def check_ports(config: ObservabilityConfig, count: int) -> None:
    """Whether the port and those after it are free, ``count`` in all.

    Raises:
        ConfigError: one is not, or the address is not one of this machine; says which.
    """
    check_address(config, count)
    for port in range(config.port, config.port + count) if config.port else ():
        _bind(config.host, port)


def check_address(config: ObservabilityConfig, count: int) -> None:
    """Whether there are so many ports from there on, on an address of this machine; they may be in use.

    Raises:
        ConfigError: there are not.
    """
    if config.port + count - 1 > LARGEST_PORT:
        raise ConfigError(f"observability.port {config.port}: {count} ports from there on end after {LARGEST_PORT}")
    if config.port:
        _bind(config.host, 0)


def _bind(host: str, port: int) -> None:
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
        try:
            one.bind((host, port))
        except OSError as error:
            raise _unusable(host, port, error) from None


def _server(config: ObservabilityConfig, app: HealthApp) -> WSGIServer:
    try:
        return make_server(config.host, config.port, app, server_class=_Server, handler_class=_Quiet)
    except OSError as error:
        raise _unusable(config.host, config.port, error) from None


def _unusable(host: str, port: int, error: OSError) -> ConfigError:
    return ConfigError(
        f"observability.host {host}, observability.port {port}: {error.strerror}; the host has to be an address of "
        "this machine, and the port free: each service needs its own (`ol0 run` takes six in a row), or 0 for none"
    )
