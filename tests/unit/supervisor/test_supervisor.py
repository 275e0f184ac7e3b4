import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ol0.errors import StackError
from ol0.supervisor.supervisor import Command, Event, EventKind, RestartConfig, Supervisor


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class FakeProcess:
    """Runs until a test sets its exit code."""

    name: str
    pid: int
    calls: list[str]
    exit_code: int | None = None

    def poll(self) -> int | None:
        return self.exit_code

    def terminate(self, grace_s: float) -> None:
        self.calls.append(f"terminate {self.name} {grace_s:g}")

    def wait_or_kill(self, timeout_s: float) -> int:
        self.calls.append(f"wait {self.name} {timeout_s:g}")
        self.exit_code = -15
        return -15


@dataclass
class World:
    """Everything around a supervisor: time, processes, what it said."""

    clock: Clock = field(default_factory=Clock)
    started: list[FakeProcess] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)

    def start(self, command: Command) -> FakeProcess:
        if command.name in self.broken:
            raise StackError(f"cannot start {command.argv[0]}")
        self.started.append(FakeProcess(command.name, 100 + len(self.started), self.calls))
        return self.started[-1]

    def supervise(self, *names: str, logs: Path = Path("/logs")) -> Supervisor:
        commands = [Command(name, [name], logs / f"{name}.log") for name in names]
        return Supervisor(commands, on_event=self.events.append, start=self.start, clock=self.clock)

    def last(self, kind: EventKind) -> Event:
        return [event for event in self.events if event.kind is kind][-1]


@pytest.fixture
def world() -> World:
    return World()


def test_a_command_that_dies_again_and_again_is_told_with_its_last_words(world: World, tmp_path: Path) -> None:
    (tmp_path / "feedback.log").write_text("reading\nol0: the replay store may hold 1 MiB\n")
    supervisor = world.supervise("feedback", logs=tmp_path)
    supervisor.start()
    for _ in range(3):
        assert supervisor.failing(3) is None
        die(world, supervisor)
        delay_until_restart(world, supervisor)
    assert supervisor.failing(3) == "feedback has died 3 times in a row: the replay store may hold 1 MiB"
    # When it has run for long, its next death is a first one again
    world.clock.now_s += 60
    die(world, supervisor)
    assert supervisor.failing(3) is None


def die(world: World, supervisor: Supervisor, exit_code: int = 1) -> None:
    world.started[-1].exit_code = exit_code
    supervisor.step()


def delay_until_restart(world: World, supervisor: Supervisor) -> float:
    """Advance the clock in steps of 0.1 s until another process is started; the seconds that took."""
    before, ticks = len(world.started), 0
    while len(world.started) == before:
        ticks += 1
        world.clock.now_s += 0.1
        supervisor.step()
    return ticks / 10


def test_commands_start_in_order_and_their_pids_are_known(world: World) -> None:
    supervisor = world.supervise("feedback", "learner")
    supervisor.start()
    assert supervisor.pids == {"feedback": 100, "learner": 101}
    assert [(event.name, event.kind, event.text) for event in world.events] == [
        ("feedback", EventKind.STARTED, "pid 100"),
        ("learner", EventKind.STARTED, "pid 101"),
    ]


def test_a_process_that_dies_is_started_again_and_counted(world: World) -> None:
    supervisor = world.supervise("learner")
    supervisor.start()
    die(world, supervisor, exit_code=-9)
    assert supervisor.pids == {}
    text = world.last(EventKind.DIED).text
    assert text == "killed by signal 9, next start in 0.2 s; its log is /logs/learner.log"

    world.clock.now_s += 0.3
    supervisor.step()
    assert supervisor.pids == {"learner": 101}
    assert supervisor.restarts == {"learner": 1}
    assert world.last(EventKind.RESTARTED).text == "pid 101"


def test_one_death_leaves_the_others_running(world: World) -> None:
    supervisor = world.supervise("feedback", "learner")
    supervisor.start()
    world.started[0].exit_code = 1
    supervisor.step()
    world.clock.now_s += 0.3
    supervisor.step()
    assert supervisor.pids == {"feedback": 102, "learner": 101}
    assert supervisor.restarts == {"feedback": 1, "learner": 0}


def test_the_delay_doubles_up_to_ten_seconds(world: World) -> None:
    supervisor = world.supervise("learner")
    supervisor.start()
    delays = []
    for _ in range(8):
        die(world, supervisor)
        delays.append(delay_until_restart(world, supervisor))
    assert delays == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0], abs=0.11)


def test_thirty_good_seconds_reset_the_delay(world: World) -> None:
    supervisor = world.supervise("learner")
    supervisor.start()
    for _ in range(5):
        die(world, supervisor)
        delay_until_restart(world, supervisor)
    world.clock.now_s += 30.0
    die(world, supervisor)
    assert "next start in 0.2 s" in world.last(EventKind.DIED).text


