"""The live view as one screen: at most 100 columns by 32 rows, in colours that read on black and on white."""

from collections.abc import Callable, Sequence
from typing import Final

from rich import box
from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from ol0.operator.figures import CandidateStory, Success, deciding_reason
from ol0.operator.narration import now_sentence
from ol0.operator.observation import Observation
from ol0.operator.text import DASH, clock, lift_text, percent, plural, reason_text, stage_text
from ol0.records import Arm, Gate, Judgement, Phase, Verdict, short

WIDTH: Final = 100
CANDIDATE_ROWS: Final = 9
SPARK_BARS: Final = "▁▂▃▄▅▆▇█"
SPARK_WIDTH: Final = 24
QUIET: Final = "#808080"
"""Grey of the middle: as readable on black as on white. The others are as bright."""
ARM_STYLE: Final = {Arm.LIVE: "#2f80c8", Arm.STAGED: "#c96a12", Arm.HOLDBACK: QUIET}
WORD_STYLE: Final = {
    Judgement.APPROVE: "#2f80c8",
    Judgement.REJECT: "#c96a12",
    Judgement.ROLLBACK: "bold #c96a12",
    Judgement.HOLD: QUIET,
}
PHASE_WORDS: Final = {
    None: "offered",
    Phase.OFFERED: "offered",
    Phase.STAGED: "on trial",
    Phase.LIVE: "live",
    Phase.SUPERSEDED: "was live",
    Phase.REJECTED: "rejected",
    Phase.QUARANTINED: "taken back",
}


def screen(now: Observation) -> RenderableType:
    """The whole screen."""
    return Group(
        _header(now),
        Text(),
        _arms(now),
        Text(),
        facts(now),
        Text(),
        candidates(now.candidates),
        Rule(style=QUIET),
        Text(now_sentence(now), no_wrap=True, overflow="ellipsis"),
    )


def sparkline(values: Sequence[float | None], low: float, high: float) -> str:
    """One bar for each value between ``low`` and ``high``; a blank for None.

    >>> sparkline([0.0, None, 0.5, 1.0], 0.0, 1.0)
    '▁ ▅█'
    """
    span = high - low or 1.0
    top = len(SPARK_BARS) - 1
    return "".join(" " if value is None else SPARK_BARS[round((value - low) / span * top)] for value in values)


def _header(now: Observation) -> RenderableType:
    grid = Table.grid(padding=(0, 2), expand=True)
    grid.add_column(no_wrap=True)
    grid.add_column(ratio=1)
    for _ in range(4):
        grid.add_column(justify="right", no_wrap=True)
    grid.add_row(
        Text(f"OL0  {clock(now.elapsed_s)}", style="bold"),
        ProgressBar(
            total=max(1, now.planned),
            completed=now.decisions,
            style=QUIET,
            complete_style=ARM_STYLE[Arm.LIVE],
            finished_style=ARM_STYLE[Arm.LIVE],
        ),
        f"{now.decisions:,} of {now.planned:,} decisions",
        f"{now.events_per_s:,.0f} events/s",
        f"lag {now.lag:,}",
        plural(sum(now.restarts.values()), "restart"),
    )
    return grid


def _arms(now: Observation) -> RenderableType:
    kinds = sorted(now.kinds)
    table = _table()
    table.add_column("success", width=9)
    for heading in ("now", "whole run", *(f"{kind} kinds" for kind in kinds), "rewards"):
        table.add_column(heading, justify="right", width=9)
    table.add_column("over time", width=SPARK_WIDTH)
    sparks = _sparklines(now)
    for arm, figures in now.arms.items():
        by_kind = [percent(_recent(now.kinds[kind].get(arm))) for kind in kinds]
        cells = [percent(figures.recent), percent(figures.overall), *by_kind, f"{figures.rewards:,}", sparks[arm]]
        table.add_row(Text(arm, style=f"bold {ARM_STYLE[arm]}"), *cells[:-1], Text(cells[-1], style=ARM_STYLE[arm]))
    return table


