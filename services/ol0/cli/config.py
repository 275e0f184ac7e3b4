"""``ol0 config``: the settings as a service would see them, and whether they can be."""

import json
from typing import Annotated

import typer

from ol0.cli.command import EXIT_FAILED, Config, explained, logging_apart
from ol0.config import Settings, load_settings
from ol0.secrets import masked, masked_url

app = typer.Typer()
config_app = typer.Typer(no_args_is_help=True, help="The settings, as a service would see them.")
app.add_typer(config_app, name="config")


@config_app.command("show")
def config_show(config: Config = None) -> None:
    """Prints every setting with its value; secrets are masked."""
    with explained():
        typer.echo(json.dumps(shown(load_settings(config)), indent=2))


def shown(settings: Settings) -> dict[str, object]:
    """The tree as everybody may see it."""
    tree = settings.model_dump(mode="json")
    tree["kafka"]["options"] = masked(settings.kafka.options)
    tree["redis"]["url"] = masked_url(settings.redis.url.get_secret_value())
    return tree


@config_app.command("check")
def config_check(
    config: Config = None,
    offline: Annotated[bool, typer.Option("--offline", help="Ask neither broker nor store.")] = False,  # noqa: FBT002
) -> None:
    """Says whether the settings are right, what is still missing for which service, and what the servers say to them.

    Makes every client that a service makes, and opens every file that is named. Exit status 0: right, as far as could
    be seen; 1: a server contradicts them; 2: a setting is wrong.

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
        typer.echo(f"right: lineage {settings.kafka.topic_prefix} on {settings.kafka.bootstrap_servers}")
