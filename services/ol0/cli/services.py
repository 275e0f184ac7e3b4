"""``ol0 feedback`` and the others, and ``ol0 run`` for all of them."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ol0.cli.command import Config, explained, stop_on_signals
from ol0.config import Settings, load_settings
from ol0.errors import ConfigError
from ol0.kafka.broker_probe import PROBE_S, broker_probe
from ol0.kafka.lineage import Lineage
from ol0.observability.health import Heartbeat, Probe, check_ports, serve_health
from ol0.observability.logs import configure_logs
from ol0.supervisor.service_commands import SERVICES, service_commands

if TYPE_CHECKING:
    from collections.abc import Callable

app = typer.Typer()
OF_THE_STORE = ("feedback", "learner")  # the others need no Redis, and load no client of it


def run_service(name: str, config: Path | None, **options: str | None) -> None:
    """Runs a service until SIGTERM. It is imported only now: a drift service loads no Redis client."""
    with explained():
        settings = load_settings(config)
        configure_logs(name, settings.observability.log_level)
        heartbeat = Heartbeat()
        with serve_health(settings.observability, heartbeat, probes(name, settings)):
            run: Callable[..., None] = import_module(f"ol0.{name}.service").run
            run(settings, stop_on_signals(), lambda _: heartbeat.beat(), **options)


def probes(name: str, settings: Settings) -> list[Probe]:
    """What a service needs an answer of; nothing where nobody can ask for it."""
    if not settings.observability.port:
        return []
    found = [broker_probe(Lineage.of(settings.kafka).clients)]
    if name in OF_THE_STORE:
        from ol0.replay.server_checks import store_probe

        found.append(store_probe(settings.redis, settings.kafka.topic_prefix, PROBE_S))
    return found


def add_service(name: str) -> None:
    """``ol0 NAME``, for a service that runs as one process."""

    def command(config: Config = None) -> None:
        run_service(name, config)

    command.__doc__ = f"Runs the {name} service until SIGTERM.\n\nExample: `ol0 {name} --config ol0.toml`"
    app.command(name)(command)


@app.command()
def feedback(
    config: Config = None,
    member: Annotated[
        str | None,
        typer.Option(
            help="Name of this process, unlike any other's and the same when it returns: it gets its partitions back "
            "at once. Without one they wait six seconds when it is killed.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Runs the feedback service until SIGTERM. Any number of these share the partitions.

    Example: `ol0 feedback --config ol0.toml`, as often as you like
    """
    run_service("feedback", config, member=member)


for service in SERVICES[1:]:
    add_service(service)


@app.command()
def run(
    config: Config = None,
    logs: Annotated[Path, typer.Option(help="Folder of the services' log files.")] = Path("runs/logs"),
) -> None:
    """Runs all services under one supervisor that starts again what ends, until SIGTERM.

    A service that refuses its settings ends all of them: exit status 2, and its reason.

    Example: `ol0 run --config ol0.toml`
    """
    from ol0.supervisor.supervisor import Supervisor

    with explained():
        settings = load_settings(config)  # a wrong setting is told once, not six times
        check_ports(settings.observability, len(SERVICES))
        stop = stop_on_signals()
        try:
            logs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"--logs {logs}: {error.strerror}; name a folder that can be written") from None
        with Supervisor(
            service_commands(config, logs, settings.observability.port),
            on_event=lambda event: typer.echo(f"{event.name}: {event.text}"),
        ) as supervisor:
            supervisor.run(stop)
        if supervisor.refusal is not None:
            raise ConfigError(supervisor.refusal)
