"""``python -m ol0`` is ``ol0``, and takes the legacy command line as well."""

import sys

import typer

from ol0.cli import app
from ol0.cli.command import explained
from ol0.cli.legacy_line import is_legacy_line, name_places, parse
from ol0.config import load_settings


def main(arguments: list[str]) -> None:
    """One command, or those that a legacy command line means, until one of them fails."""
    if not is_legacy_line(arguments):
        app(arguments)
    line = parse(arguments)
    try:
        with explained():
            name_places(load_settings(line.config))
    except typer.Exit as end:
        sys.exit(end.exit_code)
    for command in line.commands:
        try:
            app(command)
        except SystemExit as end:
            if end.code:
                raise


main(sys.argv[1:])
