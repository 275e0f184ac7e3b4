import contextlib
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol, Self

from ol0.errors import OL0Error
from ol0.supervisor.guard import KILL_MARGIN_S, GuardedProcess

EXIT_CONFIG_ERROR = 2  # what every `ol0` command exits with when a setting is wrong: trying again cannot help
LAST_BYTES = 8_192  # of a log, which contain the message that ended a command


@dataclass(frozen=True)
class Command:
    """One process to keep running."""

    name: str
    argv: Sequence[str]
    log: Path
    env: Mapping[str, str] | None = None
    """The whole environment of the process; the supervisor's own when None."""


class Process(Protocol):
    """What a supervisor needs of a process; ``GuardedProcess`` has it."""

    @property
    def pid(self) -> int:
        """The process id."""

    def poll(self) -> int | None:
        """The exit code, None while it runs."""

    def terminate(self, grace_s: float) -> None:
        """SIGTERM now, SIGKILL after ``grace_s`` seconds; returns at once."""

    def wait_or_kill(self, timeout_s: float) -> int:
        """Wait for the end, force it after ``timeout_s`` seconds; the exit code."""


class EventKind(Enum):
    """The state of a process."""

    STARTED = "started"
    RESTARTED = "restarted"
    DIED = "died"
    REFUSED = "refused"


@dataclass(frozen=True)
class Event:
    """Something that a supervisor saw or did."""

    name: str
    kind: EventKind
    text: str
    """One line for a person: the pid, or the exit code with what follows from it and where the log is."""


@dataclass(frozen=True)
class RestartConfig:
    """How patiently a process that died is started again, all in seconds."""

    first_delay_s: float = 0.2
    longest_delay_s: float = 10.0
    good_run_s: float = 30.0  # one that ran this long had recovered: its next death is a first one again
    stop_grace_s: float = 10.0
    look_every_s: float = 0.05  # a look costs one waitpid per process

    def delay_s(self, deaths: int) -> float:
        """Seconds to wait after that many deaths in a row: doubles from the first delay to the longest.

        >>> [RestartConfig().delay_s(deaths) for deaths in (1, 2, 3, 6, 7, 5000)]
        [0.2, 0.4, 0.8, 6.4, 10.0, 10.0]
        """
        doublings = min(deaths - 1, 30)  # 2.0 ** 1024 would overflow
        return min(self.longest_delay_s, self.first_delay_s * 2.0**doublings)


@dataclass
class _Charge:
    """One command and its process. ``process`` is None between a death and the next start, and after the end."""

    command: Command
    process: Process | None = None
    started_at_s: float = 0.0
    retry_at_s: float = 0.0
    deaths_in_a_row: int = 0
    restarts: int = 0


def start_guarded(command: Command) -> Process:
    """Start a command as a process that cannot outlive this one.

    Raises:
        StackError: The command cannot be started.
    """
    return GuardedProcess.start(command.argv, log=command.log, env=command.env)


