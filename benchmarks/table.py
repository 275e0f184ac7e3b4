"""The part of results.md that is made by machine, between two marks; everything else there is written by hand."""

from collections.abc import Sequence
from typing import Final

from benchmarks.measure import Row

BEGIN: Final = "<!-- made by `make bench`: begin -->"
END: Final = "<!-- made by `make bench`: end -->"


def put_table(page: str, rows: Sequence[Row]) -> str:
    """The page with these rows between the marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    head = "| what | ours | peer or floor | unit | n | ratio | goal | reached |\n|---|---|---|---|---|---|---|---|\n"
    body = "".join(_line(row) for row in rows)
    notes = "".join(f"- {row.name}: {row.note}\n" for row in rows if row.note)
    return f"{before}{BEGIN}\n{head}{body}\n{notes}{END}{after}"


def _line(row: Row) -> str:
    sign = "≥" if row.higher_is_better else "≤"
    goal = "" if row.goal is None else f"{sign} {row.goal:g}"
    figures = [_figure(row.ours), _figure(row.peer), row.unit, f"{row.n:,}", _figure(row.ratio), goal, row.verdict]
    return f"| {' | '.join([row.name, *figures])} |\n"


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
