"""``ol0``: every command under one name."""

import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from ol0.config import Settings, load_settings
from ol0.errors import ConfigError, OL0Error
from ol0.observability.health import Heartbeat, serve_health
from ol0.observability.logs import configure_logs
from ol0.supervisor.lineup import SERVICES, service_commands

if TYPE_CHECKING:
    from ol0.soak.stacks.stack import Stack

EXIT_FAILED = 1
EXIT_CONFIG = 2  # the supervisor does not restart what exits so: trying again cannot help
EXIT_INTERRUPTED = 130
PAGE_WIDTH = 100  # where there is no terminal to ask

app = typer.Typer(
    name="ol0",
    help="Online learning for a routing controller, on Kafka and Redis.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
replay_app = typer.Typer(no_args_is_help=True, help="The replay store.")
topics_app = typer.Typer(no_args_is_help=True, help="The topics that a lineage needs.")
config_app = typer.Typer(no_args_is_help=True, help="The settings, as a service would see them.")
dlq_app = typer.Typer(no_args_is_help=True, help="Dead letters: records that could not be used.")
app.add_typer(replay_app, name="replay")
app.add_typer(topics_app, name="topics")
app.add_typer(config_app, name="config")
app.add_typer(dlq_app, name="dlq")

Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="TOML or JSON file; the environment (OL0_SECTION__KEY) goes over it."),
]


