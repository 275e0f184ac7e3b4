import subprocess
import time
from collections.abc import Callable

LOOK_EVERY_S = 0.02


def wait_until(condition: Callable[[], object], timeout_s: float) -> None:
    """Return as soon as the condition holds; fail after ``timeout_s`` seconds."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, f"still not so after {timeout_s:g} s"
        time.sleep(LOOK_EVERY_S)


class ManualClock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def is_alive(pid: int) -> bool:
    """Whether a process runs. A zombie does not: where nobody reaps orphans, the dead stay in the process table."""
    state = _ps("stat", pid)
    return bool(state) and not state.startswith("Z")


def parent_of(pid: int) -> int:
    """The process id of a running process's parent."""
    return int(_ps("ppid", pid))


def _ps(column: str, pid: int) -> str:
    command = ["ps", "-o", f"{column}=", "-p", str(pid)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
