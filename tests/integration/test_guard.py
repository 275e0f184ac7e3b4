import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ol0.errors import StackError
from ol0.supervisor.guard import GuardedProcess
from ol0.supervisor.supervisor import Command, Event, EventKind, Supervisor
from testbed.waiting import is_alive, parent_of, wait_until

GONE_WITHIN_S = 10.0

# A service with a worker of its own: prints the worker's pid, and which signal it was asked to end with.
SERVICE = 'trap "echo got INT" INT; trap "echo got TERM; exit 0" TERM; sleep 1000 & echo "worker $!"; wait'
STUBBORN = 'trap "" TERM; echo ready; while :; do sleep 1000; done'

# An owner that starts SERVICE (argv[2]) with its log at argv[1], prints its pid, and ends once its input closes.
OWNER = """
import os, signal, sys
from pathlib import Path
from ol0.supervisor.guard import GuardedProcess
process = GuardedProcess.start(["sh", "-c", sys.argv[2]], log=Path(sys.argv[1]))
try:
    print(process.pid, flush=True)
    sys.stdin.read()
except KeyboardInterrupt:
    process.stop()
    sys.exit()
"""
ENDINGS = {
    "return": "",
    "exception": "raise RuntimeError",
    "exit in the middle": "os._exit(3)",
    "terminated": "os.kill(os.getpid(), signal.SIGTERM)",
    "killed": "os.kill(os.getpid(), signal.SIGKILL)",
    "crash": "signal.signal(signal.SIGSEGV, signal.SIG_DFL); os.kill(os.getpid(), signal.SIGSEGV)",
    "killed, while a forked copy of it lives": "os.fork() and os.kill(os.getpid(), signal.SIGKILL); signal.pause()",
}


class Owner:
    """A process that guards SERVICE, its service and the service's worker."""

    def __init__(self, log: Path, ending: str = "") -> None:
        self.log = log
        self.process = subprocess.Popen(
            [sys.executable, "-c", OWNER + ending, str(log), SERVICE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # so that its process group can be interrupted as a terminal does
        )
        assert self.process.stdout is not None
        self.service = int(self.process.stdout.readline())
        wait_until(lambda: "worker" in log.read_text(), GONE_WITHIN_S)
        self.worker = int(log.read_text().split()[1])
        self.guardian = parent_of(self.service)

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # its forked copies too
        with self.process:
            self.end()

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()


def wait_until_gone(*pids: int) -> None:
    wait_until(lambda: not any(is_alive(pid) for pid in pids), GONE_WITHIN_S)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "service.log"


@pytest.fixture
def owner(log: Path) -> Iterator[Owner]:
    running = Owner(log)
    yield running
    running.close()


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS.keys())
def test_however_the_owner_ends_the_service_and_its_worker_end_too(log: Path, ending: str) -> None:
    owner = Owner(log, ending)
    try:
        assert is_alive(owner.service)
        assert is_alive(owner.worker)
        owner.end()
        wait_until_gone(owner.service, owner.worker, owner.guardian)
    finally:
        owner.close()


def test_a_service_whose_owner_is_killed_is_first_asked_to_end(owner: Owner) -> None:
    owner.process.kill()
    wait_until_gone(owner.service)
    assert "got TERM" in owner.log.read_text()


def test_ctrl_c_reaches_only_the_owner_who_then_stops_the_service(owner: Owner) -> None:
    os.killpg(owner.process.pid, signal.SIGINT)  # what a terminal does
    wait_until_gone(owner.service, owner.worker)
    assert owner.process.wait() == 0
    assert "got INT" not in owner.log.read_text()
    assert "got TERM" in owner.log.read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_when_the_guardian_and_the_owner_are_killed_at_once_the_service_still_ends(owner: Owner) -> None:
    os.kill(owner.process.pid, signal.SIGSTOP)  # the owner cannot do anything about it
    os.kill(owner.guardian, signal.SIGKILL)
    os.kill(owner.process.pid, signal.SIGKILL)
    wait_until_gone(owner.service)
    os.kill(owner.worker, signal.SIGKILL)  # nobody is left to end what the service started


