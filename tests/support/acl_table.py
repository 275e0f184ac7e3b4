"""The rights in docs/operating.md, on broker and store: a test grants what the page says, and nothing else."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "operating.md"
HEADER = "| principal | on | may | names |"
EVERY = "*"
"""Ends a name that stands for all names that begin so."""
PREFIX = "ol0"
"""The prefix in the page's names."""


@dataclass(frozen=True, order=True)
class Right:
    """One operation of a principal on one resource. ``name`` may end with ``EVERY``."""

    principal: str
    kind: str
    operation: str
    name: str

    def __str__(self) -> str:
        return f"{self.principal}: {self.operation} on {self.kind} {self.name}"


def rights(prefix: str) -> frozenset[Right]:
    """Every right of the page's table, for a lineage of this prefix."""
    return frozenset(_rows(PAGE.read_text(encoding="utf-8"), prefix))


def _rows(page: str, prefix: str) -> Iterator[Right]:
    _, _, table = page.partition(HEADER)
    assert table, f"{PAGE} has no table {HEADER}"
    for line in table.split("\n\n", 1)[0].splitlines()[2:]:
        principal, kind, operations, names = (cell.strip() for cell in line.strip("|").split("|"))
        for operation in operations.split(", "):
            for name in re.findall(r"`([^`]+)`", names):
                assert name.startswith(PREFIX), f"{name} does not begin with the prefix of the page"
                yield Right(principal.strip("`"), kind, operation, prefix + name.removeprefix(PREFIX))


def store_users(prefix: str, password: str) -> dict[str, list[str]]:
    """The rules of every user of the store on the page, by name."""
    lines = re.findall(r"^ACL SETUSER (\w+) (on .*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {
        name: rules.replace("PASSWORD", password).replace(f"{{{PREFIX}}}", f"{{{prefix}}}").split()
        for name, rules in lines
    }


def store_commands(name: str) -> set[str]:
    """What a user of the store may run, by the page."""
    return {rule[1:] for rule in store_users(PREFIX, "")[name] if rule.startswith("+")}
