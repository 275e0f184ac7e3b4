"""Every question in turn; writes results.json and the table of results.md. ``--only NAME`` asks one.

A question that fails is a line in the results that says why, and the others are asked all the same.
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks import contention, decide, decode, durability, join, processes, releasing, replay, scripts
from benchmarks.measure import Row, as_json, say
from benchmarks.table import put_table

FOLDER = Path(__file__).parent
QUESTIONS: Mapping[str, Callable[[], list[Row]]] = {
    "decode": lambda: decode.rows(21),
    "decide": lambda: decide.rows(21),
    "scripts": lambda: scripts.rows(20_000),
    "replay": lambda: replay.rows(3),
    "releasing": lambda: releasing.rows(60),
    "join": lambda: join.rows(join.DECISIONS, 3),
    "durability": lambda: durability.rows(durability.DECISIONS, 3),
    "processes": lambda: processes.rows(10_000, 2),
    "contention": lambda: contention.rows(15_000, 3),
}


def ask(name: str) -> list[Row]:
    """The rows of one question."""
    say(f"{name} ...")
    began = time.monotonic()
    try:
        found = QUESTIONS[name]()
    except Exception as error:  # noqa: BLE001 - the results say what went wrong
        found = [Row(name, None, higher_is_better=True, ratio=None, note=f"failed: {type(error).__name__}: {error}")]
    for row in found:
        ratio = "-" if row.ratio is None else f"{row.ratio:.2f}"
        say(f"  {row.name}: {ratio} (goal {row.goal}): {row.verdict} {row.note if row.ratio is None else ''}")
    say(f"{name}: {time.monotonic() - began:.0f} s")
    return found


def main() -> None:
    """Reads the arguments, asks, writes; fails where a question could not be asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=list(QUESTIONS), action="append", help="may be given more than once")
    arguments = parser.parse_args()
    rows = [row for name in arguments.only or QUESTIONS for row in ask(name)]
    if arguments.only:
        sys.stdout.write(as_json(rows))
    else:
        (FOLDER / "results.json").write_text(as_json(rows), encoding="utf-8")
        page = FOLDER / "results.md"
        page.write_text(put_table(page.read_text(encoding="utf-8"), rows), encoding="utf-8")
    if any(row.note.startswith("failed: ") for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
