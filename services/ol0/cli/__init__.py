"""``ol0``: every command under one name.

Each command imports what it needs when it runs: a drift service loads no Redis client, and only the demo loads
matplotlib.
"""

import typer

from ol0.cli import base, config, dead_letters, keys, lineage, releases, replay, report, runs, send, services

app = typer.Typer(
    name="ol0",
    help="Online learning for a routing controller, on Kafka and Redis.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
for part in (runs, base, lineage, config, send, report, services, releases, replay, dead_letters, keys):
    app.add_typer(part.app)
