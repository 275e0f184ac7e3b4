"""``ol0``: every command under one name.

Each command imports what it needs when it runs: a drift service loads no Redis client, and only the demo loads
matplotlib.
"""

from typing import Annotated

import typer

from ol0.cli import (
    base,
    config,
    console,
    dead_letters,
    init,
    keys,
    lineage,
    releases,
    replay,
    report,
    runs,
    send,
    services,
    snapshots,
)
from ol0.version import VERSION


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - typer's callback
    if wanted:
        typer.echo(f"ol0 {VERSION}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
]
app = typer.Typer(
    name="ol0",
    help="Online learning for a routing controller, on Kafka and Redis.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


@app.callback()
def main(version: Version = False) -> None:  # noqa: FBT002 - how typer writes a flag
    """Online learning for a routing controller, on Kafka and Redis."""


for part in (
    runs,
    init,
    base,
    services,
    lineage,
    keys,
    config,
    report,
    console,
    releases,
    dead_letters,
    snapshots,
    replay,
    send,
):
    app.add_typer(part.app)
