"""What every command shares: settings, error messages, exit statuses, signals."""

import errno
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Annotated

import typer
from rich.console import Console

from ol0.config import Settings, load_settings
from ol0.errors import ConfigError, OL0Error
from ol0.observability.logs import configure_logs

EXIT_FAILED = 1
EXIT_NOT_PROVEN = 3  # a run in which no check failed but not everything was proven
EXIT_CONFIG = 2  # the supervisor does not restart a service that exits like this: a retry cannot help
EXIT_INTERRUPTED = 130
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
PAGE_WIDTH = 100  # without a terminal

Config = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", help="TOML or JSON settings file. OL0_SECTION__KEY in the environment overrides it."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]


@contextmanager
def explained() -> Iterator[None]:
    """Ends the command with the message alone for errors that are meant for people."""
    try:
        yield
    except ConfigError as error:
        typer.echo(f"ol0: {error}", err=True)
        raise typer.Exit(EXIT_CONFIG) from None
    except OL0Error as error:
        typer.echo(f"ol0: {error}", err=True)
        raise typer.Exit(EXIT_FAILED) from None
    except OSError as error:
        if (words := _words_of(error)) is None:
            raise
        typer.echo(f"ol0: {words}", err=True)
        raise typer.Exit(EXIT_FAILED) from None
    except KeyboardInterrupt:
        typer.echo("ol0: interrupted; all processes that it started have stopped", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _words_of(error: OSError) -> str | None:
    """Returns the message for a file or a full disk, where a traceback adds nothing; None for other errors."""
    if error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return error.strerror if error.errno in NO_ROOM else None


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Wraps imports from an optional extra.

    Raises:
        ConfigError: the extra is not installed; says how to install it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("ol0"):
            raise
        raise ConfigError(f"{error.name} is not installed: pip install 'ol0[{name}]'") from None


def page_console() -> Console:
    """Returns a console for standard output, as wide as the terminal or ``PAGE_WIDTH``."""
    console = Console()
    return console if console.is_terminal else Console(width=PAGE_WIDTH)


def stop_on_signals() -> Event:
    """Returns an event that SIGTERM and SIGINT set: the process finishes the current batch and exits."""
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def on_broker(config: Path | None) -> Settings:
    """Loads the settings as ``logging_apart`` does, once a broker answers.

    Raises:
        StreamError: none does within four seconds: whatever the command would ask of it would take longer to fail.
    """
    from ol0.kafka.broker_probe import require_broker
    from ol0.kafka.lineage import Lineage

    settings = logging_apart(config)
    require_broker(Lineage.of(settings.kafka).clients)
    return settings


def logging_apart(config: Path | None) -> Settings:
    """Loads the settings and sends library logs to standard error, so that standard output is only the answer."""
    settings = load_settings(config)
    configure_logs("ol0", settings.observability.log_level)
    return settings
