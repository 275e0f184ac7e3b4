"""A wire between workers and the store that a test can cut, hold, or rob of its replies."""

import contextlib
import select
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha1
from typing import Self

from ol0.replay.script_runner import script_source
from ol0.stacks.ports import LOOPBACK

CHUNK = 1 << 20
LOOK_S = 0.1
SCRIPTS = ("apply", "commit", "claim", "due", "register")


@dataclass(frozen=True)
class Call:
    """What a client has just asked for: the names of the scripts in it, and how long it is so far."""

    scripts: frozenset[str]
    size: int


NOTHING = Call(frozenset(), 0)


def keep(_: Call) -> bool:
    """Every reply arrives."""
    return False


class StoreProxy:
    """Listens on a port of its own and hands everything on to the store.

    Attributes:
        before: called with each call's beginning, before it is handed on; may block, for the wire is that slow.
        after: called when all of it that has come so far was handed on.
        swallows: whether the reply of a call is lost, and the connection with it.
        swallowed: the beginnings of the replies that were lost, by script.
        answers: the same of those that arrived.
    """

    def __init__(self, port: int) -> None:
        self._store = (LOOPBACK, port)
        self._server = socket.create_server((LOOPBACK, 0))
        self._server.settimeout(LOOK_S)
        self._stop = threading.Event()
        self._marks = {name: _marks(script_source(name).encode()) for name in SCRIPTS}
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self.before: Callable[[Call], None] = lambda _: None
        self.after: Callable[[Call], None] = lambda _: None
        self.swallows: Callable[[Call], bool] = keep
        self.swallowed: dict[str, list[bytes]] = {}
        self.answers: dict[str, list[bytes]] = {}

    @property
    def url(self) -> str:
        """What ``redis.url`` has to say."""
        return f"redis://{LOOPBACK}:{self._server.getsockname()[1]}/0"

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._server.close()

    def _accept(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                client, _ = self._server.accept()
                thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), socket.create_connection(self._store) as store:
            call = NOTHING
            while not self._stop.is_set():
                readable, _, _ = select.select([client, store], [], [], LOOK_S)
                for end in readable:
                    data: bytes = end.recv(CHUNK)
                    if not data:
                        return
                    if end is client:
                        call = self._call(data, call)
                        self.before(call)
                        store.sendall(data)
                        self.after(call)
                        continue
                    lost = self.swallows(call)
                    for script in call.scripts:
                        (self.swallowed if lost else self.answers).setdefault(script, []).append(data[:64])
                    if lost:
                        return
                    client.sendall(data)

    def _call(self, data: bytes, call: Call) -> Call:
        """A command begins with its words' count; what does not goes on with the one before."""
        found = {name for name, marks in self._marks.items() if any(mark in data for mark in marks)}
        before = NOTHING if data.startswith(b"*") else call
        return Call(before.scripts | found, before.size + len(data))


def _marks(source: bytes) -> tuple[bytes, bytes]:
    """What a script is called by: its hash, or its text."""
    return sha1(source, usedforsecurity=False).hexdigest().encode(), source
