"""``ol0 snapshots``: what the services continue from after a restart."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from ol0.cli.command import AsJson, Config, explained, on_broker, page_console
from ol0.cli.releases import DryRun, Yes

app = typer.Typer()
snapshots_app = typer.Typer(no_args_is_help=True, help="What the services continue from after a restart.")
app.add_typer(snapshots_app, name="snapshots", rich_help_panel="Look and change")


@snapshots_app.command("list")
def snapshots_list(config: Config = None, as_json: AsJson = False) -> None:  # noqa: FBT002 - a flag of the command line
    """List every snapshot on the state topic with its time and size.

    Example: `ol0 snapshots list --config ol0.toml`
    """
    from rich.table import Table

    from ol0.operator.snapshots import held_snapshots
    from ol0.operator.text import moment

    with explained():
        held = held_snapshots(on_broker(config)).values()
        if as_json:
            typer.echo(json.dumps([asdict(it) for it in held], indent=1))
            return
        table = Table("key", "event time", "bytes", box=None, padding=(0, 2, 0, 0))
        for it in held:
            table.add_row(it.key, "cannot be read" if it.time_ms is None else moment(it.time_ms), f"{it.size:,}")
        page_console().print(table if held else "no service has written a snapshot yet")


@snapshots_app.command("delete")
def snapshots_delete(
    key: Annotated[str, typer.Argument(help="As `ol0 snapshots list` has it.", show_default=False)],
    config: Config = None,
    dry_run: DryRun = False,  # noqa: FBT002 - a flag of the command line
    yes: Yes = False,  # noqa: FBT002
) -> None:
    """Delete a snapshot that a service cannot continue from. Stop the service before, and start it afterwards.

    It starts over: the learner at the heads that serve, with every example of the ring; a gate or the evaluator without
    evidence. This cannot be undone, and it asks. The snapshot `release` is never deleted.

    Example: `ol0 snapshots delete learner --dry-run`, then the same without --dry-run
    """
    from ol0.operator.snapshots import chosen, delete, held_snapshots

    with explained():
        settings = on_broker(config)
        snapshot = chosen(held_snapshots(settings), key)
        typer.echo(f"the snapshot {key} of {snapshot.size:,} bytes would go for good")
        if dry_run or not (yes or typer.confirm("proceed?")):
            typer.echo("nothing was changed")
            return
        delete(settings, snapshot)
        typer.echo(f"deleted; restart the service {key.partition('/')[0]}")
