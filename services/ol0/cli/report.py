"""``ol0 report``: the evaluator's figures."""

from pathlib import Path
from typing import Annotated

import typer

from ol0.cli.command import Config, explained, logging_apart

app = typer.Typer()


@app.command()
def report(
    config: Config = None,
    out: Annotated[
        Path | None, typer.Option(help="Write to this file instead of standard output.", dir_okay=False)
    ] = None,
) -> None:
    """Print the evaluator's current figures as JSON: arms, lift with its interval, groups, hours.

    Exit status 1: Kafka does not answer, or nothing has been evaluated yet.

    Example: `ol0 report --config ol0.toml --out report.json`
    """
    from ol0.errors import ConfigError
    from ol0.operator.evaluation import evaluator_report

    with explained():
        text = evaluator_report(logging_apart(config))
        if out is None:
            typer.echo(text)
            return
        try:
            out.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"--out {out}: {error.strerror}") from None
        typer.echo(f"wrote {out}")
