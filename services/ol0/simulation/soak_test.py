"""``run_24hour_soak_test``: ``ol0 soak`` as a function, for hosts that want its verdict in Python."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import structlog
from rich.console import Console

from ol0.ar1.baseline import BaselineMetrics
from ol0.errors import ConfigError, StreamError
from ol0.evaluator.figures import EvaluationFigures
from ol0.evaluator.handler import OnlineEvaluator
from ol0.operator.text import percent
from ol0.simulation.harness import play
from ol0.simulation.report.files import summary_text
from ol0.simulation.report.model import RunReport, RunVerdict
from ol0.simulation.soak import soak_plan
from ol0.simulation.users import UserHabits
from ol0.stacks.native import NativeStack


@dataclass(frozen=True, slots=True)
class SoakTestResult:
    """What a soak found, by the names that the code has which OL0 takes over from.

    Attributes:
        success: the verdict is passed: every check passed, and the aggregate is at least
            ``evaluation.target_improvement_percent`` better with a lift that is proven to be above 0.
        verdict: passed; failed; or not proven: nothing failed, and not all of that was shown.
        duration_hours: what was asked for, in event time; the summary says how much was played.
        baseline_metrics: what the caller's warm-up measured.
        final_metrics: what the run's evaluator found.
        aggregate_improvement: of live and staged over the holdback, in percent; None while one of them has no data.
        has_regressions: old kinds lost more than the margin on prompts that nobody trained on.
        summary: all of it in words, a line each.
    """

    success: bool
    verdict: RunVerdict
    duration_hours: float
    baseline_metrics: BaselineMetrics | None
    final_metrics: EvaluationFigures
    aggregate_improvement: float | None
    has_regressions: bool
    summary: str

    @classmethod
    def of(
        cls, report: RunReport, figures: EvaluationFigures, duration_hours: float, baseline: BaselineMetrics | None
    ) -> Self:
        """The verdict on a run.

        Args:
            report: of the run.
            figures: of its evaluator, by the caller's target and confidence.
            duration_hours: in event time.
            baseline: what the caller's warm-up measured.
        """
        improvement = figures.aggregate_improvement_percent
        verdict = report.verdict
        if verdict is RunVerdict.PASSED and not figures.proven:
            verdict = RunVerdict.NOT_PROVEN
        return cls(
            success=verdict is RunVerdict.PASSED,
            verdict=verdict,
            duration_hours=duration_hours,
            baseline_metrics=baseline,
            final_metrics=figures,
            aggregate_improvement=improvement,
            has_regressions=report.policy is not None and report.policy.old.hurt,
            summary="\n".join([summary_text(report), *_more(figures, baseline)]),
        )


def run_24hour_soak_test(
    evaluator: OnlineEvaluator,
    baseline_metrics: BaselineMetrics | None = None,
    *,
    duration_hours: float = 24.0,
    time_scale: float = 1.0,
    out: Path | str = "runs/soak",
    seed: int = 0,
    rate_per_s: float = 100.0,
    console: Console | None = None,
) -> SoakTestResult:
    """Plays hours of traffic against Kafka, Valkey and all services, kills each service once, and judges.

    The run has a stack, a base and simulated users of its own, as ``ol0 soak`` has, whose files it leaves in ``out``.
    ``baseline_metrics`` are of another base and other prompts: they are told in the summary and judge nothing.
    Blocks until the run is over, for ``duration_hours / time_scale`` and about a minute.

    Args:
        evaluator: takes over what the run's evaluator found, in place of what it knew; its target and confidence judge.
            It needs a holdback, as the run has one.
        baseline_metrics: of the caller's warm-up.
        duration_hours: in event time.
        time_scale: seconds of event time in a second: 144 makes a day of ten minutes.
        out: folder of the report, the settings and the logs; it is made anew.
        seed: of the split, the base and the users.
        rate_per_s: prompts in a second of wall time.
        console: where the run is shown; None: nowhere.

    Returns:
        The verdict, with its figures; ``report.html`` and ``report.json`` are in ``out``.

    Raises:
        ConfigError: the folder holds something that no run made, or the evaluator has no holdback.
        OL0Error: the run could not be finished; says what and where the log is.
    """
    if evaluator.figures().lift is None:
        raise ConfigError("the run has a holdback and the evaluator none: make it with serving.holdback above 0")
    habits = UserHabits(rate_per_s=rate_per_s)
    plan = soak_plan(Path(out), duration_hours=duration_hours, time_scale=time_scale, seed=seed, habits=habits)
    with _host_logging():
        report = play(plan, NativeStack, console or Console(quiet=True))
    if report.observation.evaluation is None:
        raise StreamError(f"the run's evaluator wrote no snapshot: see {plan.out / 'logs' / 'evaluator.log'}")
    evaluator.restore(report.observation.evaluation)
    return SoakTestResult.of(report, evaluator.figures(), duration_hours, baseline_metrics)


@contextmanager
def _host_logging() -> Iterator[None]:
    """A run logs into its folder; afterwards the host logs as it did before."""
    root, settings = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers[:], root.level
    try:
        with structlog.contextvars.bound_contextvars(service="harness"):
            yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.configure(**settings)


def _more(figures: EvaluationFigures, baseline: BaselineMetrics | None) -> list[str]:
    """What the summary of a report does not say."""
    improvement = figures.aggregate_improvement_percent
    found = "not known: an arm has no feedback" if improvement is None else f"{improvement:+.1f} %"
    lines = [f"  aggregate   {found} over the holdback, {'proven' if figures.proven else 'not proven'}"]
    if baseline is not None and baseline.task_success_rate is not None:
        lines.append(
            f"  baseline    {percent(baseline.task_success_rate)} in the warm-up, of another base than the run's"
        )
    return lines
