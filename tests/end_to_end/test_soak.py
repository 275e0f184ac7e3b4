import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from ol0.supervisor.service_commands import SERVICES
from support.docker_engine import environment_for_testcontainers, require_docker

HOURS, SCALE, RATE = 0.5, 60, 60
DECISIONS = round(HOURS * 3600 / SCALE * RATE)
LIMIT_S = 280
LOG_LINES = 15

pytestmark = [pytest.mark.docker, pytest.mark.slow]


class Account(BaseModel):
    """``reconciliation`` of a report."""

    decisions: int
    outcomes: int
    outcomes_read: int
    examples: int
    null_rewards: int
    feedback: int
    feedback_used: int
    decisions_dropped: dict[str, int]
    feedback_dropped: dict[str, int]


class Fault(BaseModel):
    time: float
    fault: str


class EventTime(BaseModel):
    scale: float
    asked_s: float
    asking_s: float
    played_s: float


class Report(BaseModel):
    """What these tests read of ``report.json``."""

    verdict: str
    reasons: list[str]
    reconciliation: Account
    restarts: dict[str, int]
    faults: list[Fault]
    duration_s: float
    settings: dict[str, str]
    event_time: EventTime


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Half an hour of event time in 30 seconds, in containers, with production's settings and every fault."""
    require_docker()
    out = tmp_path_factory.mktemp("soak") / "run"
    options = {"duration-hours": HOURS, "time-scale": SCALE, "rate": RATE, "stack": "testcontainers", "out": out}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    done = subprocess.run(
        [sys.executable, "-m", "ol0", "soak", *words],
        capture_output=True,
        text=True,
        check=False,
        env=environment_for_testcontainers(),
        timeout=LIMIT_S,
    )
    # pytest shows this when a test fails.
    sys.stderr.write("\n".join([done.stdout, done.stderr, *map(end_of, sorted(out.glob("logs/*.log")))]))
    # In so short a run nothing can be proven about the lift, which is no failure.
    found = Report.model_validate_json((out / "report.json").read_text())
    assert (done.returncode, found.verdict) in {(0, "passed"), (3, "not proven")}
    return found


def end_of(log: Path) -> str:
    return "\n".join([f"--- {log.name}", *log.read_text(errors="replace").splitlines()[-LOG_LINES:]])


def test_every_record_is_accounted_for(report: Report) -> None:
    account = report.reconciliation
    assert account.decisions == DECISIONS
    assert account.decisions == account.outcomes + sum(account.decisions_dropped.values())
    assert account.outcomes == account.examples + account.null_rewards
    assert account.feedback == account.feedback_used + sum(account.feedback_dropped.values())
    assert account.outcomes_read == account.outcomes
    assert account.examples > 0


def test_nothing_is_lost_to_lateness_but_what_people_said_too_late(report: Report) -> None:
    assert not any(report.reconciliation.decisions_dropped.values())


def test_every_service_was_killed_once_and_came_back(report: Report) -> None:
    assert sorted(fault.fault for fault in report.faults) == sorted(f"kill -9 of {name}" for name in SERVICES)
    assert {name: count for name, count in report.restarts.items() if count >= 1}.keys() == set(SERVICES)


def test_half_an_hour_of_event_time_passed_in_less_than_three_minutes(report: Report) -> None:
    time = report.event_time
    assert (time.scale, time.asked_s) == (SCALE, HOURS * 3600)
    assert 0.8 * time.asked_s <= time.asking_s < time.played_s
    assert report.duration_s < time.played_s / 10


def test_it_is_production_that_was_played(report: Report) -> None:
    assert report.settings["streaming.reward_window_s"] == "600"
    assert report.settings["safety.cooldown_s"] == "1800.00"
    assert not [reason for reason in report.reasons if "accounted" in reason or "missing" in reason]
