"""docs/python-api.md does what it says, as it stands there."""

import re
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path
from shutil import copyfile

import pytest

from ol0.controller.checkpoint import read_checkpoint
from ol0.evaluator.handler import OnlineEvaluator
from ol0.learning.trainer import Proposal
from ol0.sdk.online_learner import OnlineLearner
from ol0.sdk.router import Router
from ol0.simulation import soak_test
from ol0.simulation.harness import RunPlan
from ol0.simulation.report.model import RunReport
from support.made_up_run import LENGTH_S, made_up_report, watch
from unit.ar1.worlds import SMALL, write_calibration

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "python-api.md").read_text(encoding="utf-8")
LEARNING, SOAKING = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """The names that the first example leaves behind, run where its two files lie, and what it ``printed``."""
    copyfile(SMALL, tmp_path / "final_policy.pt")
    write_calibration(tmp_path / "logged.npz", 600)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    with redirect_stdout(StringIO()) as told:
        exec(LEARNING, names)  # noqa: S102 - our own page
    return {**names, "printed": told.getvalue().strip()}


def test_the_example_prints_what_the_page_says_within_the_chance_of_its_exploration(played: dict[str, object]) -> None:
    said = re.search(r"prints something like\s+`(.*?)`", PAGE)
    assert said is not None
    assert shares(str(played["printed"])) == pytest.approx(shares(said[1]), abs=15)


def shares(text: str) -> list[int]:
    return [int(share) for share in re.findall(r"(\d+)%", text)]


def test_its_router_serves_its_candidate(played: dict[str, object]) -> None:
    candidate, router, learner = played["candidate"], played["router"], played["learner"]
    assert isinstance(candidate, Proposal)
    assert isinstance(router, Router)
    assert isinstance(learner, OnlineLearner)
    assert router.serving == (0, candidate.controller.digest)
    assert read_checkpoint(candidate.data).manifest.base == learner.base.digest


def test_the_soak_of_the_page_is_a_day_in_ten_minutes(
    played: dict[str, object], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a run that was played elsewhere: this one would take its ten minutes
    plans: list[RunPlan] = []

    def play(plan: RunPlan, *_: object) -> RunReport:
        plans.append(plan)
        observation = replace(watch(LENGTH_S), evaluation=OnlineEvaluator().snapshot())
        return made_up_report(observation)

    monkeypatch.setattr(soak_test, "play", play)
    # When the page's lines are run after those of the first example
    exec(SOAKING, played)  # noqa: S102 - our own page
    # Then a day was asked for, and its verdict is told
    (plan,) = plans
    assert (plan.time_scale, plan.decisions, plan.out) == (144, 60_000, Path("runs/soak"))
    assert "no success None" in capsys.readouterr().out
