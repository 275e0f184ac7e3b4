import pytest

from ol0.cli.runs import exit_status
from ol0.simulation.report.model import ENOUGH_DECISIONS, RunVerdict
from testbed.processes import ol0


def test_every_verdict_has_an_exit_status_of_its_own() -> None:
    assert [exit_status(verdict) for verdict in RunVerdict] == [0, 3, 1]


@pytest.mark.parametrize("command", ["demo", "soak"])
def test_the_help_says_what_each_exit_status_means_and_how_few_are_too_few(command: str) -> None:
    said = " ".join(ol0(command, "--help").stdout.split())
    assert "Exit status 0:" in said
    assert "3: not proven: no check failed, but the run was too short" in said
    assert f"Runs below {ENOUGH_DECISIONS:,} decisions seldom prove a lift" in said
