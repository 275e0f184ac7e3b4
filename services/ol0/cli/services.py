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
from ol0.observability.metrics import Board
from ol0.observability.rounds import Rounds
from ol0.supervisor.service_commands import SERVICES, service_commands

if TYPE_CHECKING:
    from collections.abc import Callable

app = typer.Typer()
OF_THE_STORE = ("feedback", "learner")  # the others need no Redis, and load no client of it


def run_service(name: str, config: Path | None, **options: str | None) -> None:
    """Runs a service until SIGTERM. Imports it here, so that a drift service loads no Redis client."""
    with explained():
        settings = load_settings(config)
        configure_logs(name, settings.observability.log_level)
        heartbeat = Heartbeat()
        with serve_health(settings.observability, heartbeat, probes(name, settings)) as registry:
            registry.register(board := Board())
            run: Callable[..., None] = import_module(f"ol0.{name}.service").run
            run(settings, stop_on_signals(), Rounds(name, heartbeat, board), **options)


def probes(name: str, settings: Settings) -> list[Probe]:
    """Returns the dependency probes of a service; empty if it has no health port."""
    if not settings.observability.port:
        return []
    found = [broker_probe(Lineage.of(settings.kafka).clients)]
    if name in OF_THE_STORE:
        from ol0.replay.server_checks import store_probe

        found.append(store_probe(settings.redis, settings.kafka.topic_prefix, PROBE_S))
    return found


def add_service(name: str) -> None:
    """Adds ``ol0 NAME`` for a service that runs as one process."""

    def command(config: Config = None) -> None:
        run_service(name, config)

    command.__doc__ = f"Run the {name} service until SIGTERM.\n\nExample: `ol0 {name} --config ol0.toml`"
    app.command(name, rich_help_panel="Run")(command)


@app.command(rich_help_panel="Run")
def feedback(
    config: Config = None,
    member: Annotated[
        str | None,
        typer.Option(
            help="Unique, stable name of this process. After a restart it gets its partitions back at once; without a "
            "name, partitions of a killed process wait six seconds.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Run the feedback service until SIGTERM. Start as many as you like: they share the partitions.

    Example: `ol0 feedback --config ol0.toml`
    """
    run_service("feedback", config, member=member)


for service in SERVICES[1:]:
    add_service(service)


@app.command(rich_help_panel="Run")
def run(
    config: Config = None,
    logs: Annotated[Path, typer.Option(help="Folder for the log files of the services.")] = Path("runs/logs"),
) -> None:
    """Run all services under a supervisor that restarts those that exit, until SIGTERM.

    If a service rejects its settings, all of them stop: exit status 2, with the reason.

    Example: `ol0 run --config ol0.toml`
    """
    from ol0.supervisor.supervisor import Supervisor

    with explained():
        settings = load_settings(config)  # reports a wrong setting once, not six times
        check_ports(settings.observability, len(SERVICES))
        stop = stop_on_signals()
        try:
            logs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"--logs {logs}: {error.strerror}; choose a folder that you can write to") from None
        with Supervisor(
            service_commands(config, logs, settings.observability.port),
            on_event=lambda event: typer.echo(f"{event.name}: {event.text}"),
        ) as supervisor:
            supervisor.run(stop)
        if supervisor.refusal is not None:
            raise ConfigError(supervisor.refusal)
