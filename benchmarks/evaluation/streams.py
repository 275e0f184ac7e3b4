"""The demo's traffic on several streams: OL0 against what one could put in its place.

    make evaluate-streams
    python -m benchmarks.evaluation.streams [--stream NAME ...] [--data FILE ...] [--seeds 0-4] [--only REGEX] [--write]

20,000 decisions in process, 85 % of new kinds, a fifth of the votes missing, one in fifty wrong, known 300 decisions
later. Everybody begins with the same base and the same logged anchors, and learns from its own decisions. A stream is
the data of the package, made-up clusters, or a file of labelled prompts (see ol0.operator.setup.prompt_file); nothing
assumes that one expert is right. Two more kinds of traffic have nothing to teach: old prompts alone, and votes that are
tosses of a coin.

Settings are chosen on seeds 10-14; seeds 0-4 are for the report, and go into benchmarks/results.md, streams.json beside
it and docs/images/streams.svg, those of files with --write only. Otherwise it prints.
"""

import argparse
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Final

from benchmarks.evaluation.ceilings import ceilings
from benchmarks.evaluation.page import put_between
from benchmarks.evaluation.players import FROZEN, PLAYERS, UNTOUCHED, VOWPAL
from benchmarks.evaluation.runs import PROCESSES, run
from benchmarks.evaluation.stream_page import BEGIN, END, Key, tables
from benchmarks.evaluation.stream_plot import draw
from benchmarks.evaluation.stream_summary import StreamSummary
from benchmarks.evaluation.traffic import NULLS, USUAL, Outcome, play
from benchmarks.evaluation.vowpal import missing
from benchmarks.evaluation.worlds import STREAMS, world_of

ROOT: Final = Path(__file__).parents[2]
JSON: Final = ROOT / "benchmarks/streams.json"
PAGE: Final = ROOT / "benchmarks/results.md"
PLOT: Final = ROOT / "docs/images/streams.svg"
REPORTED: Final = (0, 1, 2, 3, 4)
TRAFFIC: Final = {it.name: it for it in (USUAL, *NULLS)}
CEILINGS: Final = "ceilings"

Task = tuple[str, str, str, int]
"""Stream (a name, or a file's path), contender, name of the traffic, seed."""


def tasks(streams: list[str], seeds: tuple[int, ...], pattern: str) -> list[Task]:
    """Every run whose "stream / contender / traffic" matches, and what they are measured by: base and ceilings."""
    pairs = [(name, USUAL.name) for name in PLAYERS if name != FROZEN]
    pairs += [(name, null.name) for null in NULLS for name in PLAYERS if name not in UNTOUCHED]
    todo = []
    for stream in streams:
        wanted = [pair for pair in pairs if re.search(pattern, " / ".join((label(stream), *pair)))]
        some = [(FROZEN, USUAL.name), (CEILINGS, USUAL.name), *wanted] if wanted else []
        todo += [(stream, *pair, seed) for seed in seeds for pair in some]
    return todo


def work(task: Task) -> tuple[Task, Mapping[str, Outcome]]:
    """One run; outcomes by contender."""
    stream, name, traffic, seed = task
    world = world_of(stream, seed)
    if name == CEILINGS:
        return task, ceilings(world, seed)
    return task, {name: play(world, PLAYERS[name], TRAFFIC[traffic], seed)}


def collect(todo: list[Task], processes: int) -> dict[Key, StreamSummary]:
    """Runs everything; one summary for each contender on each stream under each traffic."""
    runs: dict[Key, dict[int, Outcome]] = {}
    for (stream, _, traffic, seed), outcomes in run(todo, work, processes):
        for name, outcome in outcomes.items():
            runs.setdefault((label(stream), name, traffic), {})[seed] = outcome
    return {key: _summary(found, runs[key[0], FROZEN, USUAL.name]) for key, found in runs.items()}


def _summary(found: Mapping[int, Outcome], bases: Mapping[int, Outcome]) -> StreamSummary:
    return StreamSummary.of([found[seed] for seed in sorted(found)], [bases[seed] for seed in sorted(found)])


def label(stream: str) -> str:
    """How a stream is called: a file by its name without the ending."""
    return stream if stream in STREAMS else Path(stream).stem


def merged(new: Mapping[Key, StreamSummary]) -> dict[Key, StreamSummary]:
    """With what earlier calls found."""
    old = json.loads(JSON.read_text(encoding="utf-8")) if JSON.exists() else []
    kept = {
        (it.pop("stream"), it.pop("contender"), it.pop("traffic")): StreamSummary(**it | {"curve": tuple(it["curve"])})
        for it in old
    }
    return kept | dict(new)


def report(found: Mapping[Key, StreamSummary]) -> None:
    """Writes JSON, tables and plot.

    Raises:
        ValueError: the page has no marks.
    """
    rows = [dict(zip(("stream", "contender", "traffic"), key, strict=True)) | asdict(it) for key, it in found.items()]
    JSON.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(put_between(PAGE.read_text(encoding="utf-8"), BEGIN, END, tables(found)), encoding="utf-8")
    streams = dict.fromkeys(stream for stream, _, _ in found)
    usual = {
        stream: {name: it for (where, name, traffic), it in found.items() if (where, traffic) == (stream, USUAL.name)}
        for stream in streams
    }
    draw(usual, PLOT)
    sys.stderr.write(f"wrote {', '.join(str(path.relative_to(ROOT)) for path in (PAGE, JSON, PLOT))}\n")


def main() -> None:
    """Reads the arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stream", nargs="*", choices=sorted(STREAMS), help="all, if there are no files")
    parser.add_argument("--data", nargs="*", type=Path, default=[], metavar="FILE")
    parser.add_argument("--seeds", default="0-4", help="first and last, such as 10-14")
    parser.add_argument("--only", default="", help='runs whose "stream / contender / traffic" matches')
    parser.add_argument("--write", action="store_true", help="files go into the tables, too")
    parser.add_argument("--processes", type=int, default=PROCESSES)
    arguments = parser.parse_args()
    first, last = map(int, arguments.seeds.split("-"))
    seeds = tuple(range(first, last + 1))
    files = [str(path.resolve()) for path in arguments.data]
    named = arguments.stream if arguments.stream is not None else [] if files else sorted(STREAMS)
    todo = tasks([*named, *files], seeds, arguments.only)
    if missing():
        todo = [task for task in todo if not task[1].startswith(VOWPAL)]
    if not todo:
        parser.error(f"--only {arguments.only!r} matches nothing")
    found = collect(todo, arguments.processes)
    sys.stdout.write(tables(found))
    if seeds == REPORTED and (arguments.write or not files):
        report(merged(found))


if __name__ == "__main__":
    main()
