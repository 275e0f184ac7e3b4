"""docs/architecture.md names no file and no room that does not exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PACKAGE = ROOT / "services" / "ol0"
SHORT = {path.name for path in PACKAGE.rglob("*.*")}
NAMED = sorted(
    {name for code in re.findall(r"`([^`\n]+)`", PAGE) for name in code.split() if re.search(r"\.(py|lua)$|/$", name)}
)


@pytest.mark.parametrize("name", NAMED)
def test_every_file_and_room_that_is_named_exists(name: str) -> None:
    if "*" in name:
        assert list(PACKAGE.rglob(name))
    elif "/" in name.rstrip("/"):
        assert any((folder / name).exists() for folder in (ROOT, PACKAGE))
    elif name.endswith("/"):
        assert (ROOT / name).is_dir() or any(path.is_dir() for path in PACKAGE.rglob(name.rstrip("/")))
    else:
        assert name in SHORT


def test_every_room_has_a_line() -> None:
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    tree = PAGE.split("## The tree")[1].split("## ")[0]
    assert [room for room in sorted(rooms) if f"{room}/" not in tree] == []
