"""docs/guards.md names nothing that is not there any more."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "guards.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("|") and "`" in line
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_every_guard_is_where_the_page_says_and_so_is_the_test_that_misses_it(row: list[str]) -> None:
    _, where, _, noticed = row
    file, *names = re.findall(r"`([^`]+)`", where)
    source = (ROOT / "services/ol0" / file).read_text(encoding="utf-8")
    assert names
    assert [name for name in names if name.strip("()") not in source] == []
    file, *tests = re.findall(r"`([^`]+)`", noticed)
    source = (ROOT / "tests" / file).read_text(encoding="utf-8")
    assert tests
    assert [name for name in tests if f"def {name}(" not in source] == []
