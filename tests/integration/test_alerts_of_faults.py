"""What goes wrong in a lineage that runs is an alert in a real Prometheus, and no alert any more once it is mended."""

import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from time import monotonic

from ol0.records import ServingState
from ol0.sdk.router import Router
from ol0.simulation.demo import demo_settings
from ol0.simulation.users import UserHabits, Users
from ol0.stacks.native import NativeStack
from ol0.supervisor.service_commands import service_commands
from ol0.supervisor.supervisor import Supervisor
from support.prometheus import RULES, firing, needs_prometheus, prometheus, told
from testbed.lineages import Journal, Place, bring_in
from testbed.processes import ol0
from testbed.restarts import restart_kafka, restart_redis
from testbed.waiting import wait_until

HABITS = UserHabits(rate_per_s=200.0)
FIRST_PORT = 19_110
WITHIN_S = 90.0
FOR_EVER = 10**9


def impatient(folder: Path) -> Path:
    """The project's rules in seconds: how long a fault may last is not what is in question here."""
    rules = folder / "alerts.yml"
    rules.write_text(re.sub(r"for: \w+", "for: 0s", RULES.read_text().replace("[2m]", "[10s]")))
    return rules


@contextmanager
def running(place: Place) -> Iterator[Supervisor]:
    """All six services; whoever dies is started again."""
    done = Event()
    with Supervisor(service_commands(place.config, place.config.parent / "logs", FIRST_PORT)) as supervisor:
        thread = Thread(target=supervisor.run, args=(done,))
        thread.start()
        try:
            yield supervisor
        finally:
            done.set()
            thread.join()


@contextmanager
def asking(host: Router, place: Place) -> Iterator[None]:
    users, stop = Users(host, place.split.stream, place.split.base, HABITS, 0), Event()
    thread = Thread(target=users.run, args=(FOR_EVER, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


class Watch:
    """The alerts of a Prometheus; says how many seconds each needed."""

    def __init__(self, address: str) -> None:
        self._address = address

    def quiet(self) -> bool:
        """Whether every service is scraped and nothing fires that can cease (a rollback lasts a quarter of an hour)."""
        up = [target["health"] for target in told(self._address, "targets").get("activeTargets", [])]
        return set(up) == {"up"} and not firing(self._address) - {"OL0RolledBack"}

    def fires(self, alert: str, fault: Callable[[], object]) -> None:
        """It has to come after the fault."""
        began_s = monotonic()
        fault()
        wait_until(lambda: alert in firing(self._address), WITHIN_S)
        sys.stdout.write(f"{alert} after {monotonic() - began_s:.1f} s\n")

    def ceases(self, mend: Callable[[], object]) -> None:
        """All of them have to go after the mending."""
        mend()
        wait_until(self.quiet, WITHIN_S)


def order(place: Place, *words: str) -> None:
    done = ol0("releases", *words, "--config", place.config)
    assert done.returncode == 0, done.stderr


@needs_prometheus
def test_faults_are_alerts_while_they_last(tmp_path: Path) -> None:
    with NativeStack(tmp_path / "stack") as stack:
        tree = {name: dict(section) for name, section in demo_settings(0, HABITS).items()}
        tree["safety"] |= {"stages": []}  # both approvals release: people are not what this is about
        place = bring_in(stack, tmp_path, tree)
        with (
            running(place) as supervisor,
            prometheus(tmp_path / "prometheus", FIRST_PORT, impatient(tmp_path)) as address,
            Journal(place.settings, "releases") as journal,
        ):
            journal.first(ServingState, within_s=WITHIN_S)
            watch = Watch(address)
            with Router.open(place.settings) as host, asking(host, place):
                journal.first(ServingState, lambda it: it.live.digest != place.base.digest, within_s=WITHIN_S)
                wait_until(watch.quiet, WITHIN_S)
                watch.fires("OL0Frozen", lambda: order(place, "freeze"))
                watch.fires("OL0RolledBack", lambda: order(place, "rollback", "--yes"))
                watch.ceases(lambda: order(place, "thaw"))
                pid = supervisor.pids["feedback"]
                watch.fires("OL0Down", lambda: os.kill(pid, signal.SIGSTOP))
                watch.ceases(lambda: os.kill(pid, signal.SIGCONT))
                watch.fires("OL0NotReady", lambda: os.kill(stack.brokers[0].pid, signal.SIGKILL))
                watch.ceases(lambda: restart_kafka(stack))
                watch.fires("OL0Down", lambda: os.kill(stack.valkey.pid, signal.SIGKILL))
                watch.ceases(lambda: restart_redis(stack))