class Supervisor:
    """Keeps commands running: what ends is started again, with growing delays, whatever its exit code says.

    One ends it for all: 2, a setting is wrong. A lineage without that service would only look like one.
    Nothing happens between calls: call ``step`` often, or ``run``, which does. ``stop`` may come from another thread.
    ``on_event`` is called from the thread that steps, and must not call back into the supervisor.
    """

    def __init__(
        self,
        commands: Sequence[Command],
        *,
        on_event: Callable[[Event], None] = lambda _event: None,
        start: Callable[[Command], Process] = start_guarded,
        clock: Callable[[], float] = time.monotonic,
        config: RestartConfig | None = None,
    ) -> None:
        self._charges = {command.name: _Charge(command) for command in commands}
        assert len(self._charges) == len(commands), "two commands have the same name"
        self._on_event = on_event
        self._start = start
        self._clock = clock
        self._config = config or RestartConfig()
        self._stopped = False
        self._refusal: str | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    @property
    def pids(self) -> dict[str, int]:
        """The process id of every command that runs now."""
        processes = {name: charge.process for name, charge in self._charges.items()}
        return {name: process.pid for name, process in processes.items() if process is not None}

    @property
    def restarts(self) -> dict[str, int]:
        """How often each command was started again."""
        return {name: charge.restarts for name, charge in self._charges.items()}

    @property
    def refusal(self) -> str | None:
        """Which command cannot run with its settings, and why, in its words; None: none has said so."""
        return self._refusal

    def failing(self, deaths: int) -> str | None:
        """A command that has died so often in a row, and its last words, or None."""
        for charge in self._charges.values():
            if charge.deaths_in_a_row >= deaths:
                name, log = charge.command.name, charge.command.log
                said = last_text(log) or f"the end of {log} says why"
                return f"{name} has died {charge.deaths_in_a_row} times in a row: {said}"
        return None

    @property
    def finished(self) -> bool:
        """Whether no command will be started again: all were stopped, or one refuses its settings."""
        return self._stopped or self._refusal is not None

    def start(self) -> None:
        """Start every command, in order.

        Raises:
            OL0Error: One cannot be started; those before it have been stopped.
        """
        try:
            with self._lock:
                for charge in self._charges.values():
                    self._launch(charge, EventKind.STARTED)
        except BaseException:
            self.stop()
            raise

    def step(self) -> None:
        """Look at every process once: note who died, start again whose delay is over. Never blocks for long."""
        with self._lock:
            for charge in self._charges.values():
                if self.finished:
                    return
                if charge.process is not None:
                    self._look(charge, charge.process)
                elif self._clock() >= charge.retry_at_s:
                    self._restart(charge)

    def run(self, until: threading.Event) -> None:
        """Step until ``until`` is set or a command refuses its settings. Stops nothing by itself."""
        while not self.finished and not until.wait(self._config.look_every_s):
            self.step()

    def stop(self) -> None:
        """Send SIGTERM to all in reverse order, wait up to ``stop_grace_s`` for all together, SIGKILL the rest."""
        with self._lock:
            self._stopped = True
            grace_s = self._config.stop_grace_s
            running = [charge for charge in reversed(self._charges.values()) if charge.process is not None]
            for charge in running:
                assert charge.process is not None
                charge.process.terminate(grace_s)
            deadline_s = self._clock() + grace_s + KILL_MARGIN_S
            for charge in running:
                assert charge.process is not None
                charge.process.wait_or_kill(max(0.0, deadline_s - self._clock()))
                charge.process = None

    def _look(self, charge: _Charge, process: Process) -> None:
        exit_code = process.poll()
        if exit_code is None:
            return
        charge.process = None
        if exit_code == EXIT_CONFIG_ERROR:
            self._refuse(charge)
        else:
            self._schedule(charge, _how_it_ended(exit_code))

    def _refuse(self, charge: _Charge) -> None:
        name, log = charge.command.name, charge.command.log
        self._refusal = f"{name} cannot run with these settings: {last_text(log) or f'the end of {log} says why'}"
        self._tell(charge, EventKind.REFUSED, f"has a wrong setting (exit code {EXIT_CONFIG_ERROR}); its log is {log}")

    def _schedule(self, charge: _Charge, why: str) -> None:
        now_s = self._clock()
        if now_s - charge.started_at_s >= self._config.good_run_s:
            charge.deaths_in_a_row = 0
        charge.deaths_in_a_row += 1
        delay_s = self._config.delay_s(charge.deaths_in_a_row)
        charge.retry_at_s = now_s + delay_s
        self._tell(charge, EventKind.DIED, f"{why}, next start in {delay_s:g} s; its log is {charge.command.log}")

    def _restart(self, charge: _Charge) -> None:
        charge.restarts += 1
        try:
            self._launch(charge, EventKind.RESTARTED)
        except OL0Error as error:  # its program may be in the middle of an upgrade
            self._schedule(charge, str(error))

    def _launch(self, charge: _Charge, kind: EventKind) -> None:
        charge.started_at_s = self._clock()
        charge.process = self._start(charge.command)
        self._tell(charge, kind, f"pid {charge.process.pid}")

    def _tell(self, charge: _Charge, kind: EventKind, text: str) -> None:
        self._on_event(Event(charge.command.name, kind, text))


def last_text(log: Path) -> str:
    """The message with which the last ``ol0`` command that wrote into this log has ended; empty without one."""
    with contextlib.suppress(OSError), log.open("rb") as file:
        file.seek(max(file.seek(0, os.SEEK_END) - LAST_BYTES, 0))
        end = file.read().decode(errors="replace")
        return f"\n{end}".rpartition("\nol0: ")[2].strip() if "ol0: " in end else ""
    return ""


def _how_it_ended(exit_code: int) -> str:
    if exit_code == 0:
        return "exited unexpectedly"
    return f"killed by signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"