def test_twenty_nine_good_seconds_do_not(world: World) -> None:
    supervisor = world.supervise("learner")
    supervisor.start()
    die(world, supervisor)
    delay_until_restart(world, supervisor)
    world.clock.now_s += 29.0
    die(world, supervisor)
    assert "next start in 0.4 s" in world.last(EventKind.DIED).text


def test_one_that_ends_by_itself_without_being_asked_is_started_again(world: World) -> None:
    supervisor = world.supervise("learner")
    supervisor.start()
    die(world, supervisor, exit_code=0)
    assert "exited unexpectedly, next start in 0.2 s" in world.last(EventKind.DIED).text

    world.clock.now_s += 0.3
    supervisor.step()
    assert supervisor.pids == {"learner": 101}
    assert supervisor.refusal is None


def test_a_wrong_setting_ends_the_run_and_is_told_in_the_words_of_the_service(world: World, tmp_path: Path) -> None:
    log = tmp_path / "drift.log"
    log.write_text("ol0: an older run\nol0: c.toml:\n  safety.suite: no such file\n")
    supervisor = world.supervise("learner", "drift", logs=tmp_path)
    supervisor.start()
    die(world, supervisor, exit_code=2)
    assert supervisor.finished
    assert supervisor.refusal == "drift cannot run with these settings: c.toml:\n  safety.suite: no such file"
    assert str(log) in world.last(EventKind.REFUSED).text

    world.started[0].exit_code = 1
    world.clock.now_s += 3600.0
    supervisor.step()
    assert len(world.started) == 2, "nothing is started again"


def test_a_wrong_setting_without_words_names_the_log(world: World) -> None:
    supervisor = world.supervise("drift")
    supervisor.start()
    die(world, supervisor, exit_code=2)
    assert supervisor.refusal == "drift cannot run with these settings: the end of /logs/drift.log says why"


def test_stop_signals_all_in_reverse_order_before_it_waits_for_any(world: World) -> None:
    supervisor = world.supervise("a", "b", "c")
    supervisor.start()
    supervisor.stop()
    assert world.calls == ["terminate c 10", "terminate b 10", "terminate a 10", "wait c 12", "wait b 12", "wait a 12"]
    assert supervisor.pids == {}


def test_the_ten_seconds_are_for_all_together(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(process: FakeProcess, timeout_s: float) -> int:
        world.calls.append(f"wait {process.name} {timeout_s:g}")
        world.clock.now_s += timeout_s
        return -9

    monkeypatch.setattr(FakeProcess, "wait_or_kill", slow)
    supervisor = world.supervise("a", "b")
    supervisor.start()
    supervisor.stop()
    assert world.calls[-2:] == ["wait b 12", "wait a 0"]


def test_nothing_starts_after_stop(world: World) -> None:
    supervisor = world.supervise("learner")
    supervisor.start()
    die(world, supervisor)
    supervisor.stop()
    world.clock.now_s += 60.0
    supervisor.step()
    assert len(world.started) == 1


def test_when_one_cannot_start_those_before_it_are_stopped(world: World) -> None:
    world.broken = {"learner"}
    supervisor = world.supervise("feedback", "learner")
    with pytest.raises(StackError, match="cannot start learner"):
        supervisor.start()
    assert "terminate feedback 10" in world.calls


def test_a_restart_that_cannot_start_is_tried_again_later(world: World) -> None:
    supervisor = world.supervise("learner")
    supervisor.start()
    world.broken = {"learner"}
    die(world, supervisor)
    world.clock.now_s += 0.3
    supervisor.step()
    assert world.last(EventKind.DIED).text.startswith("cannot start learner, next start in 0.4 s")

    world.broken = set()
    world.clock.now_s += 0.5
    supervisor.step()
    assert supervisor.pids == {"learner": 101}


@pytest.mark.parametrize("end", [lambda _world, until: until.set(), lambda world, _until: finish(world)])
def test_run_returns_when_told_or_when_a_setting_is_wrong(
    world: World, end: Callable[[World, threading.Event], None]
) -> None:
    supervisor, until = world.supervise("learner"), threading.Event()
    supervisor.start()
    runner = threading.Thread(target=supervisor.run, args=[until])
    runner.start()
    end(world, until)
    runner.join(timeout=5.0)
    assert not runner.is_alive()


def finish(world: World) -> None:
    world.started[-1].exit_code = 2


def test_a_very_long_row_of_deaths_does_not_overflow_the_delay() -> None:
    assert RestartConfig().delay_s(5000) == 10.0
