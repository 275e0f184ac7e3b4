import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
import structlog

from ol0.ar1.baseline import BaselineMetrics
from ol0.config import EvaluationConfig, ServingConfig
from ol0.errors import ConfigError, StreamError
from ol0.evaluator.handler import OnlineEvaluator
from ol0.observability.logs import configure_logs
from ol0.records import Arm, RewardParts, Tick
from ol0.simulation import soak_test
from ol0.simulation.harness import RunPlan
from ol0.simulation.report.model import KindPolicy, Policy, RunReport, RunVerdict
from ol0.simulation.soak_test import SoakTestResult, run_24hour_soak_test
from support.examples import OUTCOME
from support.made_up_run import made_up_report

BASELINE = BaselineMetrics(0.8, 0.95, 0.3, 0.97, 400)
KEPT = Policy(new=KindPolicy(0.4, 0.6, 0.3, 0.9), old=KindPolicy(0.7, 0.7, 0.3, 0.9))
HURT = Policy(new=KindPolicy(0.4, 0.6, 0.3, 0.9), old=KindPolicy(0.7, 0.6, 0.3, 0.9))


def evaluated(better: float = 0.3) -> OnlineEvaluator:
    """The evaluator of a run in which the learnt policy was so much better than the holdback."""
    evaluator, rng = OnlineEvaluator(), Random(1)
    for number in range(4_000):
        arm = rng.choices([Arm.LIVE, Arm.HOLDBACK], [0.9, 0.1])[0]
        reward = float(rng.random() < 0.4 + better * (arm is Arm.LIVE))
        time_ms = OUTCOME.window_end_ms + 1_000 * number
        evaluator.handle(
            replace(
                OUTCOME,
                sequence=number,
                session_id=f"s{number}",
                arm=arm,
                reward=reward,
                parts=RewardParts(),
                time_ms=time_ms,
                window_end_ms=time_ms,
            )
        )
    evaluator.handle(Tick(OUTCOME.window_end_ms + 10**9))
    return evaluator


def report(evaluator: OnlineEvaluator, policy: Policy = KEPT) -> RunReport:
    played = made_up_report(policy=policy)
    return replace(played, observation=replace(played.observation, evaluation=evaluator.snapshot()))


def judged(evaluator: OnlineEvaluator, policy: Policy = KEPT) -> SoakTestResult:
    return SoakTestResult.of(report(evaluator, policy), evaluator.figures(), 24.0, BASELINE)


# -- the verdict --------------------------------------------------------------------------------------------------


def test_a_run_that_holds_and_a_proven_lift_are_a_success() -> None:
    soak = judged(evaluated())
    assert (soak.success, soak.verdict) == (True, RunVerdict.PASSED)
    assert not soak.has_regressions
    assert soak.aggregate_improvement == pytest.approx(75, abs=25)
    assert soak.baseline_metrics == BASELINE
    assert soak.summary.startswith("Passed: all checks hold.")
    assert f"aggregate   {soak.aggregate_improvement:+.1f} % over the holdback, proven" in soak.summary
    assert "baseline    80.0 % in the warm-up" in soak.summary


def test_without_a_proven_improvement_it_is_none() -> None:
    soak = judged(evaluated(better=0.0))
    assert (soak.success, soak.verdict) == (False, RunVerdict.NOT_PROVEN)
    assert "over the holdback, not proven" in soak.summary


def test_a_run_that_does_not_hold_is_none_whatever_the_lift() -> None:
    soak = judged(evaluated(), HURT)
    assert (soak.success, soak.verdict, soak.has_regressions) == (False, RunVerdict.FAILED, True)
    assert "Old kinds lost more than 1% of their ceiling" in soak.summary


def test_without_feedback_there_is_no_improvement_to_tell() -> None:
    soak = SoakTestResult.of(made_up_report(), OnlineEvaluator().figures(), 24.0, None)
    assert (soak.success, soak.aggregate_improvement) == (False, None)
    assert "not known: an arm has no feedback" in soak.summary
    assert "baseline" not in soak.summary


# -- the run ------------------------------------------------------------------------------------------------------


class Stage:
    """In place of the harness: remembers the plan and returns a report; logs as the harness does."""

    def __init__(self, played: RunReport) -> None:
        self.played = played
        self.plans: list[RunPlan] = []

    def play(self, plan: RunPlan, *_: object) -> RunReport:
        self.plans.append(plan)
        configure_logs("harness", "INFO")
        logging.getLogger().handlers[:] = [logging.NullHandler()]
        return self.played


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    stage = Stage(report(evaluated()))
    monkeypatch.setattr(soak_test, "play", stage.play)
    yield stage
    structlog.reset_defaults()


def test_it_plays_what_ol0_soak_plays(stage: Stage) -> None:
    soak = run_24hour_soak_test(OnlineEvaluator(), BASELINE)
    (plan,) = stage.plans
    assert (soak.duration_hours, plan.time_scale, plan.out) == (24, 1, Path("runs/soak"))
    assert plan.decisions == 24 * 3600 * 100
    assert len(plan.faults) == 6
    run_24hour_soak_test(OnlineEvaluator(), duration_hours=2, time_scale=60, out="mine", seed=4, rate_per_s=10)
    plan = stage.plans[-1]
    assert (plan.decisions, plan.time_scale, plan.out, plan.seed) == (2 * 3600 * 10 / 60, 60, Path("mine"), 4)


def test_the_evaluator_takes_over_what_the_runs_found(stage: Stage) -> None:
    evaluator = OnlineEvaluator()
    evaluator.set_baseline_metrics(BASELINE)
    soak = run_24hour_soak_test(evaluator, BASELINE)
    assert evaluator.figures() == soak.final_metrics
    assert soak.final_metrics.arms == evaluated().figures().arms
    assert soak.final_metrics.baseline == BASELINE


def test_the_callers_target_judges(stage: Stage) -> None:
    ambitious = OnlineEvaluator(EvaluationConfig(target_improvement_percent=1_000))
    assert run_24hour_soak_test(OnlineEvaluator()).success
    assert not run_24hour_soak_test(ambitious).success


def test_the_host_logs_as_before(stage: Stage) -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level, structlog.get_config(), structlog.contextvars.get_contextvars()
    run_24hour_soak_test(OnlineEvaluator())
    assert (root.handlers, root.level, structlog.get_config(), structlog.contextvars.get_contextvars()) == before


def test_an_evaluator_without_a_holdback_is_refused_before_a_day_is_spent(stage: Stage) -> None:
    with pytest.raises(ConfigError, match=r"serving\.holdback above 0"):
        run_24hour_soak_test(OnlineEvaluator(serving=ServingConfig(holdback=0)))
    assert stage.plans == []


def test_a_run_whose_evaluator_said_nothing_has_no_verdict(stage: Stage) -> None:
    played = made_up_report()
    stage.played = replace(played, observation=replace(played.observation, evaluation=None))
    with pytest.raises(StreamError, match=r"wrote no snapshot: see .*evaluator\.log"):
        run_24hour_soak_test(OnlineEvaluator())
