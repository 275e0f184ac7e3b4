"""Runs the console until a signal stops it."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Final

import uvicorn
from fastapi import FastAPI

from ol0.config import Settings
from ol0.console.observing.sources import sources_of
from ol0.console.observing.watch import Watch
from ol0.console.web.access import Access
from ol0.console.web.app import make_app
from ol0.console.web.desk import Desk
from ol0.errors import ConfigError

STOP_S: Final = 5
BACKLOG: Final = 128


@contextmanager
def running(app: FastAPI, listener: socket.socket) -> Iterator[None]:
    """Answers requests in a thread while the context lasts."""
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=STOP_S,
    )
    server = uvicorn.Server(config)
    thread = Thread(target=server.run, kwargs={"sockets": [listener]}, name="console", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(2 * STOP_S)


def listen(host: str, port: int) -> socket.socket:
    """A socket that waits for browsers; port 0 takes any that is free.

    Raises:
        ConfigError: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = str(error) if error.errno is None or error.errno < 0 else os.strerror(error.errno)
        raise ConfigError(f"--host {host} --port {port}: {reason}; choose another") from None


def address(listener: socket.socket) -> str:
    """What a browser is to open."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


@contextmanager
def console(settings: Settings, listener: socket.socket, access: Access) -> Iterator[None]:
    """The console of a lineage while the context lasts. Asks for no server to be up."""
    closing = Event()
    with Watch(sources_of(settings)) as watch:
        app = make_app(Desk.of(settings, watch, access, closing.is_set))
        with running(app, listener):
            try:
                yield
            finally:
                closing.set()
