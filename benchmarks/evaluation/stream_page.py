"""The part of results.md that the streams write: a table for each, and one of traffic that has nothing to teach."""

from collections.abc import Mapping
from typing import Final

from benchmarks.evaluation.ceilings import ALL_LABELS, ONE_HEAD, ORACLE
from benchmarks.evaluation.players import PLAYERS, UNTOUCHED, VOWPAL
from benchmarks.evaluation.stream_summary import StreamSummary
from benchmarks.evaluation.traffic import MARKS, NULLS, USUAL

BEGIN: Final = "<!-- made by `make evaluate-streams`: begin -->"
END: Final = "<!-- made by `make evaluate-streams`: end -->"
Key = tuple[str, str, str]
"""Stream, contender, name of the traffic."""
HEAD: Final = (
    "new",
    "gain on new",
    "of what all labels allow",
    "change on old",
    "worst split",
    "online",
    "regret",
    *(f"gain after {mark:,}" for mark in MARKS[:-1]),
    "CPU s for 1,000",
)
Found = Mapping[Key, StreamSummary]


def tables(found: Found) -> str:
    """In markdown; what was not run is left out."""
    streams = list(dict.fromkeys(stream for stream, _, _ in found))
    return "\n".join([*(_stream(found, stream) for stream in streams), _nulls(found, streams)])


def _stream(found: Found, stream: str) -> str:
    names = [name for name in (*PLAYERS, ALL_LABELS, ONE_HEAD, ORACLE) if (stream, name, USUAL.name) in found]
    if not names:
        return ""
    ceiling = found.get((stream, ALL_LABELS, USUAL.name))
    rows = [f"| {name} | {_cells(found[stream, name, USUAL.name], ceiling)} |\n" for name in names]
    played = any(name.startswith(VOWPAL) for name in names)
    lacking = "" if played else f"\nNo line of {VOWPAL}: it was not played, or is not in the peers' environment.\n"
    return f"| {' | '.join((stream, *HEAD))} |\n|{'---|' * (1 + len(HEAD))}\n{''.join(rows)}{lacking}"


def _cells(it: StreamSummary, ceiling: StreamSummary | None) -> str:
    share = f"{it.gain / ceiling.gain:.0%}" if ceiling and ceiling.gain > 0 else "-"
    curve = [f"{gain:+.2f}" for gain in it.curve[:-1]] or ["-"] * (len(MARKS) - 1)
    played = ["-" if value is None else f"{value:.2f}" for value in (it.online, it.regret, it.cpu_s)]
    return " | ".join(
        [
            f"{it.new:.2f} ± {it.new_spread:.2f}",
            f"{it.gain:+.2f} ± {it.gain_spread:.2f}",
            share,
            f"{it.old:+.2f} ± {it.old_spread:.2f}",
            f"{it.worst_old:+.2f}",
            *played[:2],
            *curve,
            played[2],
        ]
    )


def _nulls(found: Found, streams: list[str]) -> str:
    rows = []
    for stream in streams:
        for name in PLAYERS:
            some = [found.get((stream, name, null.name)) for null in NULLS]
            if name not in UNTOUCHED and any(some):
                rows.append(f"| {stream} | {name} | {' | '.join(map(_change, some))} |\n")
    head = [f"{null.name}: change on {test}" for null in NULLS for test in ("new", "old")]
    line = f"| stream | what learns | {' | '.join(head)} |\n|{'---|' * (2 + len(head))}\n"
    return f"{line}{''.join(rows)}" if rows else ""


def _change(it: StreamSummary | None) -> str:
    if it is None:
        return "- | -"
    return f"{it.gain:+.2f} ± {it.gain_spread:.2f} | {it.old:+.2f} ± {it.old_spread:.2f}"
