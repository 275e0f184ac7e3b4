"""Writes what became of a run: ``report.json`` for machines, ``report.html`` for people, a summary for the terminal."""

import dataclasses
import json
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ol0.operator.text import clock, lift_text, percent, plural
from ol0.records import Verdict, short
from ol0.simulation.report.model import RunReport, from_to
from ol0.simulation.report.page import html
from ol0.simulation.report.text import closing_text, event_time_text, yardsticks

NAME_WIDTH: Final = 12


def write_report(report: RunReport, folder: Path) -> tuple[Path, Path]:
    """Writes both files into the folder, which is made where it is missing.

    Returns:
        The paths of ``report.json`` and ``report.html``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    machine, people = folder / "report.json", folder / "report.html"
    # Text first: where the page cannot be made, the verdict still stands on the disk.
    machine.write_text(json.dumps(as_json(report), indent=2, allow_nan=False) + "\n", encoding="utf-8")
    people.write_text(html(report), encoding="utf-8")
    return machine, people


def as_json(report: RunReport) -> dict[str, object]:
    """The report in plain JSON values. Rates are fractions, times are seconds since the run began.

    ``reasons`` say why it failed; ``missing`` says what it did not show.
    """
    now = report.observation
    return {
        "verdict": report.verdict.value,
        "reasons": report.problems(),
        "missing": report.missing(),
        "lift": dataclasses.asdict(now.lift),
        "policy": None if report.policy is None else dataclasses.asdict(report.policy),
        "reconciliation": dataclasses.asdict(report.reconciliation),
        "arms": {arm.value: dataclasses.asdict(success) for arm, success in now.arms.items()},
        "releases": [
            {
                "digest": release.digest,
                "step": release.step,
                "time": release.at_s,
                "approvals": [_verdict(approval) for approval in release.approvals],
            }
            for release in now.releases
        ],
        "verdicts": [{"time": seen.at_s, **_verdict(seen.record)} for seen in now.verdicts],
        "restarts": dict(now.restarts),
        "faults": [{"time": at_s, "fault": fault} for at_s, fault in report.faults],
        "duration_s": now.elapsed_s,
        "event_time": None if report.event_time is None else dataclasses.asdict(report.event_time),
        "began": report.began,
        "seed": report.seed,
        "data": report.data,
        "environment": dict(report.environment),
        "settings": dict(report.settings),
    }


def summary_text(report: RunReport) -> str:
    """The closing words on the terminal: ten to fifteen lines, plain text of at most 100 columns where all is well."""
    now, sums = report.observation, report.reconciliation
    lines = [f"{report.verdict.capitalize()}: {closing_text(report)}"]
    lines += [f"  - {text}" for text in (*report.problems(), *report.missing())]
    if report.policy is not None:
        lines += [_line("new kinds", from_to(report.policy.new)), _line("old kinds", from_to(report.policy.old))]
        lines += [_line("yardsticks", yardsticks(report.policy))]
    capped = f" + {sums.capped:,} beyond a user's limit" if sums.capped else ""
    arms = (f"{arm} {percent(success.overall)}" for arm, success in now.arms.items())
    lines += [
        _line("lift", f"{lift_text(now.lift)} over the holdback"),
        _line("success", f"{', '.join(arms)} (the whole run)"),
        _line("releases", _releases(report)),
        _line("decisions", _counted(sums.decisions, "outcomes", sums.outcomes, sums.decisions_dropped)),
        _line(
            "outcomes",
            f"{sums.outcomes:,} = {sums.examples:,} examples + {sums.null_rewards:,} without a reward{capped}",
        ),
        _line("feedback", _counted(sums.feedback, "used", sums.feedback_used, sums.feedback_dropped)),
        _line("restarts", _restarts(now.restarts)),
        *([] if report.event_time is None else [_line("event time", event_time_text(report.event_time))]),
        _line("time", f"{clock(now.elapsed_s)}, {_source(report)}"),
    ]
    return "\n".join(lines)


def wrapped(summary: str, width: int) -> str:
    """The same for a terminal of so many columns: what does not fit goes on below the words that it began with."""
    lines = []
    for line in summary.splitlines():
        indent = 4 if line.startswith("  - ") else 2 + NAME_WIDTH if line.startswith("  ") else 0
        lines.append(textwrap.fill(line, width, subsequent_indent=" " * indent, break_on_hyphens=False))
    return "\n".join(lines)


def _verdict(verdict: Verdict) -> dict[str, object]:
    return {
        "digest": verdict.digest,
        "gate": verdict.gate.value,
        "stage": verdict.stage,
        "judgement": verdict.judgement.value,
        "evidence": verdict.evidence,
        "reasons": [dataclasses.asdict(reason) for reason in verdict.reasons],
    }


def _line(name: str, text: str) -> str:
    return f"  {name:<{NAME_WIDTH}}{text}"


def _releases(report: RunReport) -> str:
    now = report.observation
    named = ", ".join(f"{short(release.digest)} (step {release.step})" for release in now.releases[-3:])
    last = f", last {named}" if named else ""
    return f"{len(now.releases)} of {plural(len(now.candidates), 'candidate')}{last}"


def _counted(total: int, name: str, used: int, dropped: Mapping[str, int]) -> str:
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in dropped.items() if count)
    return f"{total:,} = {used:,} {name} + {sum(dropped.values()):,} dropped{f' ({reasons})' if reasons else ''}"


def _restarts(restarts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in restarts.items() if count) or "none"


def _source(report: RunReport) -> str:
    return report.data if report.seed is None else f"{report.data}, seed {report.seed}"
