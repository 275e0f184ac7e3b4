"""Faults on a schedule."""

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Event, Thread
from time import monotonic
from typing import Final, Self

from ol0.supervisor.service_commands import SERVICES

LOOK_S: Final = 0.1

Kill = Callable[[int], None]
Pids = Callable[[], Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Fault:
    """``kill -9`` of one service, so many seconds after the traffic began."""

    at_s: float
    service: str

    def __str__(self) -> str:
        return f"kill -9 of {self.service}"


def kill_each_once(duration_s: float) -> tuple[Fault, ...]:
    """Every service once, spread over the middle of a run."""
    step_s = duration_s / (len(SERVICES) + 2)
    return tuple(Fault((number + 1.5) * step_s, name) for number, name in enumerate(SERVICES))


def kill_9(pid: int) -> None:
    """The end of a process, without a warning.

    Raises:
        ProcessLookupError: there is no such process any more.
    """
    os.kill(pid, signal.SIGKILL)


class FaultInjector:
    """Carries faults out in a thread of its own, from entering until leaving; what is not due by then is left out.

    A service that is down when its fault is due gets it when it is back.

    Args:
        faults: the schedule, in order.
        pids: of the services that run at the moment, by name.
        tell: is told of each, in a sentence, when it is done.
        kill: ends a process.

    Attributes:
        done: what was done, and how many seconds after entering.
    """

    def __init__(self, faults: Sequence[Fault], pids: Pids, tell: Callable[[str], None], kill: Kill = kill_9) -> None:
        self._faults = faults
        self._pids = pids
        self._tell = tell
        self._kill = kill
        self._stop = Event()
        self._thread = Thread(target=self._run, name="faults", daemon=True)
        self.done: list[tuple[float, str]] = []

    def __enter__(self) -> Self:
        self._began_s = monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        for fault in self._faults:
            if self._stop.wait(max(0.0, self._began_s + fault.at_s - monotonic())):
                return
            while not self._strike(fault):
                if self._stop.wait(LOOK_S):
                    return

    def _strike(self, fault: Fault) -> bool:
        """Whether there was something to strike."""
        pid = self._pids().get(fault.service)
        if pid is None:
            return False
        try:
            self._kill(pid)
        except ProcessLookupError:
            return False
        self.done.append((monotonic() - self._began_s, str(fault)))
        self._tell(f"Fault injected: {fault}.")
        return True
