"""``ol0 demo`` and ``ol0 soak``."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from ol0.cli.command import EXIT_FAILED, EXIT_NOT_PROVEN, explained, extra

if TYPE_CHECKING:
    from collections.abc import Callable

    from ol0.simulation.report.model import RunVerdict
    from ol0.stacks.stack import Stack

app = typer.Typer()


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder of the report, the settings and the logs; it is made anew.")] = Path(
        "runs/demo"
    ),
    data: Annotated[
        Path | None,
        typer.Option(help="An .npz with X (n, D), P (n, K), old (n,) and group (n,); default: Debian packages."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the split, the base and the users.")] = 0,
    decisions: Annotated[int, typer.Option(min=100, help="How many prompts the users ask.")] = 20_000,
    rate: Annotated[float, typer.Option(min=1, help="Prompts a second.")] = 180.0,
) -> None:
    """Learns from a live stream through real Kafka and Valkey, in about two minutes; no Docker.

    Ends with a summary, `report.html` for people and `report.json` for machines in the folder --out.
    Exit status 0: everything that was asked of the run holds. 1: something does not, and the report says what.
    3: nothing failed, and not everything was shown: fewer than some 12,000 decisions seldom prove a lift.

    Example: `ol0 demo --seed 1 --out runs/seed-1`
    """
    with explained():
        with extra("local"):
            from ol0.simulation.demo import demo_plan
            from ol0.simulation.harness import play
            from ol0.simulation.users import UserHabits
            from ol0.stacks.native import NativeStack

        report = play(demo_plan(data, out, seed, decisions, UserHabits(rate_per_s=rate)), NativeStack, Console())
    raise typer.Exit(exit_status(report.verdict))


class StackName(StrEnum):
    """Where a soak runs."""

    NATIVE = "native"
    TESTCONTAINERS = "testcontainers"


@app.command()
def soak(
    duration_hours: Annotated[float, typer.Option(min=0.01, help="Hours of event time.")] = 24.0,
    time_scale: Annotated[float, typer.Option(min=1, help="Seconds of event time in a second.")] = 1.0,
    stack: Annotated[StackName, typer.Option(help="Child processes, or containers.")] = StackName.NATIVE,
    out: Annotated[Path, typer.Option(help="Folder of the report, the settings and the logs; it is made anew.")] = Path(
        "runs/soak"
    ),
    data: Annotated[Path | None, typer.Option(help="Labelled prompts, as for `ol0 demo`.")] = None,
    seed: Annotated[int, typer.Option(help="Of the split, the base and the users.")] = 0,
    rate: Annotated[float, typer.Option(min=1, help="Prompts in a second of wall time.")] = 100.0,
) -> None:
    """Plays hours of traffic with production's settings, kills every service once, and reconciles every record.

    Exit status 0: everything that was asked of the run holds. 1: something does not, and the report says what.
    3: nothing failed, and not everything was shown: fewer than some 12,000 decisions seldom prove a lift.

    Example: `ol0 soak --duration-hours 24 --time-scale 144`
    """
    with explained():
        with extra("local"):
            from ol0.simulation.harness import play
            from ol0.simulation.soak import soak_plan
            from ol0.simulation.users import UserHabits

        plan = soak_plan(
            out,
            duration_hours=duration_hours,
            time_scale=time_scale,
            seed=seed,
            habits=UserHabits(rate_per_s=rate),
            data=data,
        )
        report = play(plan, _stack_class(stack), Console())
    raise typer.Exit(exit_status(report.verdict))


def exit_status(verdict: "RunVerdict") -> int:
    """What a script learns of a run."""
    return {"passed": 0, "not proven": EXIT_NOT_PROVEN, "failed": EXIT_FAILED}[verdict]


def _stack_class(name: StackName) -> "Callable[[Path], Stack]":
    """Each needs an extra of its own, so only the one that is asked for is imported."""
    if name is StackName.NATIVE:
        from ol0.stacks.native import NativeStack

        return NativeStack
    with extra("local,containers"):
        from ol0.stacks.containers import ContainerStack
    return ContainerStack
