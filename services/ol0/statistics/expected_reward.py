"""What a decision will probably be worth, learnt from past ones: by role, by group within it, by action within that."""

from collections.abc import Sequence
from typing import Annotated, Final, NamedTuple, Self, TypeAlias

from pydantic import PlainSerializer, PlainValidator, TypeAdapter

from ol0.statistics.columns import Column, Row, pack_columns, unpack_columns

SHRINKAGE: Final = 10.0
"""Rewards of its parent that each mean begins with. What is predicted is noisy: few rewards must not speak alone."""
MOST_CELLS: Final = 4_000
"""Means that are kept; labels by user must not fill the memory. Later ones speak for their parents alone."""


class Cell(NamedTuple):
    """What is known of a choice before it is made.

    Attributes:
        role: whose choice it is.
        group: label of the prompt; None without one.
        action: in words.
    """

    role: str
    group: str | None = None
    action: str | None = None


class ExpectedReward:
    """Mean rewards of cells, each drawn towards that of the cell around it. Nothing here need be right.

    A mean that is taken *before* an observation moves no expected value when it is subtracted and its expectation is
    added back: a poor one costs deviation alone.

    >>> expected = ExpectedReward()
    >>> for _ in range(30):
    ...     expected.add(Cell("base", "news", "3"), 1.0)
    >>> [round(expected.of(Cell("base", group, "3")), 2) for group in ("news", "mail")]
    [1.0, 0.98]
    """

    def __init__(self) -> None:
        self._sums: dict[tuple[str | None, ...], tuple[int, float]] = {}

    def of(self, cell: Cell) -> float:
        """The mean that is expected, within [0, 1]; .5 where nothing is known."""
        mean, weight = 0.5, 1.0
        for depth in range(1, len(cell) + 1):
            count, total = self._sums.get(cell[:depth], (0, 0.0))
            mean, weight = (total + weight * mean) / (count + weight), SHRINKAGE
        return mean

    def add(self, cell: Cell, reward: float) -> None:
        """Take what a choice was worth, within [0, 1]."""
        for depth in range(1, len(cell) + 1):
            key = cell[:depth]
            if key in self._sums or len(self._sums) < MOST_CELLS:
                count, total = self._sums.get(key, (0, 0.0))
                self._sums[key] = count + 1, total + reward

    def snapshot(self) -> list[Column]:
        """In plain JSON values; ``from_snapshot`` continues from it, bit for bit."""
        return pack_columns(_row(key, *sums) for key, sums in self._sums.items())

    @classmethod
    def from_snapshot(cls, snapshot: Sequence[Column]) -> Self:
        """The means that ``snapshot`` was taken of."""
        expected = cls()
        for depth, role, group, action, count, total in unpack_columns(snapshot):
            key = (role, group, action)[: int(depth or 0)]
            expected._sums[tuple(None if part is None else str(part) for part in key)] = (
                int(count or 0),
                float(total or 0),
            )
        return expected


_COLUMNS: Final = TypeAdapter(list[Column])


def _restored(stored: object) -> ExpectedReward:
    return ExpectedReward.from_snapshot(_COLUMNS.validate_python(stored))


InColumns: TypeAlias = Annotated[ExpectedReward, PlainValidator(_restored), PlainSerializer(ExpectedReward.snapshot)]


def _row(key: tuple[str | None, ...], count: int, total: float) -> Row:
    role, group, action = (*key, None, None)[:3]
    return [len(key), role, group, action, count, total]
