"""Runs one command and ends it when its owner exits.

A small process of its own (``python -I -S guardian.py COMMAND...``, standard library only, so that it is up in tens of
milliseconds). Its descriptors are its whole interface:

- 0, the lifeline: a pipe whose other end only the owner holds. It closes in whatever way the owner ends, ``kill -9``
  included. The owner may write a number first: the seconds of grace between SIGTERM and SIGKILL.
- 1, the status: lines ``pid N``, ``exit N`` (negative: ended by that signal), or ``failed REASON``.
- 2, the log: inherited by the command as its standard output and standard error.

The command leads a session of its own: Ctrl-C in the terminal reaches only the owner, and what the command starts in
its turn is ended with it. If this process is killed, the Linux kernel kills the command (not what the command started:
the owner does that when it is still there). macOS has no such signal; there the owner does both.
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable

LIFELINE, STATUS, LOG = 0, 1, 2
ORPHAN_GRACE_S = 5.0  # no owner is left to wait longer, and a new one may need the ports
OWNER_CHECK_S = 1.0  # a forked copy of the owner may hold the lifeline open: so the parent's pid is looked at as well
PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(argv: list[str]) -> None:
    """Run ``argv`` until it ends, the lifeline closes or SIGTERM arrives."""
    wakeup = _wake_on(signal.SIGCHLD, signal.SIGTERM)
    try:
        # The command is what the owner named; preexec_fn is safe here because this process has one thread.
        child = subprocess.Popen(  # noqa: S603
            argv,
            stdin=subprocess.DEVNULL,
            stdout=LOG,
            start_new_session=True,
            preexec_fn=_die_with_this_process(),  # noqa: PLW1509
        )
    except OSError as error:
        _report(f"failed {error}")
        return
    _report(f"pid {child.pid}")
    grace_s = _watch(child, wakeup)
    _report(f"exit {_end(child, grace_s)}")


def _watch(child: subprocess.Popen[bytes], wakeup: int) -> float:
    """Wait until the command ends or has to.

    Returns:
        The seconds that the command has to end by itself; without meaning when it has ended already.
    """
    owner = os.getppid()
    while child.poll() is None:
        ready, _, _ = select.select([LIFELINE, wakeup], [], [], OWNER_CHECK_S)
        if LIFELINE in ready:
            return float(os.read(LIFELINE, 64) or ORPHAN_GRACE_S)
        if wakeup in ready and signal.SIGTERM in os.read(wakeup, 64):
            return ORPHAN_GRACE_S
        if os.getppid() != owner:
            return ORPHAN_GRACE_S
    return 0.0


def _end(child: subprocess.Popen[bytes], grace_s: float) -> int:
    """End the command and everything in its process group.

    Returns:
        The command's exit code; negative for a signal.
    """
    if child.poll() is None:
        _signal_group(child.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(grace_s)
    _signal_group(child.pid, signal.SIGKILL)
    return child.wait()


def _signal_group(group: int, number: signal.Signals) -> None:
    # Gone already, or (macOS) only zombies are left in it.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _wake_on(*numbers: signal.Signals) -> int:
    """Make signals readable, as bytes, from a descriptor.

    Returns:
        The descriptor to select on.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in numbers:
        signal.signal(number, lambda _number, _frame: None)
    return reader


def _die_with_this_process() -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    guardian = os.getpid()

    def bind() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guardian:  # killed between the fork and the line above
            os.kill(os.getpid(), signal.SIGKILL)

    return bind


def _report(line: str) -> None:
    with contextlib.suppress(BrokenPipeError):  # the owner is gone
        os.write(STATUS, f"{line}\n".encode())


if __name__ == "__main__":
    main(sys.argv[1:])
