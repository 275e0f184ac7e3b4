"""Setting a lineage up and looking at it: topics, warm-up, settings, status, feedback by hand."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ol0.cli.command import EXIT_FAILED, PAGE_WIDTH, Config, explained
from ol0.config import Settings, load_settings

app = typer.Typer()
topics_app = typer.Typer(no_args_is_help=True, help="The topics that a lineage needs.")
config_app = typer.Typer(no_args_is_help=True, help="The settings, as a service would see them.")
app.add_typer(topics_app, name="topics")
app.add_typer(config_app, name="config")


@app.command()
def warmup(
    out: Annotated[Path, typer.Option(help="Folder of base.safetensors and suite.safetensors.")],
    config: Config = None,
    data: Annotated[Path | None, typer.Option(help="Labelled prompts, as for `ol0 demo`.")] = None,
    seed: Annotated[int, typer.Option(help="Of the split and the base.")] = 0,
) -> None:
    """Brings a base in: trains it on the old kinds of labelled prompts and offers it as candidate 0.

    Writes the base and the canary suite, puts the anchors into the replay store. May be repeated.

    Example: `ol0 warmup --config ol0.toml --data prompts.npz --out warmup/`
    """
    from ol0.soak.dataset import read_prompts, split_prompts
    from ol0.soak.lineage_setup import warm_up

    with explained():
        digest = warm_up(load_settings(config), split_prompts(*read_prompts(data), seed), out, seed)
        typer.echo(f"offered base {digest[:12]} from {out / 'base.safetensors'}; it serves once both gates approve")


@app.command()
def status(config: Config = None) -> None:
    """One screen: what serves, the lag, and the last word of each gate with its reasons."""
    from ol0.soak.status import show_status

    with explained():
        console = Console()
        show_status(load_settings(config), console if console.is_terminal else Console(width=PAGE_WIDTH))


@app.command()
def send(
    decision_id: Annotated[str, typer.Argument(help="The decision that the feedback is about.")],
    session: Annotated[str, typer.Option(help="Its session.")],
    config: Config = None,
    thumb: Annotated[int | None, typer.Option(help="+1 or -1.")] = None,
    rating: Annotated[int | None, typer.Option(help="1 to 5.")] = None,
    source: Annotated[str, typer.Option(help="Who says so; signals of one source replace each other.")] = "ol0 send",
) -> None:
    """Sends one person's feedback about one decision.

    Example: `ol0 send 7e0f3c52-6c1b-4f0e-9d1a-1f2e3d4c5b6a --session s1 --thumb 1`
    """
    from ol0.clock import wall_clock_ms
    from ol0.records import DecisionId
    from ol0.serving.feedback import About, feedback_record, new_feedback_id
    from ol0.streaming.lineage import Lineage
    from ol0.streaming.sender import RecordSender

    with explained():
        settings = load_settings(config)
        about = About(new_feedback_id(), DecisionId(decision_id), session, source, wall_clock_ms())
        RecordSender(Lineage.of(settings.kafka)).send_all([feedback_record(about, thumb=thumb, rating=rating)])
        typer.echo(f"sent {about.feedback_id}")


@topics_app.command("diff")
def topics_diff(config: Config = None) -> None:
    """Says how the broker's topics differ from their declaration; changes nothing.

    Exit status 0: they do not. 1: they do.
    """
    from ol0.streaming import admin

    with explained():
        changes = admin.plan(load_settings(config))
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
    from ol0.soak.lineage_setup import apply_topics

    with explained():
        changes = apply_topics(load_settings(config))
        for change in changes:
            typer.echo(str(change))
        typer.echo(f"{len(changes)} changes made" if changes else "nothing to change")


@config_app.command("show")
def config_show(config: Config = None) -> None:
    """Prints every setting with its value; secrets are masked."""
    with explained():
        typer.echo(json.dumps(load_settings(config).model_dump(mode="json"), indent=2))


@config_app.command("check")
def config_check(config: Config = None) -> None:
    """Says whether the settings are right; where not, what is wrong and what the right key is."""
    with explained():
        settings: Settings = load_settings(config)
        typer.echo(
            f"right: lineage {settings.kafka.topic_prefix} on {settings.kafka.bootstrap_servers}", file=sys.stdout
        )
