"""``ol0 topics``, ``ol0 warmup`` and ``ol0 status``: set up a lineage and look at it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ol0.cli.command import (
    EXIT_FAILED,
    AsJson,
    Config,
    explained,
    logging_apart,
    on_broker,
    page_console,
    stop_on_signals,
)
from ol0.config import Settings
from ol0.errors import ConfigError
from ol0.records import brief

if TYPE_CHECKING:
    from ol0.operator.setup.lineage import Offered

app = typer.Typer()
topics_app = typer.Typer(no_args_is_help=True, help="The topics of a lineage.")
DryRun = Annotated[bool, typer.Option("--dry-run", help="Describe what was found and change nothing.")]
Write = Annotated[
    bool, typer.Option("--write", help="Write the settings that the base makes necessary into --config (TOML).")
]

app.add_typer(topics_app, name="topics", rich_help_panel="Set up")


@app.command(rich_help_panel="Set up")
def warmup(
    source: Annotated[
        Path | None,
        typer.Argument(help="A folder that `ol0 base` wrote, or an AR1 checkpoint (.pt).", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the base, encoder and canary suite. Default: the folder of serving.base."),
    ] = None,
    config: Config = None,
    calibration: Annotated[
        Path | None, typer.Option(help="Logged decisions of the AR1 policy (.npz): anchors, figures, canary suite.")
    ] = None,
    dry_run: DryRun = False,  # noqa: FBT002 - how typer writes a flag
    data: Annotated[Path | None, typer.Option(help="Labelled prompts as for `demo`, instead of a checkpoint.")] = None,
    seed: Annotated[int, typer.Option(help="Random seed of the data split and of the base.")] = 0,
    write: Write = False,  # noqa: FBT002 - how typer writes a flag
) -> None:
    """Bring in a base and offer it as candidate 0: a folder of `ol0 base`, an AR1 checkpoint, or labelled prompts.

    Stores the anchors in the replay store, offers the base, and prints the settings that you need now, or writes them
    with --write. Idempotent. No code from a checkpoint is executed; a file that holds anything but known tensors is
    refused with the name of what was found.

    Example: `ol0 base from-torch router.pt --activation relu --labels prompts.npz --out mine && ol0 warmup mine
    --config ol0.toml --write`

    With neither a folder, a checkpoint nor --data, this trains the base of the demo. It reaches 73 % of the best
    possible value on its canary suite, so set `warmup.canary_threshold` to 0.73 or less.
    """
    with explained():
        settings = with_calibration(logging_apart(config), calibration)
        if source is not None and source.is_dir():
            warm_up_folder(settings, source, config if write else None, dry_run=dry_run)
            return
        if write:
            raise ConfigError("--write needs a folder that `ol0 base` wrote")
        if source is not None:
            warm_up_ar1(settings, source, out, dry_run=dry_run)
            return
        if dry_run or calibration is not None:
            raise ConfigError("--dry-run and --calibration need a checkpoint: name its file, or a folder")
        from ol0.operator.setup.lineage import warm_up
        from ol0.operator.setup.prompts import read_prompts, split_prompts

        folder = _folder(settings, out)
        offered = warm_up(settings, split_prompts(*read_prompts(data), seed), folder, seed)
        tell_offer(settings, offered, folder)


def tell_offer(settings: Settings, offered: "Offered", folder: Path) -> None:
    """Prints the offered base and the settings that it needs before it can serve."""
    from ol0.cli.settings_to_paste import settings_that_miss, settings_to_paste
    from ol0.operator.setup.base_folder import BASE

    if offered.few:
        typer.echo(offered.few)
    typer.echo(f"offered base {brief(offered.digest)} from {folder / BASE}; it serves as soon as both gates approve")
    for line in settings_to_paste(settings_that_miss(settings, folder)):
        typer.echo(line)


def warm_up_folder(settings: Settings, folder: Path, written: Path | None, *, dry_run: bool) -> None:
    """Brings in what `ol0 base` wrote.

    Args:
        settings: of the lineage.
        folder: with the base.
        written: settings file that gets what the base makes necessary; None: that is printed.
        dry_run: say what is there and change nothing.

    Raises:
        OL0Error: a file is not what it should be, the base fails its suite, or the lineage does not exist.
    """
    from ol0.cli.settings_to_paste import settings_that_miss, write_settings
    from ol0.operator.setup.base_folder import read_saved_base
    from ol0.operator.setup.lineage import bring_in

    saved = read_saved_base(folder)
    share = saved.warmup.suite_pass_share
    typer.echo(
        f"base {brief(saved.controller.digest)}: {saved.controller.dimension:,} features, "
        f"{', '.join(map(str, saved.controller.choices))} choices, {len(saved.warmup.anchors):,} anchors; worth "
        f"{share:.1%} of its suite"
    )
    if dry_run:
        return
    missing = settings_that_miss(settings, folder, share if saved.suite is not None else None)
    if written is not None and (threshold := missing.get(("warmup", "canary_threshold"))) is not None:
        warmup = settings.warmup.model_copy(update={"canary_threshold": threshold})
        settings = settings.model_copy(update={"warmup": warmup})
    offered = bring_in(settings, saved)
    if written is None:
        tell_offer(settings, offered, folder)
        return
    if offered.few:
        typer.echo(offered.few)
    typer.echo(f"offered base {brief(offered.digest)}; it serves as soon as both gates approve")
    typer.echo(write_settings(written, missing))


def with_calibration(settings: Settings, calibration: Path | None) -> Settings:
    """Returns the settings with the flag in place of the file's value."""
    if calibration is None:
        return settings
    warmup = settings.warmup.model_copy(update={"calibration": calibration})
    return settings.model_copy(update={"warmup": warmup})


