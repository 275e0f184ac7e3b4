"""Two builds of OL0 in one lineage: where their code is, and which of them each service runs."""

import io
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from threading import Event, Thread
from typing import Final, Self
from urllib.request import urlopen

from ol0.errors import StackError
from ol0.stacks.ports import LOOPBACK, free_ports
from ol0.supervisor.service_commands import ONE_THREAD, SERVICES
from ol0.supervisor.supervisor import Command, EventKind, Supervisor, last_text
from ol0.supervisor.supervisor import Event as ServiceEvent

ROOT: Final = Path(__file__).parents[2]
READY_WITHIN_S: Final = 60.0
LOOK_S: Final = 0.05


@dataclass(frozen=True)
class Build:
    """The code of OL0 at one moment.

    Attributes:
        name: for people.
        services: the folder in which its package ``ol0`` lies. Dependencies come from this environment.
    """

    name: str
    services: Path

    @classmethod
    def of(cls, commit: str, folder: Path) -> Self:
        """A commit of this repository, unpacked into a folder.

        Raises:
            StackError: this clone does not have it.
        """
        command = ["git", "archive", commit]  # all of it: the schemas have not always been within the package
        done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
        if done.returncode:
            raise StackError(f"{done.stderr.decode().strip()}; `git fetch --unshallow` brings older commits")
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            archive.extractall(folder, filter="data")
        return cls(commit, folder / "services")

    @property
    def environment(self) -> Mapping[str, str]:
        """In which ``python -m ol0`` is this build."""
        return {**os.environ, **ONE_THREAD, "PYTHONPATH": str(self.services)}

    def run(self, *arguments: str | Path) -> None:
        """``ol0 ...`` of this build, to its end.

        Raises:
            StackError: it fails; with what it said.
        """
        command = [sys.executable, "-m", "ol0", *map(str, arguments)]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise StackError(f"ol0 {arguments[0]} of {self.name}: {done.stdout}{done.stderr}")


THIS: Final = Build("this build", ROOT / "services")


@dataclass
class _Running:
    build: Build
    supervisor: Supervisor
    stop: Event
    thread: Thread


class Fleet:
    """The six services, each of one build or the other.

    Args:
        config: the settings file that all read.
        folder: of their logs.

    Attributes:
        deaths: of services that nobody had stopped, each by its name, with its last words.
    """

    def __init__(self, config: Path, folder: Path) -> None:
        self._config, self._folder = config, folder
        self._ports = dict(zip(SERVICES, free_ports(len(SERVICES)), strict=True))
        self._running: dict[str, _Running] = {}
        self.deaths: list[tuple[str, str]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self._running):
            self.stop(name)

    def start(self, name: str, build: Build) -> None:
        """Starts a service; does not wait for it."""
        log = self._folder / f"{name}.log"
        arguments = [sys.executable, "-m", "ol0", name, "--config", str(self._config)]
        member = ["--member", "drill"] if name == "feedback" else []
        environment = {**build.environment, "OL0_OBSERVABILITY__PORT": str(self._ports[name])}

        def note(event: ServiceEvent) -> None:
            if event.kind in (EventKind.DIED, EventKind.REFUSED):
                self.deaths.append((name, f"{build.name}: {event.text.partition(',')[0]}: {last_text(log)}"))

        supervisor, stop = Supervisor([Command(name, [*arguments, *member], log, environment)], on_event=note), Event()
        supervisor.start()
        thread = Thread(target=supervisor.run, args=(stop,), name=name, daemon=True)
        thread.start()
        self._running[name] = _Running(build, supervisor, stop, thread)

    def stop(self, name: str) -> None:
        """Stops a service as a terminal would, and waits for its end."""
        one = self._running.pop(name)
        one.stop.set()
        one.thread.join()
        one.supervisor.stop()

    def wait_until_ready(self, name: str) -> None:
        """Waits until the service's loop runs and reaches broker and store.

        Raises:
            StackError: it dies, or is not ready in time.
        """
        before, deadline_s = len(self.deaths), time.monotonic() + READY_WITHIN_S
        while not self._is_ready(name):
            for why in self.died(name, before):
                raise StackError(why)
            if time.monotonic() > deadline_s:
                raise StackError(f"{name} of {self._running[name].build.name} is not ready after {READY_WITHIN_S:g} s")
            time.sleep(LOOK_S)

    def died(self, name: str, since: int) -> list[str]:
        """Last words of a service, of all deaths but the first ``since``."""
        return [why for who, why in self.deaths[since:] if who == name]

    def move(self, name: str, build: Build) -> float:
        """Restarts a service as that of another build; the seconds for which there was none.

        Raises:
            StackError: as ``wait_until_ready``. The other build's service is stopped then.
        """
        began_s = time.monotonic()
        self.stop(name)
        self.start(name, build)
        try:
            self.wait_until_ready(name)
        except StackError:
            self.stop(name)
            raise
        return time.monotonic() - began_s

    def _is_ready(self, name: str) -> bool:
        with suppress(OSError), urlopen(f"http://{LOOPBACK}:{self._ports[name]}/readyz", timeout=5) as answer:
            return bool(answer.status == HTTPStatus.OK)
        return False
