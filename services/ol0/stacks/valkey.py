from pathlib import Path

from ol0.stacks.binaries import valkey_server
from ol0.stacks.ports import LOOPBACK, free_ports
from ol0.stacks.readiness import valkey_answers, wait_ready
from ol0.supervisor.guard import GuardedProcess

READY_TIMEOUT_S = 60.0  # milliseconds when empty; a gigabyte of append-only file takes some ten seconds to load
STOP_GRACE_S = 10.0


class Valkey:
    """A Valkey server as a child process, on the loopback address only. Keeps its port and data."""

    def __init__(self, root: Path, *, maxmemory_bytes: int) -> None:
        self._root = root
        self._maxmemory_bytes = maxmemory_bytes
        (self._port,) = free_ports(1)
        self._process: GuardedProcess | None = None

    @property
    def port(self) -> int:
        """Where clients connect."""
        return self._port

    @property
    def log(self) -> Path:
        """The server's log."""
        return self._root / "valkey.log"

    @property
    def pid(self) -> int:
        """The server's process id; it must have been started."""
        assert self._process is not None, "Valkey has not been started"
        return self._process.pid

    def start(self) -> None:
        """Start the server and load its data. Returns when it answers.

        Raises:
            StackError: It did not come up.
        """
        data = self._root / "data"
        data.mkdir(parents=True, exist_ok=True)
        settings = {
            "bind": LOOPBACK,
            "port": str(self._port),
            "dir": str(data),
            "save": "",  # the append-only file is the persistence: no snapshots beside it
            "appendonly": "yes",
            "appendfsync": "everysec",
            "maxmemory": str(self._maxmemory_bytes),
            "maxmemory-policy": "noeviction",  # a full store refuses loudly: evicted keys would be lost examples
        }
        options = [word for key, value in settings.items() for word in (f"--{key}", value)]
        self._process = GuardedProcess.start([str(valkey_server()), *options], log=self.log)
        wait_ready("Valkey", self._process, lambda: valkey_answers(self._port), self.log, READY_TIMEOUT_S)

    def stop(self) -> None:
        """End the server, if it runs."""
        if self._process is not None:
            self._process.stop(STOP_GRACE_S)
