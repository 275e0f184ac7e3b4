"""What every command shares: its settings, its errors, its end."""

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
EXIT_NOT_PROVEN = 3  # of a run in which nothing failed and not everything was shown
EXIT_CONFIG = 2  # the supervisor does not restart what exits so: trying again cannot help
EXIT_INTERRUPTED = 130
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
PAGE_WIDTH = 100  # where there is no terminal to ask

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
    except OSError as error:
        if (words := _words_of(error)) is None:
            raise
        typer.echo(f"ol0: {words}", err=True)
        raise typer.Exit(EXIT_FAILED) from None
    except KeyboardInterrupt:
        typer.echo("ol0: interrupted; everything that was started has been stopped", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _words_of(error: OSError) -> str | None:
    """What the machine says of a file or of its disk, which no traceback makes clearer; None for anything else."""
    if error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return error.strerror if error.errno in NO_ROOM else None


@contextmanager
def extra(name: str) -> Iterator[None]:
    """What a command imports from an extra, which need not be installed.

    Raises:
        ConfigError: it is not; says how to install it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("ol0"):
            raise
        raise ConfigError(f"{error.name} is not installed: pip install 'ol0[{name}]'") from None


def page_console() -> Console:
    """Standard output for a page: as wide as the terminal, or as ``PAGE_WIDTH`` where there is none."""
    console = Console()
    return console if console.is_terminal else Console(width=PAGE_WIDTH)


def stop_on_signals() -> Event:
    """An event that SIGTERM and SIGINT set: the batch at hand is finished, then the process leaves."""
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def logging_apart(config: Path | None) -> Settings:
    """The settings; what libraries log goes to standard error, so that standard output is the answer alone."""
    settings = load_settings(config)
    configure_logs("ol0", settings.observability.log_level)
    return settings
