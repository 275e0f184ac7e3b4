"""``ol0 send``: feedback by hand."""

from typing import Annotated

import typer

from ol0.cli.command import Config, explained, logging_apart
from ol0.errors import ContractError

app = typer.Typer()


@app.command(rich_help_panel="Look and change")
def send(
    decision_id: Annotated[str, typer.Argument(help="Id of the decision.")],
    session: Annotated[str, typer.Option(help="Id of its session.")],
    config: Config = None,
    thumb: Annotated[int | None, typer.Option(help="+1 or -1.")] = None,
    rating: Annotated[int | None, typer.Option(help="1 to 5.")] = None,
    correction: Annotated[
        str | None,
        typer.Option(help="The right expert, by number; with several parts, one number per part."),
    ] = None,
    source: Annotated[
        str, typer.Option(help="Who gives the feedback. A later signal of the same source replaces the earlier one.")
    ] = "ol0 send",
) -> None:
    """Send feedback about one decision: a thumb, a rating, a correction, or several of them.

    Example: `ol0 send 7e0f3c52-6c1b-4f0e-9d1a-1f2e3d4c5b6a --session session-17 --thumb 1`

    If expert 3 was right: `--correction 3`. With four parts, as after AR1: `--correction 3,0,1,2`.
    """
    from ol0.clock import wall_clock_ms
    from ol0.kafka.broker_probe import require_broker
    from ol0.kafka.lineage import Lineage
    from ol0.kafka.sending.record_sender import RecordSender
    from ol0.records import DecisionId
    from ol0.sdk.feedback import About, feedback_record, new_feedback_id

    with explained():
        settings = logging_apart(config)
        if thumb is None and rating is None and correction is None:
            raise ContractError("no feedback given: add --thumb, --rating or --correction")
        action = None if correction is None else action_of(correction)
        about = About(new_feedback_id(), DecisionId(decision_id), session, source, wall_clock_ms())
        record = feedback_record(about, thumb=thumb, rating=rating, correction=action)
        lineage = Lineage.of(settings.kafka)
        require_broker(lineage.clients)
        RecordSender(lineage).send_all([record])
        typer.echo(f"sent {about.feedback_id}")


def action_of(text: str) -> tuple[int, ...]:
    """Parses an action written as comma-separated numbers.

    >>> action_of("3"), action_of("3, 0,1,2")
    ((3,), (3, 0, 1, 2))

    Raises:
        ContractError: the text is not a list of whole numbers.
    """
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError:
        raise ContractError(
            f"--correction {text!r}: expected one whole number per part, counted from 0, "
            "such as 3, or 3,0,1,2 for four parts"
        ) from None