def test_when_the_guardian_is_killed_its_owner_ends_the_service_and_its_worker(log: Path) -> None:
    service = GuardedProcess.start(["sh", "-c", SERVICE], log=log)
    wait_until(lambda: "worker" in log.read_text(), GONE_WITHIN_S)
    worker = int(log.read_text().split()[1])
    os.kill(parent_of(service.pid), signal.SIGKILL)
    wait_until(lambda: service.poll() is not None, GONE_WITHIN_S)
    assert service.poll() == -signal.SIGKILL
    wait_until_gone(service.pid, worker)


def test_a_guardian_that_is_terminated_ends_its_service_in_order(log: Path) -> None:
    service = GuardedProcess.start(["sh", "-c", SERVICE], log=log)
    wait_until(lambda: "worker" in log.read_text(), GONE_WITHIN_S)
    os.kill(parent_of(service.pid), signal.SIGTERM)
    wait_until(lambda: service.poll() is not None, GONE_WITHIN_S)
    assert service.poll() == 0
    assert "got TERM" in log.read_text()


@pytest.mark.parametrize(("script", "exit_code"), [("exit 0", 0), ("exit 143", 143), ("kill -9 $$", -9)])
def test_the_exit_code_is_the_commands_own(log: Path, script: str, exit_code: int) -> None:
    process = GuardedProcess.start(["sh", "-c", script], log=log)
    wait_until(lambda: process.poll() is not None, GONE_WITHIN_S)
    assert process.poll() == exit_code


def test_what_a_dead_service_left_behind_is_ended(log: Path) -> None:
    process = GuardedProcess.start(["sh", "-c", "sleep 1000 & echo $!"], log=log)
    wait_until(lambda: process.poll() is not None, GONE_WITHIN_S)
    wait_until_gone(int(log.read_text()))


def test_stop_kills_what_does_not_listen(log: Path) -> None:
    process = GuardedProcess.start(["sh", "-c", STUBBORN], log=log)
    wait_until(lambda: "ready" in log.read_text(), GONE_WITHIN_S)
    assert process.stop(grace_s=0.1) == -signal.SIGKILL
    assert process.stop(grace_s=0.1) == -signal.SIGKILL


def test_a_frozen_guardian_does_not_hold_up_stop(log: Path) -> None:
    process = GuardedProcess.start(["sh", "-c", STUBBORN], log=log)
    os.kill(parent_of(process.pid), signal.SIGSTOP)
    process.terminate(grace_s=0.0)
    assert process.wait_or_kill(timeout_s=0.1) == -signal.SIGKILL
    wait_until_gone(process.pid)


def test_both_outputs_go_to_the_log_and_the_log_is_appended_to(log: Path) -> None:
    for word in ("first", "second"):
        process = GuardedProcess.start(["sh", "-c", f"echo {word}; echo {word} >&2"], log=log)
        assert process.wait_or_kill(GONE_WITHIN_S) == 0
        assert process.stop() == 0
    assert log.read_text().split() == ["first", "first", "second", "second"]


def test_the_environment_is_the_one_given(log: Path) -> None:
    process = GuardedProcess.start(["/bin/sh", "-c", "echo $OL0_X $HOME"], log=log, env={"OL0_X": "here"})
    assert process.wait_or_kill(GONE_WITHIN_S) == 0
    assert log.read_text() == "here\n"


def test_a_command_that_does_not_exist_is_an_error_that_names_it(log: Path) -> None:
    with pytest.raises(StackError, match="no-such-command"):
        GuardedProcess.start(["no-such-command"], log=log)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_supervised_service_that_somebody_ends_runs_again_and_stops_with_its_supervisor(
    log: Path, number: signal.Signals
) -> None:
    events: list[Event] = []
    until = threading.Event()
    with Supervisor([Command("service", ["sh", "-c", SERVICE], log)], on_event=events.append) as supervisor:
        runner = threading.Thread(target=supervisor.run, args=[until])
        runner.start()
        first = supervisor.pids["service"]
        wait_until(lambda: log.exists() and "worker" in log.read_text(), GONE_WITHIN_S)
        os.kill(first, number)
        wait_until(lambda: supervisor.pids.get("service", first) != first, GONE_WITHIN_S)
        second = supervisor.pids["service"]
        until.set()
        runner.join()
    assert [event.kind for event in events] == [EventKind.STARTED, EventKind.DIED, EventKind.RESTARTED]
    assert supervisor.restarts == {"service": 1}
    wait_until_gone(first, second)
