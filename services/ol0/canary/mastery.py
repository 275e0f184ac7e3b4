"""What live does well: where a candidate that answers otherwise has something to lose."""

from collections.abc import Sequence

from ol0.canary.votes import Vote
from ol0.records import Arm
from ol0.statistics.columns import Row

MOST_CELLS = 1_024
"""By order of appearance: the snapshot stays below 50 kB."""
Cell = tuple[str | None, str]


class Mastery:
    """For each group and action of live, whether live is rewarded better there than on average.

    A gain comes from what live does badly. A fault that leads to the same action as the gain shows in what live does
    well: there are few of these decisions, each loses much, and nothing is gained beside them.

    A vote is asked about before it is taken, so that the answer depends on earlier sessions alone.

    Args:
        rows: a ``snapshot`` to continue.
    """

    def __init__(self, rows: Sequence[Row] = ()) -> None:
        # One made-up reward of .5 until there are real ones.
        (_, _, *everything), *cells = rows or [(None, None, 1.0, 0.5)]
        self._all = [float(one or 0.0) for one in everything]
        self._cells: dict[Cell, list[float]] = {}
        for group, action, *sums in cells:
            cell = None if group is None else str(group), str(action)
            self._cells[cell] = [float(one or 0.0) for one in sums]

    def sent_to(self, vote: Vote) -> str | None:
        """The action to which the candidate would take a decision away that live does well, in words; else None."""
        if vote.sent_to is None or vote.live is None:
            return None
        mean = self._all[1] / self._all[0]
        count, total = self._cells.get((vote.group, vote.live), (0.0, 0.0))
        return vote.sent_to if (total + mean) / (count + 1) > mean else None

    def add(self, votes: Sequence[Vote]) -> None:
        """Takes what a session of live says; of others, nothing."""
        for vote in votes:
            if vote.arm is not Arm.LIVE or vote.reward is None or vote.live is None:
                continue
            cell = vote.group, vote.live
            if cell not in self._cells and len(self._cells) >= MOST_CELLS:
                continue
            for sums in (self._all, self._cells.setdefault(cell, [0.0, 0.0])):
                sums[0] += 1
                sums[1] += vote.reward

    def snapshot(self) -> list[Row]:
        """In plain JSON values: what there is of all, then of each cell."""
        return [[None, None, *self._all], *([*cell, *sums] for cell, sums in self._cells.items())]
