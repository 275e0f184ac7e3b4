"""A screen that fits the terminal: fewer rows of its table where it is low, and never half a sentence."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment
from rich.text import Text

Lines = list[list[Segment]]


@dataclass(frozen=True, slots=True)
class Fitted:
    """What stands above a table, the table, and what stands below it, in a window of so many rows.

    Where the window is low, the table loses rows, down to one; then what is below goes, from its end, and the last line
    says how much.

    Attributes:
        above: always shown.
        table: made of a number of rows.
        most: rows of the table.
        below: shown as a whole each, or not at all.
        height: rows of the window; None where what is printed may scroll.
        filled: whether empty lines take what is left of the height, so that nothing below the table jumps.
    """

    above: RenderableType
    table: Callable[[int], RenderableType]
    most: int
    below: Sequence[RenderableType]
    height: int | None = None
    filled: bool = False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yields the lines that fit."""

        def lines(*parts: RenderableType) -> Lines:
            return [line for part in parts for line in console.render_lines(part, options, pad=False)]

        room = sys.maxsize if self.height is None else self.height
        above, below = lines(self.above), lines(*self.below)
        tables = (lines(self.table(rows)) for rows in range(self.most, 0, -1))
        table = next((it for it in tables if len(above) + len(it) + len(below) <= room), lines(self.table(1)))
        top = [*above, *table]
        if self.filled:
            top += [[]] * (room - len(top) - len(below))
        kept = list(self.below)
        while kept and len(top) + len(below) > room:
            kept.pop()
            left_out = len(self.below) - len(kept)
            below = lines(*kept, Text(f"and {left_out} more lines in a taller window"))
        for line in [*top, *below]:
            yield from line
            yield Segment.line()