def warm_up_ar1(settings: Settings, checkpoint: Path, out: Path | None, *, dry_run: bool) -> None:
    """Describes an AR1 checkpoint and, unless it is a dry run, imports it.

    Raises:
        OL0Error: the file is refused, or the lineage does not exist.
    """
    from ol0.ar1.description import describe
    from ol0.ar1.warmup import WarmupManager

    imported = WarmupManager(settings.warmup, settings.online_learning, settings.serving).import_ar1(checkpoint)
    for line in describe(imported, settings.warmup.canary_threshold):
        typer.echo(line)
    if dry_run:
        return
    from ol0.operator.setup.lineage import bring_in_ar1

    folder = _folder(settings, out)
    tell_offer(settings, bring_in_ar1(settings, imported, folder), folder)


def _folder(settings: Settings, out: Path | None) -> Path:
    if out is not None:
        return out
    if settings.serving.base is None:
        raise ConfigError("set --out to a folder, or serving.base to a file")
    return settings.serving.base.parent


@app.command(rich_help_panel="Look")
def status(
    config: Config = None,
    watch: Annotated[bool, typer.Option("--watch", help="Draw it again every two seconds, until Ctrl-C.")] = False,  # noqa: FBT002
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Show one screen: what serves, the consumer lag, and the latest verdict of each gate with its reasons.

    Example: `ol0 status --config ol0.toml --watch`
    """
    from ol0.operator.status import show_status, status_json, watch_status

    with explained():
        settings = on_broker(config)
        if as_json:
            typer.echo(status_json(settings))
        elif watch:
            watch_status(settings, page_console(), stop_on_signals())
        else:
            show_status(settings, page_console())


@topics_app.command("diff")
def topics_diff(config: Config = None) -> None:
    """Show how the broker's topics differ from their declaration. Changes nothing.

    Exit status 0: no difference. 1: there are differences.
    """
    from ol0.kafka import topic_admin

    with explained():
        changes = topic_admin.plan(on_broker(config))
        for change in changes:
            typer.echo(str(change))
        if not changes:
            typer.echo("nothing to change")
    raise typer.Exit(EXIT_FAILED if changes else 0)


@topics_app.command("apply")
def topics_apply(config: Config = None) -> None:
    """Create and alter topics, and register their partitions in the replay store. Never shrinks or deletes.

    Example: `ol0 topics diff && ol0 topics apply`
    """
    from ol0.operator.setup.lineage import apply_topics

    with explained():
        applied = apply_topics(on_broker(config))
        for change in applied.changes:
            typer.echo(str(change))
        for partition in applied.begun_anew:
            typer.echo(
                f"restart {partition}: its topic was deleted and recreated since it was read; records that only the "
                "old topic had are lost"
            )
        for name in applied.gone:
            typer.echo(f"forget {name}: its topic was recreated with fewer partitions")
        count = len(applied.changes) + len(applied.begun_anew) + len(applied.gone)
        typer.echo(f"{count} changes made" if count else "nothing to change")
