"""``ol0 console`` and ``ol0 trace``: a page to look at, and where one decision went."""

from typing import Annotated

import typer

from ol0.cli.command import EXIT_FAILED, Config, explained, extra, logging_apart, page_console, stop_on_signals

app = typer.Typer()


@app.command(rich_help_panel="Look")
def console(
    config: Config = None,
    host: Annotated[str, typer.Option(help="Address to bind. One that other machines reach needs a token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to bind; 0 takes any free one.")] = 8600,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="OL0_CONSOLE_TOKEN", help="Allows orders (freeze, thaw, pin, rollback) to those who sign in with it."
        ),
    ] = None,
) -> None:
    """Serve one page that shows what a lineage does, until Ctrl-C. Reads only, unless you sign in with a token.

    Example: `ol0 console --config ol0.toml`, then open http://127.0.0.1:8600/
    """
    with explained():
        with extra("console"):
            from ol0.console.web import server
            from ol0.console.web.access import Access
        settings = logging_apart(config)
        access = Access(host, token or None)
        stop = stop_on_signals()
        with server.listen(host, port) as listener, server.console(settings, listener, access):
            typer.echo(f"{server.address(listener)} shows lineage {settings.kafka.topic_prefix}; Ctrl-C stops it")
            stop.wait()


@app.command(rich_help_panel="Look")
def trace(
    decision_id: Annotated[str, typer.Argument(help="The id that `prompt.decide` returned.", show_default=False)],
    config: Config = None,
    hours: Annotated[float, typer.Option(min=0, help="How far back to search, by the broker's clock.")] = 24.0,
    within_s: Annotated[float, typer.Option(min=1, help="Seconds that the search may take.")] = 20.0,
) -> None:
    """Show where a decision went: window, feedback, reward, outcome, and under which release; and what was searched.

    Exit status 1: neither the decision nor its outcome was found.

    Example: `ol0 trace 7e0f3c52-6c1b-4f0e-9d1a-1f2e3d4c5b6a --hours 168`
    """
    from ol0.clock import wall_clock_ms
    from ol0.console.decisions.pages import trace_page
    from ol0.console.decisions.search import Bounds, search
    from ol0.console.decisions.trace import trace as trace_of

    with explained():
        settings = logging_apart(config)
        found = trace_of(search(settings, decision_id, Bounds(hours, within_s)), settings.streaming, wall_clock_ms())
        page_console().print(trace_page(found))
        if not found.is_found:
            raise typer.Exit(EXIT_FAILED)