def _recent(figures: Success | None) -> float | None:
    return None if figures is None else figures.recent


def _sparklines(now: Observation) -> dict[Arm, str]:
    """The arms on one scale, so that heights compare; the run so far fills the width."""
    count = len(now.series)
    columns = min(count, SPARK_WIDTH)
    points = [now.series[(i + 1) * count // columns - 1] for i in range(columns)]
    values = {arm: [point.success.get(arm) for point in points] for arm in Arm}
    known = [value for line in values.values() for value in line if value is not None]
    return {arm: sparkline(line, min(known, default=0.0), max(known, default=1.0)) for arm, line in values.items()}


def facts(now: Observation, as_of: str | None = None) -> RenderableType:
    """Lift, where it is said what it holds for, and serving state: a name and a sentence each."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(width=7, style=QUIET)
    grid.add_column(no_wrap=True, overflow="ellipsis")
    lift = Text(lift_text(now.lift), style="bold")
    grid.add_row("lift", lift.append("  over the holdback, per session", style=f"not bold {QUIET}"))
    if as_of is not None:
        grid.add_row("", as_of)
    grid.add_row("serving", _serving(now))
    return grid


def _serving(now: Observation) -> Text:
    serving = now.serving
    if serving is None:
        return Text(DASH)
    text = Text.assemble("base ", short(serving.base), "   live ")
    name = "the base" if serving.live == serving.base else f"{short(serving.live)} (step {serving.live_step})"
    text.append(name, style=ARM_STYLE[Arm.LIVE])
    if serving.staged is not None:
        trial = serving.staged
        text.append("   staged ")
        text.append(
            f"{short(trial.digest)} (stage {trial.stage}, {trial.share * 100:.0f} %)", style=ARM_STYLE[Arm.STAGED]
        )
    text.append(f"   {serving.mode}{', frozen' if serving.frozen else ''}   state {serving.sequence}", style=QUIET)
    return text


def read_at(story: CandidateStory) -> str:
    """When a candidate came, on the clock of the run."""
    return clock(story.at_s)


def candidates(
    stories: Sequence[CandidateStory], rows: int = CANDIDATE_ROWS, at: Callable[[CandidateStory], str] = read_at
) -> RenderableType:
    """The newest candidates, the very newest first; always as many rows, so that nothing below jumps."""
    table = _table()
    table.add_column("offered", width=8)
    table.add_column("step", justify="right", width=4)
    table.add_column("at", justify="right", min_width=4, no_wrap=True)
    table.add_column("canary", ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_column("drift", width=19, no_wrap=True, overflow="ellipsis")
    table.add_column("is", width=10)
    newest = stories[: -rows - 1 : -1]
    for story in newest:
        style = {Phase.LIVE: ARM_STYLE[Arm.LIVE], Phase.STAGED: ARM_STYLE[Arm.STAGED]}.get(story.phase or Phase.OFFERED)
        table.add_row(
            short(story.digest),
            str(story.step),
            at(story),
            *(_word(story.word(gate)) for gate in Gate),
            Text(PHASE_WORDS[story.phase], style=style or QUIET),
        )
    for _ in range(rows - len(newest)):
        table.add_row()
    return table


def _word(verdict: Verdict | None) -> Text:
    """What a gate says now: the judgement, how far the checkpoint has come, and the figure that decided."""
    if verdict is None:
        return Text(DASH, style=QUIET)
    text = Text.assemble(
        (verdict.judgement.value, WORD_STYLE[verdict.judgement]),
        f", {stage_text(verdict.stage)}" if verdict.stage else "",
    )
    reason = deciding_reason(verdict)
    return text if reason is None else text.append(f": {reason_text(reason)}")


def _table() -> Table:
    return Table(
        box=box.SIMPLE_HEAD,
        expand=True,
        show_edge=False,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        header_style=QUIET,
        border_style=QUIET,
    )
