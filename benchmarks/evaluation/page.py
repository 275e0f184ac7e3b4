"""The part of results.md that ``make evaluate-parts`` writes, between two marks."""

from collections.abc import Iterable, Mapping
from typing import Final

from benchmarks.evaluation.contenders import ABLATIONS, BASELINES, CEILING
from benchmarks.evaluation.scenarios import SCENARIOS, USUAL
from benchmarks.evaluation.summary import Summary

BEGIN: Final = "<!-- made by `make evaluate-parts`: begin -->"
END: Final = "<!-- made by `make evaluate-parts`: end -->"

Key = tuple[str, str]
"""Contender and scenario."""


def put_tables(page: str, found: Mapping[Key, Summary]) -> str:
    """The page with the tables between the marks.

    Raises:
        ValueError: the page has no marks.
    """
    return put_between(page, BEGIN, END, tables(found))


def put_between(page: str, begin: str, end: str, text: str) -> str:
    """The page with other text between two marks.

    Raises:
        ValueError: the page has no marks.
    """
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"the page has no {begin} with {end} behind it")
    return f"{before}{begin}\n{text}{end}{after}"


def tables(found: Mapping[Key, Summary]) -> str:
    """Contenders, ablations, scenarios, in markdown; what was not run is left out."""
    sections = [
        _section(("what learns", *COLUMNS), ((name, found.get((name, USUAL.name))) for name in (*BASELINES, CEILING))),
        _section(("OL0, gradient", *COLUMNS), ((name, found.get((name, USUAL.name))) for name in ABLATIONS)),
        _section(
            ("scenario", "what learns", *SCENARIO_COLUMNS),
            (
                (f"{scenario.name} | {name}", found.get((name, scenario.name)))
                for scenario in SCENARIOS
                for name in BASELINES
            ),
            _scenario_cells,
        ),
    ]
    return "\n".join(section for section in sections if section)


COLUMNS: Final = ("new", "worst split", "change on old", "worst split", "half of the gain after")
SCENARIO_COLUMNS: Final = ("new", "change on old", "kinds, from … to", "the kind that is lied about")


def _section(head: Iterable[str], rows: Iterable[tuple[str, Summary | None]], cells: object = None) -> str:
    head = list(head)
    make = cells if callable(cells) else _cells
    lines = [f"| {name} | {make(summary)} |\n" for name, summary in rows if summary is not None]
    return f"| {' | '.join(head)} |\n|{'---|' * len(head)}\n{''.join(lines)}" if lines else ""


def _cells(it: Summary) -> str:
    half = "-" if it.half is None else f"{it.half:,}"
    return (
        f"{it.new:.1f} ± {it.new_spread:.1f} | {it.worst_new:.1f} | {it.old:+.2f} ± {it.old_spread:.2f} | "
        f"{it.worst_old:+.2f} | {half}"
    )


def _scenario_cells(it: Summary) -> str:
    target = "" if it.target is None else f"{it.target:+.1f}"
    kinds = f"{it.kind_down:+.1f} … {it.kind_up:+.1f}"
    return f"{it.new:.1f} ± {it.new_spread:.1f} | {it.old:+.2f} ± {it.old_spread:.2f} | {kinds} | {target}"
