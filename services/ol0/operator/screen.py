"""The live view as one screen, from 80 columns by 24 rows on, in colours that read on black and on white."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.progress_bar import ProgressBar
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from ol0.operator.figures import CandidateStory, Success, deciding_reason
from ol0.operator.fitted import Fitted
from ol0.operator.narration import now_sentence
from ol0.operator.observation import Observation
from ol0.operator.text import DASH, clock, lift_text, percent, plural, reason_text, stage_text
from ol0.records import Arm, Gate, Judgement, Phase, Verdict, short

HEIGHT: Final = 32
CANDIDATE_ROWS: Final = 9
MOST_BARS: Final = 400
SPARK_BARS: Final = "▁▂▃▄▅▆▇█"
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


def screen(now: Observation, height: int) -> RenderableType:
    """The whole screen: as wide as the terminal and as tall as this, up to ``HEIGHT`` rows."""
    return Fitted(
        above=Group(_header(now), Text(), _arms(now), Text(), facts(now), Text()),
        table=partial(candidates, now.candidates),
        most=CANDIDATE_ROWS,
        below=(Rule(style=QUIET), Text(now_sentence(now))),
        height=min(height, HEIGHT),
        filled=True,
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
    table.add_column("over time", ratio=1)
    points = now.series[:: -(len(now.series) // MOST_BARS + 1)][::-1]
    known = [value for point in points for value in point.success.values() if value is not None]
    low, high = min(known, default=0.0), max(known, default=1.0)  # one scale, so that heights compare
    for arm, figures in now.arms.items():
        by_kind = [percent(_recent(now.kinds[kind].get(arm))) for kind in kinds]
        cells = [percent(figures.recent), percent(figures.overall), *by_kind, f"{figures.rewards:,}"]
        line = _Line([point.success.get(arm) for point in points], low, high, ARM_STYLE[arm])
        table.add_row(Text(arm, style=f"bold {ARM_STYLE[arm]}"), *cells, line)
    return table


@dataclass(frozen=True)
class _Line:
    """A sparkline: the run so far fills the width."""

    values: Sequence[float | None]
    low: float
    high: float
    style: str

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        count, columns = len(self.values), options.max_width
        shown = [self.values[-(-(i + 1) * count // columns) - 1] for i in range(columns if count else 0)]
        yield Text(sparkline(shown, self.low, self.high), style=self.style)


def _recent(figures: Success | None) -> float | None:
    return None if figures is None else figures.recent


def facts(now: Observation, as_of: str | None = None) -> RenderableType:
    """Lift, where it is said what it holds for, serving state and trial: a name and a sentence each."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(width=7, style=QUIET)
    grid.add_column()
    lift = Text(lift_text(now.lift), style="bold")
    grid.add_row("lift", lift.append("  over the holdback, per session", style=f"not bold {QUIET}"))
    if as_of is not None:
        grid.add_row("", as_of)
    grid.add_row("serving", _serving(now))
    grid.add_row("staged", _staged(now))
    return grid


def _serving(now: Observation) -> Text:
    serving = now.serving
    if serving is None:
        return Text(DASH)
    text = Text.assemble("base ", short(serving.base), "   live ")
    name = "the base" if serving.live == serving.base else f"{short(serving.live)} (step {serving.live_step})"
    text.append(name, style=ARM_STYLE[Arm.LIVE])
    text.append(f"   {serving.mode}{', frozen' if serving.frozen else ''}   state {serving.sequence}", style=QUIET)
    return text


def _staged(now: Observation) -> Text:
    trial = None if now.serving is None else now.serving.staged
    if trial is None:
        return Text(DASH)
    text = f"{short(trial.digest)} (stage {trial.stage}, {trial.share * 100:.0f} %)"
    return Text(text, style=ARM_STYLE[Arm.STAGED])


def read_at(story: CandidateStory) -> str:
    """When a candidate came, on the clock of the run."""
    return clock(story.at_s)


def candidates(
    stories: Sequence[CandidateStory], rows: int, at: Callable[[CandidateStory], str] = read_at
) -> RenderableType:
    """The newest candidates, the very newest first."""
    table = _table()
    table.add_column("offered", width=8)
    table.add_column("step", justify="right", width=4)
    table.add_column("at", justify="right", min_width=4)
    table.add_column("canary", ratio=1)
    table.add_column("drift", width=19)
    table.add_column("is", width=10)
    for story in stories[: -rows - 1 : -1]:
        style = {Phase.LIVE: ARM_STYLE[Arm.LIVE], Phase.STAGED: ARM_STYLE[Arm.STAGED]}.get(story.phase or Phase.OFFERED)
        table.add_row(
            short(story.digest),
            str(story.step),
            at(story),
            *(_word(story.word(gate)) for gate in Gate),
            Text(PHASE_WORDS[story.phase], style=style or QUIET),
        )
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
