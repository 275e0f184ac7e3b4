"""``ol0 replay`` and ``ol0 forget``: the replay store."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from ol0.cli.command import AsJson, Config, explained, on_broker, page_console
from ol0.config import load_settings

app = typer.Typer()
replay_app = typer.Typer(no_args_is_help=True, help="The replay store.")
app.add_typer(replay_app, name="replay", rich_help_panel="Look and change")


@app.command(rich_help_panel="Look and change")
def forget(
    user: Annotated[str, typer.Argument(help="The user, as the host names them to the SDK.")],
    config: Config = None,
    actor: Annotated[str, typer.Option(help="Who gives the order, for the record.")] = "ol0 forget",
    reason: Annotated[str, typer.Option(help="Why, for the record.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count the examples, and change nothing.")] = False,  # noqa: FBT002
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,  # noqa: FBT002
) -> None:
    """Forget a user: delete open windows and examples now, and never read them back from the logs.

    This cannot be undone. It says first how many examples there are, and asks.

    Example: `ol0 forget ann@example.org --reason "asked for it" --dry-run`, then the same without --dry-run
    """
    from ol0.clock import wall_clock_ms
    from ol0.operator.store.exclude import find_examples, select
    from ol0.operator.store.forget import forget_user
    from ol0.operator.store.pages import forget_page

    with explained():
        settings = on_broker(config)
        if dry_run or not yes:  # with it, the order is given even where the store does not answer
            count = len(find_examples(settings, select(settings, user, None, None)))
            typer.echo(f"{count:,} examples of this user in the ring, and every open window, would go for good")
            if dry_run or not typer.confirm("proceed?"):
                typer.echo("nothing was changed")
                return
        forgotten = forget_user(settings, user, actor, reason)
        typer.echo(forget_page(forgotten, wall_clock_ms()))


@replay_app.command("stats")
def replay_stats(config: Config = None, as_json: AsJson = False) -> None:  # noqa: FBT002 - a flag of the command line
    """Show what the store holds, how every record was counted, and which partition holds back the watermark.

    Example: `ol0 replay stats --config ol0.toml`
    """
    from ol0.operator.store.holdups import find_holdups
    from ol0.operator.store.pages import stats_page
    from ol0.replay.connection import connect
    from ol0.replay.stats import read_stats

    with explained():
        settings = load_settings(config)
        stats = read_stats(connect(settings.redis), settings.kafka.topic_prefix)
        if as_json:
            typer.echo(json.dumps(asdict(stats) | {"watermark_ms": stats.watermark_ms}, indent=2))
            return
        page_console().print(stats_page(stats, find_holdups(settings, stats)))


Apply = Annotated[bool, typer.Option("--apply", help="Make the change. Without it, only show what would change.")]


@replay_app.command("exclude")
def replay_exclude(
    config: Config = None,
    user: Annotated[str | None, typer.Option(help="Select examples of this user.")] = None,
    pseudonym: Annotated[str | None, typer.Option(help="Select a user by the stored pseudonym.")] = None,
    between: Annotated[
        tuple[str, str] | None,
        typer.Option(help="Select decisions from the first time up to, not including, the second."),
    ] = None,
    apply: Apply = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Remove examples from the replay ring, by user or by decision time. Shows the number first.

    Example: `ol0 replay exclude --between 2026-03-01T12:00 2026-03-01T13:30 --apply`
    """
    from ol0.operator.store.exclude import find_examples, select, take_out

    with explained():
        settings = load_settings(config)
        examples = find_examples(settings, select(settings, user, pseudonym, between))
        typer.echo(f"{len(examples):,} examples selected")
        if apply:
            typer.echo(f"{take_out(settings, examples):,} examples removed")
        else:
            typer.echo("nothing was changed; add --apply to remove them")


@replay_app.command("rebuild")
def replay_rebuild(
    config: Config = None,
    apply: Apply = False,  # noqa: FBT002 - a flag of the command line
    force: Annotated[bool, typer.Option("--force", help="Rebuild even while a feedback process runs.")] = False,  # noqa: FBT002
) -> None:
    """Rebuild a lost, damaged or outdated store from the Kafka logs. Shows how far back they reach first.

    The feedback service fills the new store: stop it before the rebuild and start it afterwards.

    Example: `ol0 replay rebuild && ol0 replay rebuild --apply`
    """
    from ol0.operator.store.pages import rebuild_page
    from ol0.operator.store.rebuild import plan_rebuild, rebuild

    with explained():
        settings = load_settings(config)
        plan = plan_rebuild(settings)
        typer.echo(rebuild_page(plan))
        if apply:
            rebuild(settings, plan, force=force)
        typer.echo(
            "rebuilt: start `ol0 feedback` to fill it" if apply else "nothing was changed; add --apply to rebuild"
        )
