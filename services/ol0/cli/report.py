"""``ol0 report``: the evaluator's figures."""

import json
from io import StringIO
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ol0.cli.command import PAGE_WIDTH, AsJson, Config, explained, on_broker, page_console

app = typer.Typer()


@app.command(rich_help_panel="Look")
def report(
    config: Config = None,
    as_json: AsJson = False,  # noqa: FBT002 - how typer writes a flag
    out: Annotated[Path | None, typer.Option(help="Write the JSON to this file.", dir_okay=False)] = None,
    html: Annotated[Path | None, typer.Option(help="Write the page to this file as HTML.", dir_okay=False)] = None,
) -> None:
    """Show whether it helps: the lift with its interval, arms, groups and hours.

    Exit status 1: Kafka does not answer, or nothing has been evaluated yet.

    Example: `ol0 report --config ol0.toml`, for machines `ol0 report --json`
    """
    from ol0.operator.evaluation import evaluator_report
    from ol0.operator.report_page import report_page

    with explained():
        text = evaluator_report(on_broker(config))
        if as_json:
            typer.echo(text)
        elif out is not None:
            out.write_text(text + "\n", encoding="utf-8")
            typer.echo(f"wrote {out}")
        elif html is not None:
            console = Console(record=True, file=StringIO(), width=PAGE_WIDTH)
            console.print(report_page(json.loads(text)))
            console.save_html(str(html))
            typer.echo(f"wrote {html}")
        else:
            page_console().print(report_page(json.loads(text)))
