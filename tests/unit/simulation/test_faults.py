import math
from itertools import pairwise

import pytest

from ol0.simulation.faults import Fault, FaultInjector, kill_each_once
from ol0.supervisor.service_commands import SERVICES
from testbed.waiting import wait_until


class Machine:
    """Services with their processes; killing one takes it away, as ``kill -9`` does."""

    def __init__(self, **pids: int) -> None:
        self.pids = pids
        self.killed: list[int] = []
        self.vanished = 0

    def kill(self, pid: int) -> None:
        name = next((name for name, one in self.pids.items() if one == pid), None)
        if self.vanished:
            self.vanished -= 1
            raise ProcessLookupError
        assert name is not None
        self.killed.append(pid)


@pytest.mark.parametrize("duration_s", [1, 45, 86_400])
def test_every_service_is_killed_once(duration_s: float) -> None:
    assert sorted(fault.service for fault in kill_each_once(duration_s)) == sorted(SERVICES)


@pytest.mark.parametrize("duration_s", [1, 45, 86_400])
def test_the_faults_come_in_order_and_evenly_and_leave_time_before_and_after(duration_s: float) -> None:
    times = [fault.at_s for fault in kill_each_once(duration_s)]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert all(math.isclose(gap, duration_s / 8) for gap in gaps)
    assert min(times[0], duration_s - times[-1]) > duration_s / 8


def test_due_faults_are_carried_out_in_order_and_told() -> None:
    machine, told = Machine(canary=11, drift=12), list[str]()
    with FaultInjector(
        [Fault(0, "drift"), Fault(0, "canary")], lambda: machine.pids, told.append, machine.kill
    ) as faults:
        wait_until(lambda: len(faults.done) == 2, 5)
    assert machine.killed == [12, 11]
    assert told == ["Fault injected: kill -9 of drift.", "Fault injected: kill -9 of canary."]
    assert [text for _, text in faults.done] == ["kill -9 of drift", "kill -9 of canary"]


def test_a_fault_that_is_not_due_when_the_run_ends_is_left_out() -> None:
    machine = Machine(canary=11)
    with FaultInjector([Fault(3_600, "canary")], lambda: machine.pids, print, machine.kill) as faults:
        pass
    assert faults.done == []
    assert machine.killed == []


def test_a_service_that_is_down_gets_its_fault_when_it_is_back() -> None:
    machine = Machine()
    with FaultInjector([Fault(0, "canary")], lambda: machine.pids, lambda _: None, machine.kill) as faults:
        assert faults.done == []
        machine.pids["canary"] = 11
        wait_until(lambda: faults.done, 5)
    assert machine.killed == [11]


def test_a_process_that_ended_by_itself_at_that_moment_does_not_count() -> None:
    machine = Machine(canary=11)
    machine.vanished = 1
    with FaultInjector([Fault(0, "canary")], lambda: machine.pids, lambda _: None, machine.kill) as faults:
        wait_until(lambda: faults.done, 5)
    assert machine.killed == [11]
    assert len(faults.done) == 1
