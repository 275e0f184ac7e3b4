"""``ol0 dlq``: records that could not be used."""

from typing import Annotated

import typer
from rich.console import Console

from ol0.cli.command import Config, explained, logging_apart

app = typer.Typer()
dlq_app = typer.Typer(no_args_is_help=True, help="Dead letters: records that could not be used.")
app.add_typer(dlq_app, name="dlq")


LettersOf = Annotated[
    str | None, typer.Option("--topic", help="Only this source topic, such as decisions; the full name works too.")
]


@dlq_app.command("list")
def dlq_list(
    config: Config = None,
    topic: LettersOf = None,
    limit: Annotated[int, typer.Option(min=1, help="How many of the newest to name.")] = 20,
) -> None:
    """Counts dead letters by topic and error, and names the newest.

    Example: `ol0 dlq list --topic decisions`
    """
    from ol0.operator.dead_letters import list_letters

    with explained():
        list_letters(logging_apart(config), topic, limit, Console())


@dlq_app.command("show")
def dlq_show(
    topic: Annotated[str, typer.Argument(help="Where the record stands: decisions, or ol0.decisions.v1.")],
    partition: Annotated[int, typer.Argument(min=0)],
    offset: Annotated[int, typer.Argument(min=0)],
    config: Config = None,
) -> None:
    """Shows one dead letter: headers, what can be read of the bytes, and what to do about it.

    A letter whose headers do not name its source is found by its own place: `decisions.dlq 0 17`.

    Example: `ol0 dlq show decisions 2 41077`
    """
    from ol0.operator.dead_letters import show_letter

    with explained():
        show_letter(logging_apart(config), topic, partition, offset, Console())


@dlq_app.command("replay")
def dlq_replay(
    config: Config = None,
    topic: LettersOf = None,
    where: Annotated[str, typer.Option(help="Only letters with this in coordinates, key, service or error.")] = "",
    apply: Annotated[bool, typer.Option("--apply", help="Send them.")] = False,  # noqa: FBT002 - it is a flag
) -> None:
    """Says which dead letters would be accepted now; with --apply sends those to their topics again.

    Deletes nothing, and sends the same letters again when it is called again: what has an id counts once.

    Example: `ol0 dlq replay --where "schema id 13"`, then the same with `--apply`
    """
    from ol0.operator.dead_letters import rehearse, replay

    with explained():
        (replay if apply else rehearse)(logging_apart(config), topic, where, Console())
