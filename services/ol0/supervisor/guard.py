import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from ol0.errors import StackError

GUARDIAN = Path(__file__).with_name("guardian.py")
KILL_MARGIN_S = 2.0  # what a guardian may need, after the grace, to kill and to report


class GuardedProcess:
    """A command that cannot outlive this process, however this process ends.

    Between the two is a guardian (see ``guardian.py``) that ends the command, and everything the command started,
    when this process is gone: by return, exception, Ctrl-C or ``kill -9``. Ctrl-C does not reach the command; its owner
    decides when to stop it. Make one with ``start``. Not thread-safe.
    """

    def __init__(self, guardian: subprocess.Popen[bytes], pid: int) -> None:
        self._guardian = guardian
        self._pid = pid
        self._exit_code: int | None = None

    @classmethod
    def start(cls, argv: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None) -> Self:
        """Start a command.

        Args:
            argv: The command and its arguments.
            log: Where its standard output and standard error go: appended, folders made.
            env: Its whole environment; this process's own when None.

        Raises:
            StackError: The command cannot be started (not found, not executable).
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as sink:
            guardian = subprocess.Popen(  # noqa: S603 - callers name the project's own commands
                # Isolated and without site-packages: starts fast, and a broken environment cannot break the guard.
                [sys.executable, "-I", "-S", str(GUARDIAN), *argv],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=sink,
                env=env,
                start_new_session=True,
            )
        assert guardian.stdout is not None
        word, _, rest = guardian.stdout.readline().decode().strip().partition(" ")
        if word != "pid":
            _close(guardian)
            raise StackError(f"cannot start {argv[0]}: {rest or 'its guardian died'}; its log is {log}")
        return cls(guardian, int(rest))

    @property
    def pid(self) -> int:
        """The command's own process id (and that of its process group), not the guardian's."""
        return self._pid

    def poll(self) -> int | None:
        """The command's exit code, negative for a signal; None while it runs."""
        if self._exit_code is None and self._guardian.poll() is not None:
            self._exit_code = self._last_text()
        return self._exit_code

    def terminate(self, grace_s: float) -> None:
        """Ask the command to end: SIGTERM now, SIGKILL after ``grace_s`` seconds. Returns at once; only once."""
        lifeline = self._guardian.stdin
        assert lifeline is not None
        if not lifeline.closed:
            with contextlib.suppress(BrokenPipeError), lifeline:  # the guardian has gone, and the command with it
                lifeline.write(str(grace_s).encode())

    def wait_or_kill(self, timeout_s: float) -> int:
        """Wait for the command to end and kill it when it has not within ``timeout_s`` seconds.

        Returns:
            Its exit code, negative for a signal.
        """
        try:
            self._guardian.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._guardian.kill()
            self._guardian.wait()
        exit_code = self.poll()
        assert exit_code is not None
        return exit_code

    def stop(self, grace_s: float = 10.0) -> int:
        """End the command: SIGTERM, up to ``grace_s`` seconds, SIGKILL. A second call only returns the exit code."""
        self.terminate(grace_s)
        return self.wait_or_kill(grace_s + KILL_MARGIN_S)

    def _last_text(self) -> int:
        assert self._guardian.stdout is not None
        with self._guardian.stdout as status:
            word, _, rest = status.read().decode().partition(" ")
        self.terminate(0)
        if word == "exit":
            return int(rest)
        # The guardian was killed. The kernel kills the command only on Linux, and nowhere what the command started.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, signal.SIGKILL)
        return -signal.SIGKILL


def _close(guardian: subprocess.Popen[bytes]) -> None:
    assert guardian.stdin is not None
    assert guardian.stdout is not None
    guardian.stdin.close()
    guardian.stdout.close()
    guardian.wait()
