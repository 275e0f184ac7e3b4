"""How good is the learner? Against what one would write instead, without each of its parts, and when things go wrong.

    make evaluate-parts   (python -m benchmarks.evaluation [--seeds 0-4] [--only REGEX] [--stream random])

In process, without gates, delays and arms; one pass of the stream, five splits, two processes. Other streams, with
delays and peers: see ``streams``. Settings are chosen on seeds 10-14 and other streams; seeds 0-4 are for the report.
Every figure is of prompts that nobody trained on.

Writes the tables of benchmarks/results.md, evaluation.json beside it, and docs/images/learning.svg. With other seeds or
another stream it only prints.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Final

from benchmarks.evaluation.page import Key, put_tables, tables
from benchmarks.evaluation.plot import draw
from benchmarks.evaluation.runs import PROCESSES, Task, run, tasks, work
from benchmarks.evaluation.scenarios import USUAL
from benchmarks.evaluation.summary import Summary
from benchmarks.evaluation.worlds import STREAMS

ROOT: Final = Path(__file__).parents[2]
JSON: Final = ROOT / "benchmarks/evaluation.json"
PAGE: Final = ROOT / "benchmarks/results.md"
PLOT: Final = ROOT / "docs/images/learning.svg"
REPORTED: Final = (0, 1, 2, 3, 4)


def collect(todo: list[Task]) -> dict[Key, Summary]:
    """Runs everything; one summary for each contender in each scenario."""
    results = dict(run(todo, work, PROCESSES))
    keys = {(contender, scenario) for _, contender, scenario, _ in todo}
    return {key: Summary.of([results[task] for task in todo if task[1:3] == key]) for key in keys}


def merged(new: Mapping[Key, Summary]) -> dict[Key, Summary]:
    """With what earlier calls found."""
    old = json.loads(JSON.read_text(encoding="utf-8")) if JSON.exists() else []
    kept = {(it.pop("contender"), it.pop("scenario")): Summary(**it) for it in old}
    return kept | dict(new)


def report(found: Mapping[Key, Summary]) -> None:
    """Writes JSON, tables and plot."""
    rows = [{"contender": name, "scenario": scenario, **asdict(it)} for (name, scenario), it in sorted(found.items())]
    JSON.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(put_tables(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")
    draw({name: it for (name, scenario), it in found.items() if scenario == USUAL.name}, PLOT)
    sys.stderr.write(f"wrote {', '.join(str(path.relative_to(ROOT)) for path in (PAGE, JSON, PLOT))}\n")


def main() -> None:
    """Reads the arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0-4", help="first and last, such as 10-14")
    parser.add_argument("--only", default="", help='runs whose "contender / scenario" matches, such as "^OL0"')
    parser.add_argument("--stream", choices=sorted(STREAMS), default="debian")
    arguments = parser.parse_args()
    first, last = map(int, arguments.seeds.split("-"))
    seeds = tuple(range(first, last + 1))
    todo = tasks(arguments.stream, seeds, arguments.only)
    if not todo:
        parser.error(f"--only {arguments.only!r} matches nothing")
    found = collect(todo)
    sys.stdout.write(tables(found))
    if seeds == REPORTED and arguments.stream == "debian":
        report(merged(found))


if __name__ == "__main__":
    main()
