"""Setting a lineage up and looking at it: topics, warm-up, status."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ol0.cli.command import EXIT_FAILED, Config, explained, logging_apart, page_console
from ol0.config import Settings
from ol0.errors import ConfigError

if TYPE_CHECKING:
    from ol0.operator.setup.lineage import Offered

app = typer.Typer()
topics_app = typer.Typer(no_args_is_help=True, help="The topics that a lineage needs.")
DryRun = Annotated[bool, typer.Option("--dry-run", help="Says what is in the checkpoint; changes nothing.")]

app.add_typer(topics_app, name="topics")


@app.command()
def warmup(
    checkpoint: Annotated[Path | None, typer.Argument(help="An AR1 checkpoint (.pt).", show_default=False)] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the base, its encoder and its suite; default: where serving.base is."),
    ] = None,
    config: Config = None,
    calibration: Annotated[
        Path | None, typer.Option(help="Logged decisions of the AR1 policy (.npz): anchors, figures, canary suite.")
    ] = None,
    dry_run: DryRun = False,  # noqa: FBT002 - how typer writes a flag
    data: Annotated[Path | None, typer.Option(help="Instead of a checkpoint: labelled prompts, as for `demo`.")] = None,
    seed: Annotated[int, typer.Option(help="Of the split of labelled prompts and the base trained on them.")] = 0,
) -> None:
    """Brings a base in and offers it as candidate 0: an AR1 checkpoint, or one trained on labelled prompts.

    Writes the base, the encoder of an AR1 checkpoint and the canary suite, puts the anchors into the replay store, and
    ends with the settings that this made necessary. May be repeated. Nothing of a checkpoint is run; one that holds
    more than known tensors is refused by name.

    Example: `ol0 warmup final_policy.pt --calibration logged.npz --config ol0.toml --out warmup/`

    Without a checkpoint and --data, the base of the demo is trained: its answers to the canary suite are worth 73 % of
    the best ones, so `warmup.canary_threshold` has to be 0.73 at most.
    """
    with explained():
        settings = with_calibration(logging_apart(config), calibration)
        if checkpoint is not None:
            warm_up_ar1(settings, checkpoint, out, dry_run=dry_run)
            return
        if dry_run or calibration is not None:
            raise ConfigError("--dry-run and --calibration are about an AR1 checkpoint: name its file")
        from ol0.operator.setup.lineage import warm_up
        from ol0.operator.setup.prompts import read_prompts, split_prompts

        folder = _folder(settings, out)
        offered = warm_up(settings, split_prompts(*read_prompts(data), seed), folder, seed)
        tell_offer(settings, offered, folder)


def tell_offer(settings: Settings, offered: "Offered", folder: Path) -> None:
    """What a warm-up ends with: the base, and what the settings have to name before it can serve."""
    from ol0.cli.settings_to_paste import settings_to_paste
    from ol0.operator.setup.lineage import BASE

    if offered.few:
        typer.echo(offered.few)
    typer.echo(f"offered base {offered.digest[:12]} from {folder / BASE}; it serves once both gates approve")
    for line in settings_to_paste(settings, folder):
        typer.echo(line)


def with_calibration(settings: Settings, calibration: Path | None) -> Settings:
    """The flag goes over the file."""
    if calibration is None:
        return settings
    warmup = settings.warmup.model_copy(update={"calibration": calibration})
    return settings.model_copy(update={"warmup": warmup})


def warm_up_ar1(settings: Settings, checkpoint: Path, out: Path | None, *, dry_run: bool) -> None:
    """Says what is in an AR1 checkpoint and, unless that is all, brings it in.

    Raises:
        OL0Error: it is refused, or the lineage is not there.
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
        raise ConfigError("name a folder with --out, or the file of the base with serving.base")
    return settings.serving.base.parent


@app.command()
def status(config: Config = None) -> None:
    """One screen: what serves, the lag, and the last word of each gate with its reasons."""
    from ol0.operator.status import show_status

    with explained():
        show_status(logging_apart(config), page_console())


@topics_app.command("diff")
def topics_diff(config: Config = None) -> None:
    """Says how the broker's topics differ from their declaration; changes nothing.

    Exit status 0: they do not. 1: they do.
    """
    from ol0.kafka import topic_admin

    with explained():
        changes = topic_admin.plan(logging_apart(config))
        for change in changes:
            typer.echo(str(change))
        if not changes:
            typer.echo("nothing to change")
    raise typer.Exit(EXIT_FAILED if changes else 0)


@topics_app.command("apply")
def topics_apply(config: Config = None) -> None:
    """Makes and alters topics, and registers their partitions in the replay store. Never shrinks, never deletes.

    Example: `ol0 topics diff && ol0 topics apply`
    """
    from ol0.operator.setup.lineage import apply_topics

    with explained():
        applied = apply_topics(logging_apart(config))
        for change in applied.changes:
            typer.echo(str(change))
        for partition in applied.begun_anew:
            typer.echo(
                f"begin {partition} anew: its topic was deleted and made again since it was read; what only the old "
                "one had is lost"
            )
        for name in applied.gone:
            typer.echo(f"forget {name}: its topic was made again with fewer partitions")
        count = len(applied.changes) + len(applied.begun_anew) + len(applied.gone)
        typer.echo(f"{count} changes made" if count else "nothing to change")
