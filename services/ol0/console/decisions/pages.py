"""What ``ol0 trace`` prints."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ol0.console.decisions.trace import Trace
from ol0.operator.dead_letter_text import plain


def trace_page(trace: Trace) -> RenderableType:
    """Every station with its details, then what was searched. Texts of strangers keep no control characters."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for step in trace.steps:
        grid.add_row(step.name, Text(plain(step.text)))
        for line in step.details:
            grid.add_row("", Text(plain(line)))
    return Group(Text(f"decision {trace.decision_id}", style="bold"), grid, Text(), *_searched(trace))


def _searched(trace: Trace) -> Iterator[Text]:
    yield Text("searched" if trace.is_whole else "searched, not everything")
    yield from (Text(f"  {plain(line)}") for line in trace.searched)
