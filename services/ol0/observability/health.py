"""/livez, /readyz and /metrics of one process, on a port of its own."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from ol0.config import ObservabilityConfig

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

STALE_S = 60.0  # a loop that has not come round for a minute hangs: restarting it is safe, so livez says so


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


class HealthApp:
    """The WSGI application behind the three addresses."""

    def __init__(self, heartbeat: Heartbeat, registry: CollectorRegistry) -> None:
        self._heartbeat = heartbeat
        self._registry = registry

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answers one request."""
        path = environ.get("PATH_INFO", "")
        if path == "/metrics":
            start_response("200 OK", [("Content-Type", CONTENT_TYPE_LATEST)])
            return [generate_latest(self._registry)]
        states = {"/livez": self._heartbeat.alive, "/readyz": self._heartbeat.ready}
        if path not in states:
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"there are /metrics, /livez and /readyz\n"]
        start_response("200 OK" if states[path] else "503 Service Unavailable", [("Content-Type", "text/plain")])
        return [b"yes\n" if states[path] else b"no\n"]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """A probe every few seconds is no news."""


@contextmanager
def serve_health(config: ObservabilityConfig, heartbeat: Heartbeat) -> Iterator[CollectorRegistry]:
    """Serves the three addresses while the context lasts; port 0 serves nothing."""
    registry = CollectorRegistry()
    Gauge("ol0_ready", "1 once the loop has come round", registry=registry).set_function(lambda: float(heartbeat.ready))
    if not config.port:
        yield registry
        return
    app = HealthApp(heartbeat, registry)
    with make_server(config.host, config.port, app, server_class=_Server, handler_class=_Quiet) as server:
        threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
        try:
            yield registry
        finally:
            server.shutdown()
