"""``ol0 config``: shows the settings as a service sees them, and checks them."""

import json
from typing import Annotated

import typer

from ol0.cli.command import EXIT_FAILED, Config, explained, logging_apart
from ol0.config import Settings, load_settings
from ol0.secrets import masked, masked_url

app = typer.Typer()
config_app = typer.Typer(no_args_is_help=True, help="Show and check the settings.")
app.add_typer(config_app, name="config", rich_help_panel="Set up")


@config_app.command("show")
def config_show(config: Config = None) -> None:
    """Print every setting with its value. Secrets are masked.

    Example: `ol0 config show --config ol0.toml`
    """
    with explained():
        typer.echo(json.dumps(shown(load_settings(config)), indent=2))


def shown(settings: Settings) -> dict[str, object]:
    """Returns the settings with every secret masked."""
    tree = settings.model_dump(mode="json")
    tree["kafka"]["options"] = masked(settings.kafka.options)
    tree["redis"]["url"] = masked_url(settings.redis.url.get_secret_value())
    return tree


@config_app.command("check")
def config_check(
    config: Config = None,
    offline: Annotated[bool, typer.Option("--offline", help="Do not contact the broker or the store.")] = False,  # noqa: FBT002
) -> None:
    """Check the settings, the files that they name, and what the broker and the store say.

    Builds every client that a service builds and opens every file.
    Exit status 0: no problem found. 1: a server contradicts the settings. 2: a setting is wrong.

    Example: `ol0 config check --config ol0.toml`
    """
    from ol0.cli.config_check import DIFFERS, ask_servers, missing, refuse_impossible

    with explained():
        settings = logging_apart(config)
        refuse_impossible(settings)
        findings = [*missing(settings), *([] if offline else ask_servers(settings))]
        for kind, text in findings:
            typer.echo(f"{kind}: {text}")
        if any(kind == DIFFERS for kind, _ in findings):
            raise typer.Exit(EXIT_FAILED)
        typer.echo(f"ok: lineage {settings.kafka.topic_prefix} on {settings.kafka.bootstrap_servers}")
