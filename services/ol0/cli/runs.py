"""``ol0 demo`` and ``ol0 soak``."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

import typer
from rich.console import Console

from ol0.cli.base import LetTrain
from ol0.cli.command import EXIT_FAILED, EXIT_NOT_PROVEN, Config, explained, extra, on_broker, stop_on_signals
from ol0.config import ServingConfig
from ol0.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ol0.simulation.report.model import RunVerdict
    from ol0.stacks.stack import Stack

app = typer.Typer()
MOST_WIDE = 4_096
FOR_EVER = 2**62


@app.command(rich_help_panel="Try")
def demo(
    out: Annotated[
        Path, typer.Option(help="Folder for the report, settings and logs. Its old content is replaced.")
    ] = Path("runs/demo"),
    data: Annotated[
        Path | None,
        typer.Option(help="An .npz file with X (n, D), P (n, K), old (n,) and group (n,). Default: Debian packages."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed of the data split, the base and the users.")] = 0,
    decisions: Annotated[int, typer.Option(min=100, help="Number of prompts that the simulated users send.")] = 20_000,
    rate: Annotated[float, typer.Option(min=1, help="Prompts per second.")] = 180.0,
    base: Annotated[
        Path | None, typer.Option(help="Folder of a base of your own, from `ol0 base`. Default: one is trained.")
    ] = None,
    head: Annotated[
        str, typer.Option(help="The base that is trained: linear, or mlp:WIDTH,WIDTH... in torch (`ol0[torch]`).")
    ] = "linear",
    trainable: LetTrain = False,  # noqa: FBT002 - how typer writes a flag
) -> None:
    """Run the whole system on simulated users, with a real Kafka and Valkey, in about two minutes. No Docker.

    Prints a summary at the end and writes `report.html` (for people) and `report.json` (for machines) to --out.
    Exit status 0: every check passed. 1: a check failed; the report names it.
    3: not proven: no check failed, but the run was too short. Runs below 12,000 decisions seldom prove a lift.

    Example: `ol0 demo --seed 1 --out runs/seed-1`
    """
    with explained():
        with extra("local"):
            from ol0.simulation.demo import base_in, base_with_hidden_layers, demo_plan
            from ol0.simulation.harness import play
            from ol0.simulation.users import UserHabits
            from ol0.stacks.native import NativeStack

        make_base = None if base is None else base_in(base)
        if hidden := _hidden_layers(head):
            if base is not None:
                raise ConfigError("--head says what to train, and --base brings a trained one: give one of them")
            with extra("torch"):
                make_base = base_with_hidden_layers(hidden, seed, ServingConfig().epsilon, trainable=trainable)
        elif trainable:
            raise ConfigError("--trainable is about hidden layers: give --head mlp:WIDTH too")
        plan = demo_plan(data, out, seed, decisions, UserHabits(rate_per_s=rate), make_base)
        report = play(plan, NativeStack, Console())
    raise typer.Exit(exit_status(report.verdict))


def _hidden_layers(head: str) -> tuple[int, ...]:
    """Returns the widths of the layers of ``mlp:128`` or ``mlp:256,64``; empty for ``linear``."""
    kind, _, widths = head.partition(":")
    sizes = widths.split(",")
    if kind == "mlp" and all(size.isdecimal() and 0 < int(size) <= MOST_WIDE for size in sizes):
        return tuple(map(int, sizes))
    if head != "linear":
        raise ConfigError(f"--head {head}: expected linear, or mlp with widths up to {MOST_WIDE:,}, such as mlp:128")
    return ()


class StackName(StrEnum):
    """Where a soak test runs."""

    NATIVE = "native"
    TESTCONTAINERS = "testcontainers"
    ENVIRONMENT = "environment"


@app.command(rich_help_panel="Try")
def soak(
    duration_hours: Annotated[float, typer.Option(min=0.01, help="Hours of event time to simulate.")] = 24.0,
    time_scale: Annotated[
        float, typer.Option(min=1, help="Seconds of event time per second of wall-clock time.")
    ] = 1.0,
    stack: Annotated[
        StackName,
        typer.Option(
            help="Run Kafka and Valkey as child processes or as containers, or use those that "
            "OL0_KAFKA__BOOTSTRAP_SERVERS and OL0_REDIS__URL name, under a topic prefix of its own."
        ),
    ] = StackName.NATIVE,
    out: Annotated[
        Path, typer.Option(help="Folder for the report, settings and logs. Its old content is replaced.")
    ] = Path("runs/soak"),
    data: Annotated[Path | None, typer.Option(help="Labelled prompts, as for `ol0 demo`.")] = None,
    seed: Annotated[int, typer.Option(help="Random seed of the data split, the base and the users.")] = 0,
    rate: Annotated[float, typer.Option(min=1, help="Prompts per second of wall-clock time.")] = 100.0,
) -> None:
    """Run hours of traffic with production settings, kill every service once, and reconcile every record.

    Exit status 0: every check passed. 1: a check failed; the report names it.
    3: not proven: no check failed, but the run was too short. Runs below 12,000 decisions seldom prove a lift.

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
            topic_prefix=f"soak-{uuid4().hex[:8]}",
        )
        report = play(plan, _stack_class(stack), Console())
    raise typer.Exit(exit_status(report.verdict))


@app.command(rich_help_panel="Try")
def users(
    config: Config = None,
    decisions: Annotated[int | None, typer.Option(min=1, help="Prompts to send. Default: until Ctrl-C.")] = None,
    rate: Annotated[float, typer.Option(min=0.1, help="Prompts per second.")] = 20.0,
    data: Annotated[Path | None, typer.Option(help="Labelled prompts, as for `ol0 demo`.")] = None,
    seed: Annotated[int, typer.Option(help="Random seed of the data split and the users.")] = 0,
) -> None:
    """Let simulated users ask a lineage that runs: to see it work before a host is connected. Not for production.

    They ask mostly kinds of prompts that the base of the demo has not been trained on, and say what they think.

    Example: `ol0 users --config ol0.toml --rate 50`
    """
    with explained():
        from ol0.operator.setup.prompts import read_prompts, split_prompts
        from ol0.sdk.router import Router
        from ol0.simulation.users import UserHabits, Users

        settings, split = on_broker(config), split_prompts(*read_prompts(data), seed)
        stop = stop_on_signals()
        with Router.open(settings) as router:
            crowd = Users(router, split.stream, split.base, UserHabits(rate_per_s=rate), seed)
            typer.echo(f"users ask {rate:g} prompts a second; Ctrl-C ends it")
            crowd.run(decisions or FOR_EVER, stop)
            router.close()
            typer.echo(f"{crowd.tally.decisions:,} decisions and {crowd.tally.feedback:,} feedback were sent")
            typer.echo(f"{router.account.delivered:,} records delivered, {router.dropped:,} lost")


def exit_status(verdict: "RunVerdict") -> int:
    """Returns the exit status of a verdict."""
    return {"passed": 0, "not proven": EXIT_NOT_PROVEN, "failed": EXIT_FAILED}[verdict]


def _stack_class(name: StackName) -> "Callable[[Path], Stack]":
    """Imports only the stack that was asked for, because each needs its own extra."""
    if name is StackName.NATIVE:
        from ol0.stacks.native import NativeStack

        return NativeStack
    if name is StackName.ENVIRONMENT:
        from ol0.stacks.environment import EnvironmentStack

        return EnvironmentStack
    with extra("local,containers"):
        from ol0.stacks.containers import ContainerStack
    return ContainerStack
