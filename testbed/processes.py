"""Commands of the project as a person starts them, and every process that comes of them."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from ol0.supervisor.service_commands import SERVICES
from testbed.waiting import wait_until

GONE_WITHIN_S = 15.0


def ol0(
    *arguments: str | Path, env: dict[str, str] | None = None, answer: str = "", cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``ol0 ...`` to its end, on a terminal of 120 columns, with an answer to what it asks."""
    command = [sys.executable, "-m", "ol0", *map(str, arguments)]
    environment = {**os.environ, "COLUMNS": "120", **(env or {})}
    return subprocess.run(
        command, input=answer, capture_output=True, text=True, check=False, timeout=60, env=environment, cwd=cwd
    )


class Started:
    """``ol0 ...`` in the background, with a process group of its own: what a terminal would send Ctrl-C to."""

    def __init__(self, folder: Path, *arguments: str | Path) -> None:
        self._output, self._errors = folder / "stdout.txt", folder / "stderr.txt"
        with self._output.open("wb") as output, self._errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ol0", *map(str, arguments)],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                start_new_session=True,
            )
        self.seen: dict[int, str] = {}

    def close(self) -> None:
        """Kill whatever of it still runs."""
        self.look()
        for pid in {self.process.pid, *self.seen} & _table().keys():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    @property
    def output(self) -> str:
        return self._output.read_text()

    @property
    def errors(self) -> str:
        return self._errors.read_text()

    def wait_for_output(self, text: str, timeout_s: float) -> None:
        """Wait until it has printed this; fail at once when it ends before."""
        wait_until(lambda: text in self.output or self.process.poll() is not None, timeout_s)
        assert text in self.output, f"ended with {self.process.returncode}\n{self.output}\n{self.errors}"

    def look(self) -> dict[int, str]:
        """Command lines of its living descendants by pid; all that were ever looked at stay in ``seen``."""
        table = _table()
        found: dict[int, str] = {}
        parents = {self.process.pid}
        while parents:
            children = {pid: command for pid, (parent, command) in table.items() if parent in parents}
            found |= children
            parents = set(children)
        self.seen |= found
        return found

    def services(self) -> dict[str, int]:
        """Pids of the services that run now, by name."""
        return {
            name: pid
            for pid, command in self.look().items()
            for name in SERVICES
            if f"-m ol0 {name} " in f"{command} " and "guardian.py" not in command
        }

    def wait_until_all_are_gone(self) -> None:
        """Wait until neither it nor anything of ``seen`` runs."""
        wait_until(lambda: not ({self.process.pid, *self.seen} & _table().keys()), GONE_WITHIN_S)


def _table() -> dict[int, tuple[int, str]]:
    """Parent and command line of every process but zombies, by pid."""
    command = ["ps", "-axwwo", "pid=,ppid=,stat=,command="]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = (line.split(None, 3) for line in listing.splitlines())
    return {int(row[0]): (int(row[1]), row[3]) for row in rows if len(row) == 4 and not row[2].startswith("Z")}
