"""docs/mended.md names no test that is not there any more."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "mended.md").read_text(encoding="utf-8")
SOURCES = {path: path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")}
TESTS = sorted(set(re.findall(r"\btest_[a-z0-9_]+\b(?!\.py)", PAGE)) - {path.stem for path in SOURCES})
FILES = sorted(set(re.findall(r"\btest_[a-z0-9_]+\.py", PAGE)))


@pytest.mark.parametrize("name", TESTS)
def test_every_test_that_holds_a_row_is_there(name: str) -> None:
    assert any(f"def {name}(" in source for source in SOURCES.values())


@pytest.mark.parametrize("name", FILES)
def test_every_file_of_tests_that_the_page_names_is_there(name: str) -> None:
    assert name in {path.name for path in SOURCES}