@contextmanager
def explained() -> Iterator[None]:
    """Errors that are meant for people end the command with their message alone."""
    try:
        yield
    except ConfigError as error:
        typer.echo(f"ol0: {error}", err=True)
        raise typer.Exit(EXIT_CONFIG) from None
    except OL0Error as error:
        typer.echo(f"ol0: {error}", err=True)
        raise typer.Exit(EXIT_FAILED) from None
    except KeyboardInterrupt:
        typer.echo("ol0: interrupted; everything that was started has been stopped", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None


def stop_on_signals() -> Event:
    """An event that SIGTERM and SIGINT set: the batch at hand is finished, then the process leaves."""
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def add_service(name: str) -> None:
    """``ol0 NAME``. The module is imported when the command runs: a drift service loads no Redis client."""

    def command(config: Config = None) -> None:
        with explained():
            settings = load_settings(config)
            configure_logs(name, settings.observability.log_level)
            heartbeat = Heartbeat()
            with serve_health(settings.observability, heartbeat):
                run: Callable[..., None] = import_module(f"ol0.{name}.service").run
                run(settings, stop_on_signals(), lambda _: heartbeat.beat())

    command.__doc__ = f"Runs the {name} service until SIGTERM.\n\nExample: `ol0 {name} --config ol0.toml`"
    app.command(name)(command)


for service in SERVICES:
    add_service(service)


@app.command()
def run(
    config: Config = None,
    logs: Annotated[Path, typer.Option(help="Folder of the services' log files.")] = Path("runs/logs"),
) -> None:
    """Runs all services under one supervisor that restarts what dies, until SIGTERM.

    Example: `ol0 run --config ol0.toml`
    """
    from ol0.supervisor.supervisor import Supervisor  # noqa: PLC0415 - only this command needs it

    with explained():
        settings = load_settings(config)  # a wrong setting is told once, not six times
        stop = stop_on_signals()
        logs.mkdir(parents=True, exist_ok=True)
        with Supervisor(
            service_commands(config, logs, settings.observability.port),
            on_event=lambda event: typer.echo(f"{event.name}: {event.text}"),
        ) as supervisor:
            supervisor.run(stop)


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
    Exit status 0: everything that was asked of the run holds. 1: it does not, and the report says what.

    Example: `ol0 demo --seed 1 --decisions 5000`
    """
    from ol0.soak.demo import demo_plan  # noqa: PLC0415 - loads matplotlib, which no service needs
    from ol0.soak.harness import play  # noqa: PLC0415
    from ol0.soak.stacks.native import NativeStack  # noqa: PLC0415
    from ol0.soak.users import UserHabits  # noqa: PLC0415

    with explained():
        report = play(demo_plan(data, out, seed, decisions, UserHabits(rate_per_s=rate)), NativeStack, Console())
    raise typer.Exit(0 if report.passed else EXIT_FAILED)


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

    Exit status 0: everything that was asked of the run holds. 1: it does not, and the report says what.

    Example: `ol0 soak --duration-hours 24 --time-scale 144`
    """
    from ol0.soak.harness import play  # noqa: PLC0415 - loads matplotlib, which no service needs
    from ol0.soak.soak import soak_plan  # noqa: PLC0415
    from ol0.soak.users import UserHabits  # noqa: PLC0415

    with explained():
        plan = soak_plan(
            out,
            duration_hours=duration_hours,
            time_scale=time_scale,
            seed=seed,
            habits=UserHabits(rate_per_s=rate),
            data=data,
        )
        report = play(plan, _stack_class(stack), Console())
    raise typer.Exit(0 if report.passed else EXIT_FAILED)


def _stack_class(name: StackName) -> "Callable[[Path], Stack]":
    """Each needs an extra of its own, so only the one that is asked for is imported."""
    try:
        if name is StackName.NATIVE:
            from ol0.soak.stacks.native import NativeStack  # noqa: PLC0415

            return NativeStack
        from ol0.soak.stacks.containers import ContainerStack  # noqa: PLC0415
    except ModuleNotFoundError as error:
        extra = "local" if name is StackName.NATIVE else "containers"
        raise ConfigError(f"{error.name} is not installed: pip install 'ol0[{extra},local]'") from None
    return ContainerStack


@app.command()
def warmup(
    out: Annotated[Path, typer.Option(help="Folder of base.safetensors and suite.safetensors.")],
    config: Config = None,
    data: Annotated[Path | None, typer.Option(help="Labelled prompts, as for `ol0 demo`.")] = None,
    seed: Annotated[int, typer.Option(help="Of the split and the base.")] = 0,
) -> None:
    """Brings a base in: trains it on the old kinds of labelled prompts and offers it as candidate 0.

    Writes the base and the canary suite, puts the anchors into the replay store. May be repeated.

    Example: `ol0 warmup --config ol0.toml --data prompts.npz --out warmup/`
    """
    from ol0.soak.dataset import read_prompts, split_prompts  # noqa: PLC0415 - no service needs these
    from ol0.soak.lineage_setup import warm_up  # noqa: PLC0415

    with explained():
        digest = warm_up(load_settings(config), split_prompts(*read_prompts(data), seed), out, seed)
        typer.echo(f"offered base {digest[:12]} from {out / 'base.safetensors'}; it serves once both gates approve")


@app.command()
def status(config: Config = None) -> None:
    """One screen: what serves, the lag, and the last word of each gate with its reasons."""
    from ol0.soak.status import show_status  # noqa: PLC0415 - loads the view

    with explained():
        console = Console()
        show_status(load_settings(config), console if console.is_terminal else Console(width=PAGE_WIDTH))


@app.command()
def send(
    decision_id: Annotated[str, typer.Argument(help="The decision that the feedback is about.")],
    session: Annotated[str, typer.Option(help="Its session.")],
    config: Config = None,
    thumb: Annotated[int | None, typer.Option(help="+1 or -1.")] = None,
    rating: Annotated[int | None, typer.Option(help="1 to 5.")] = None,
    source: Annotated[str, typer.Option(help="Who says so; signals of one source replace each other.")] = "ol0 send",
) -> None:
    """Sends one person's feedback about one decision.

    Example: `ol0 send 7e0f3c52-6c1b-4f0e-9d1a-1f2e3d4c5b6a --session s1 --thumb 1`
    """
    from ol0.clock import wall_clock_ms  # noqa: PLC0415 - only this command needs them
    from ol0.records import DecisionId  # noqa: PLC0415
    from ol0.serving.feedback import About, feedback_record, new_feedback_id  # noqa: PLC0415
    from ol0.streaming.lineage import Lineage  # noqa: PLC0415
    from ol0.streaming.sender import RecordSender  # noqa: PLC0415

    with explained():
        settings = load_settings(config)
        about = About(new_feedback_id(), DecisionId(decision_id), session, source, wall_clock_ms())
        RecordSender(Lineage.of(settings.kafka)).send_all([feedback_record(about, thumb=thumb, rating=rating)])
        typer.echo(f"sent {about.feedback_id}")


@app.command()
def forget(
    user: Annotated[str, typer.Argument(help="The user, as the host names him to the SDK.")],
    config: Config = None,
    actor: Annotated[str, typer.Option(help="Who orders it.")] = "ol0 forget",
    reason: Annotated[str, typer.Option(help="Why.")] = "",
) -> None:
    """Forgets a user: open windows and examples go now, and what is on the logs never comes back from them.

    Example: `ol0 forget ann@example.org --reason "asked for it"`
    """
    from ol0.clock import wall_clock_ms  # noqa: PLC0415 - only this command needs them
    from ol0.feedback.forget import forget_user  # noqa: PLC0415
    from ol0.feedback.pages import forget_page  # noqa: PLC0415

    with explained():
        forgotten = forget_user(load_settings(config), user, actor, reason)
        typer.echo(forget_page(forgotten, wall_clock_ms()))


@replay_app.command("stats")
def replay_stats(config: Config = None) -> None:
    """Says what the store holds, what became of every record, and which partition the watermark waits for."""
    from ol0.feedback.pages import stats_page  # noqa: PLC0415 - needs Redis
    from ol0.replay.connection import connect  # noqa: PLC0415
    from ol0.replay.stats import read_stats  # noqa: PLC0415

    with explained():
        settings = load_settings(config)
        Console().print(stats_page(read_stats(connect(settings.redis), settings.kafka.topic_prefix)))


Apply = Annotated[bool, typer.Option("--apply", help="Do it; without this nothing is changed.")]


@replay_app.command("exclude")
def replay_exclude(
    config: Config = None,
    user: Annotated[str | None, typer.Option(help="Examples of this user.")] = None,
    pseudonym: Annotated[str | None, typer.Option(help="The same, by the name under which he is stored.")] = None,
    between: Annotated[
        tuple[str, str] | None, typer.Option(help="Examples of decisions from the first time on, before the second.")
    ] = None,
    apply: Apply = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Takes examples out of the ring, by user or by time of the decision; says how many it would be.

    Example: `ol0 replay exclude --between 2026-03-01T12:00 2026-03-01T13:30 --apply`
    """
    from ol0.feedback.exclude import find_examples, select, take_out  # noqa: PLC0415 - needs the codec and Redis

    with explained():
        settings = load_settings(config)
        examples = find_examples(settings, select(settings, user, pseudonym, between))
        typer.echo(f"{len(examples):,} examples of the ring are meant")
        if apply:
            typer.echo(f"{take_out(settings, examples):,} were taken out")
        else:
            typer.echo("nothing was changed; --apply takes them out")


@replay_app.command("rebuild")
def replay_rebuild(
    config: Config = None,
    apply: Apply = False,  # noqa: FBT002 - a flag of the command line
    force: Annotated[bool, typer.Option("--force", help="Also while a feedback process runs.")] = False,  # noqa: FBT002
) -> None:
    """Makes a wiped, damaged or too old store again from the logs; says what they still reach.

    The feedback service refills it: stop it before, start it after.

    Example: `ol0 replay rebuild && ol0 replay rebuild --apply`
    """
    from ol0.feedback.pages import rebuild_page  # noqa: PLC0415 - needs Kafka and Redis
    from ol0.feedback.rebuild import plan_rebuild, rebuild  # noqa: PLC0415

    with explained():
        settings = load_settings(config)
        plan = plan_rebuild(settings)
        typer.echo(rebuild_page(plan))
        if apply:
            rebuild(settings, plan, force=force)
        typer.echo("made anew: `ol0 feedback` fills it" if apply else "nothing was changed; --apply makes it anew")


@topics_app.command("diff")
def topics_diff(config: Config = None) -> None:
    """Says how the broker's topics differ from their declaration; changes nothing.

    Exit status 0: they do not. 1: they do.
    """
    from ol0.streaming import admin  # noqa: PLC0415 - only these commands need Kafka's admin

    with explained():
        changes = admin.plan(load_settings(config))
        for change in changes:
            typer.echo(str(change))
        if not changes:
            typer.echo("nothing to change")
    raise typer.Exit(EXIT_FAILED if changes else 0)


@topics_app.command("apply")
def topics_apply(config: Config = None) -> None:
    """Makes and alters topics, and registers their partitions in the replay store. Never shrinks, never deletes.

    Example: `ol0 topics diff && ol0 topics apply`
    """
    from ol0.soak.lineage_setup import apply_topics  # noqa: PLC0415 - needs Kafka and Redis

    with explained():
        changes = apply_topics(load_settings(config))
        for change in changes:
            typer.echo(str(change))
        typer.echo(f"{len(changes)} changes made" if changes else "nothing to change")


def _logging_apart(config: Path | None) -> Settings:
    """The settings; what libraries log goes to standard error, so that standard output is the answer alone."""
    settings = load_settings(config)
    configure_logs("dlq", settings.observability.log_level)
    return settings


LettersOf = Annotated[
    str | None, typer.Option("--topic", help="Only this source topic, such as decisions; the full name works too.")
]


@dlq_app.command("list")
def dlq_list(
    config: Config = None,
    topic: LettersOf = None,
    limit: Annotated[int, typer.Option(min=1, help="How many of the newest to name.")] = 20,
) -> None:
    """Counts dead letters by topic and error, and names the newest.

    Example: `ol0 dlq list --topic decisions`
    """
    from ol0.soak.dead_letters import list_letters  # noqa: PLC0415 - only this command needs it

    with explained():
        list_letters(_logging_apart(config), topic, limit, Console())


@dlq_app.command("show")
def dlq_show(
    topic: Annotated[str, typer.Argument(help="Where the record stands: decisions, or ol0.decisions.v1.")],
    partition: Annotated[int, typer.Argument(min=0)],
    offset: Annotated[int, typer.Argument(min=0)],
    config: Config = None,
) -> None:
    """Shows one dead letter: headers, what can be read of the bytes, and what to do about it.

    A letter whose headers do not name its source is found by its own place: `decisions.dlq 0 17`.

    Example: `ol0 dlq show decisions 2 41077`
    """
    from ol0.soak.dead_letters import show_letter  # noqa: PLC0415 - only this command needs it

    with explained():
        show_letter(_logging_apart(config), topic, partition, offset, Console())


@dlq_app.command("replay")
def dlq_replay(
    config: Config = None,
    topic: LettersOf = None,
    where: Annotated[str, typer.Option(help="Only letters with this in coordinates, key, service or error.")] = "",
    apply: Annotated[bool, typer.Option("--apply", help="Send them.")] = False,  # noqa: FBT002 - it is a flag
) -> None:
    """Says which dead letters would be accepted now; with --apply sends those to their topics again.

    Deletes nothing, and sends the same letters again when it is called again: what has an id counts once.

    Example: `ol0 dlq replay --where "schema id 13"`, then the same with `--apply`
    """
    from ol0.soak.dead_letters import rehearse, replay  # noqa: PLC0415 - only this command needs it

    with explained():
        (replay if apply else rehearse)(_logging_apart(config), topic, where, Console())


@config_app.command("show")
def config_show(config: Config = None) -> None:
    """Prints every setting with its value; secrets are masked."""
    with explained():
        typer.echo(json.dumps(load_settings(config).model_dump(mode="json"), indent=2))


@config_app.command("check")
def config_check(config: Config = None) -> None:
    """Says whether the settings are right; where not, what is wrong and what the right key is."""
    with explained():
        settings: Settings = load_settings(config)
        typer.echo(
            f"right: lineage {settings.kafka.topic_prefix} on {settings.kafka.bootstrap_servers}", file=sys.stdout
        )
