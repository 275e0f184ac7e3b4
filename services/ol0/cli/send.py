"""``ol0 send``: feedback by hand."""

from typing import Annotated

import typer

from ol0.cli.command import Config, explained, logging_apart
from ol0.errors import ContractError

app = typer.Typer()


@app.command()
def send(
    decision_id: Annotated[str, typer.Argument(help="The decision that the feedback is about.")],
    session: Annotated[str, typer.Option(help="Its session.")],
    config: Config = None,
    thumb: Annotated[int | None, typer.Option(help="+1 or -1.")] = None,
    rating: Annotated[int | None, typer.Option(help="1 to 5.")] = None,
    correction: Annotated[
        str | None,
        typer.Option(help="What would have been right: the number of the expert, or of the choice in each part."),
    ] = None,
    source: Annotated[str, typer.Option(help="Who says so; signals of one source replace each other.")] = "ol0 send",
) -> None:
    """Sends one person's feedback about one decision: a thumb, a rating, a correction, or several of them.

    Example: `ol0 send 7e0f3c52-6c1b-4f0e-9d1a-1f2e3d4c5b6a --session session-17 --thumb 1`

    Expert 3 would have been right: `--correction 3`. With four parts, as after AR1: `--correction 3,0,1,2`.
    """
    from ol0.clock import wall_clock_ms
    from ol0.kafka.lineage import Lineage
    from ol0.kafka.sending.record_sender import RecordSender
    from ol0.records import DecisionId
    from ol0.sdk.feedback import About, feedback_record, new_feedback_id

    with explained():
        settings = logging_apart(config)
        if thumb is None and rating is None and correction is None:
            raise ContractError("nothing is said of the decision: --thumb, --rating or --correction says it")
        action = None if correction is None else action_of(correction)
        about = About(new_feedback_id(), DecisionId(decision_id), session, source, wall_clock_ms())
        record = feedback_record(about, thumb=thumb, rating=rating, correction=action)
        RecordSender(Lineage.of(settings.kafka)).send_all([record])
        typer.echo(f"sent {about.feedback_id}")


def action_of(text: str) -> tuple[int, ...]:
    """The action that somebody writes as numbers with commas between them.

    >>> action_of("3"), action_of("3, 0,1,2")
    ((3,), (3, 0, 1, 2))

    Raises:
        ContractError: it is none.
    """
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError:
        raise ContractError(
            f"--correction {text!r}: a whole number for each part, counted from 0, such as 3, or 3,0,1,2 for four parts"
        ) from None
