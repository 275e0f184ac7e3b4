"""``ol0 dlq``: records that could not be used."""

from typing import Annotated

import typer
from rich.console import Console

from ol0.cli.command import Config, explained, on_broker

app = typer.Typer()
dlq_app = typer.Typer(no_args_is_help=True, help="Dead letters: records that could not be used.")
app.add_typer(dlq_app, name="dlq", rich_help_panel="Look and change")


LettersOf = Annotated[
    str | None,
    typer.Option("--topic", help="Only this source topic: a short name such as decisions, or the full name."),
]


@dlq_app.command("list")
def dlq_list(
    config: Config = None,
    topic: LettersOf = None,
    limit: Annotated[int, typer.Option(min=1, help="Number of newest records to list.")] = 20,
) -> None:
    """Count dead letters by topic and error, and list the newest.

    Example: `ol0 dlq list --topic decisions`
    """
    from ol0.operator.dead_letters import list_letters

    with explained():
        list_letters(on_broker(config), topic, limit, Console())


@dlq_app.command("show")
def dlq_show(
    topic: Annotated[str, typer.Argument(help="Source topic: decisions, or ol0.decisions.v1.")],
    partition: Annotated[int, typer.Argument(min=0)],
    offset: Annotated[int, typer.Argument(min=0)],
    config: Config = None,
) -> None:
    """Show one dead letter: headers, the readable part of its bytes, and the remedy.

    If its headers do not name the source, use its own coordinates: `decisions.dlq 0 17`.

    Example: `ol0 dlq show decisions 2 41077`
    """
    from ol0.operator.dead_letters import show_letter

    with explained():
        show_letter(on_broker(config), topic, partition, offset, Console())


@dlq_app.command("replay")
def dlq_replay(
    config: Config = None,
    topic: LettersOf = None,
    where: Annotated[
        str, typer.Option(help="Only letters that contain this text in coordinates, key, service or error.")
    ] = "",
    apply: Annotated[bool, typer.Option("--apply", help="Send them; else only show them.")] = False,  # noqa: FBT002 - a flag
) -> None:
    """Show which dead letters would be accepted now. With --apply, send those to their topics again.

    Deletes nothing. A second call sends the same letters again; records with an id count once.

    Example: `ol0 dlq replay --where "schema id 13"`, then the same with `--apply`
    """
    from ol0.operator.dead_letters import rehearse, replay

    with explained():
        (replay if apply else rehearse)(on_broker(config), topic, where, Console())
