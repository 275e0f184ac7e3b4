"""``ol0 releases``: the release history, what serves now, and orders to change it."""

from typing import Annotated

import typer

from ol0.cli.command import AsJson, Config, explained, on_broker, page_console
from ol0.records import OperatorKind

app = typer.Typer()
releases_app = typer.Typer(no_args_is_help=True, help="Release history, what serves now, and orders to change it.")
app.add_typer(releases_app, name="releases", rich_help_panel="Look and change")

Reason = Annotated[str, typer.Option(help="Why, for the record.")]
Actor = Annotated[str, typer.Option(help="Who gives the order, for the record.", envvar="USER")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")]
WithinS = Annotated[float, typer.Option(min=1, help="Seconds to wait for the effect.")]
Named = Annotated[str, typer.Argument(help="A digest, or its first characters as in `ol0 releases list`.")]


@releases_app.command("list")
def releases_list(
    config: Config = None,
    limit: Annotated[int, typer.Option(min=1, help="Show only the newest transitions.")] = 30,
    as_json: AsJson = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """List every transition of every checkpoint with its cause, oldest first, and what serves now.

    Example: `ol0 releases list --limit 10`
    """
    from ol0.operator.releases.history import read_history
    from ol0.operator.releases.pages import list_json, list_page

    with explained():
        history = read_history(on_broker(config), ("transitions", "releases"))
        if as_json:
            typer.echo(list_json(history, limit))
        else:
            page_console().print(list_page(history, limit))


@releases_app.command("show")
def releases_show(digest: Named, config: Config = None) -> None:
    """Show one checkpoint: manifest, training summary, and the verdicts of both gates with their reasons.

    Example: `ol0 releases show 7b67b2fa`
    """
    from ol0.controller.signing import Keyring
    from ol0.kafka.lineage import Lineage
    from ol0.kafka.topic_readers.checkpoints import CheckpointReader
    from ol0.operator.releases.history import find_digest, read_history
    from ol0.operator.releases.pages import show_page

    with explained():
        settings = on_broker(config)
        keys = Keyring.of(settings.security, settings.kafka.topic_prefix)
        history = read_history(settings, ("transitions", "releases", "candidates", "verdicts"))
        opener = CheckpointReader(Lineage.of(settings.kafka))
        page_console().print(show_page(history, find_digest(history.digests(), digest), keys, opener))


@releases_app.command("rollback")
def releases_rollback(
    digest: Annotated[str | None, typer.Argument(help="The live or staged checkpoint. Default: the live one.")] = None,
    config: Config = None,
    reason: Reason = "",
    actor: Actor = "ol0 releases",
    dry_run: DryRun = False,  # noqa: FBT002 - a flag of the command line
    yes: Yes = False,  # noqa: FBT002
    within_s: WithinS = 30.0,
) -> None:
    """Roll back the live checkpoint (its predecessor serves again) or the one on trial. It never serves again.

    Example: `ol0 releases rollback --reason "complaints since noon" --dry-run`, then the same without --dry-run
    """
    _order(OperatorKind.ROLLBACK, digest, config, reason, actor, dry_run=dry_run, yes=yes, within_s=within_s)


@releases_app.command("pin")
def releases_pin(
    digest: Named,
    config: Config = None,
    reason: Reason = "",
    actor: Actor = "ol0 releases",
    dry_run: DryRun = False,  # noqa: FBT002
    yes: Yes = False,  # noqa: FBT002
    within_s: WithinS = 30.0,
) -> None:
    """Serve a former release (or the base) and freeze: no candidate goes on trial until `ol0 releases thaw`.

    Example: `ol0 releases pin 3079206c --reason "known to be good" --yes`
    """
    _order(OperatorKind.PIN, digest, config, reason, actor, dry_run=dry_run, yes=yes, within_s=within_s)


@releases_app.command("freeze")
def releases_freeze(
    config: Config = None,
    reason: Reason = "",
    actor: Actor = "ol0 releases",
    dry_run: DryRun = False,  # noqa: FBT002
    within_s: WithinS = 30.0,
) -> None:
    """Stop all candidates until `ol0 releases thaw`. What serves now keeps serving.

    Example: `ol0 releases freeze --reason "launch day"`
    """
    _order(OperatorKind.FREEZE, None, config, reason, actor, dry_run=dry_run, yes=True, within_s=within_s)


@releases_app.command("thaw")
def releases_thaw(
    config: Config = None,
    reason: Reason = "",
    actor: Actor = "ol0 releases",
    dry_run: DryRun = False,  # noqa: FBT002
    within_s: WithinS = 30.0,
) -> None:
    """End a freeze, whether set by an operator or by three failures in a row.

    Example: `ol0 releases thaw --reason "the cause is found"`
    """
    _order(OperatorKind.THAW, None, config, reason, actor, dry_run=dry_run, yes=True, within_s=within_s)


def _order(
    kind: OperatorKind,
    digest: str | None,
    config: Config,
    reason: str,
    actor: str,
    *,
    dry_run: bool,
    yes: bool,
    within_s: float,
) -> None:
    """Shows what would change, asks, gives the order, and shows the result."""
    from ol0.clock import wall_clock_ms
    from ol0.operator.releases.history import find_digest
    from ol0.operator.releases.orders import give, read_current_state, rehearse
    from ol0.records import OperatorCommand

    with explained():
        settings = on_broker(config)
        current = read_current_state(settings)
        state = current.state
        value: str | None = None
        if digest is not None:
            value = find_digest(state.known(), digest)
        elif kind is OperatorKind.ROLLBACK and state.live is not None:
            value = state.live.digest  # by name: the same order given twice must not hit the next one
        order = OperatorCommand(kind, value, actor, reason, wall_clock_ms())
        for earlier in current.waiting:
            typer.echo(
                f"{earlier.kind} by {earlier.actor} still waits for the release service, which carries it out first"
            )
        changes = rehearse(current, order, settings)
        if not changes:
            typer.echo(f"{kind}: {'will be so after that' if current.waiting else 'already so'}; no order was given")
            return
        typer.echo("\n".join(changes))
        if dry_run or not (yes or typer.confirm("proceed?")):
            typer.echo("nothing was changed")
            return
        after = give(settings, order, within_s)
        live = "" if after.live is None else f" {after.live.digest} (step {after.live.step}) serves,"
        typer.echo(f"done:{live} serving state {after.sequence}, {'frozen' if after.frozen else 'not frozen'}")
