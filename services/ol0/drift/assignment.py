"""With which probability a session went to an arm, at the moment when it was assigned."""

from bisect import bisect_right
from collections.abc import Sequence

from ol0.config import SafetyConfig
from ol0.records import ServingState
from ol0.statistics.balance import SMALLEST_SHARE

REMEMBERED = 64  # changes of share; an outcome comes a reward window after its decision, in which few happen


class Assignment:
    """Shares of the arms by the sequence of the serving state that a decision was pinned to.

    Args:
        safety: its stages say which shares there can be.
        holdback: share of all sessions that the base serves, above 0.
    """

    def __init__(self, safety: SafetyConfig, holdback: float) -> None:
        self.holdback = holdback
        self._shares: list[tuple[int, float]] = []
        self.smallest = min(self._smallest_with(share) for share in (0.0, *(stage.share for stage in safety.stages)))
        """No arm and no holdback beside it ever gets less than this of the two."""

    def note(self, state: ServingState) -> bool:
        """Take the share of the candidate from a serving state; whether it goes beyond what was thought possible.

        What is served counts, not what the settings say: release may run with other stages than this service.
        """
        share = 0.0 if state.staged is None else state.staged.share
        if not self._shares or (state.sequence > self._shares[-1][0] and share != self._shares[-1][1]):
            self._shares = [*self._shares, (state.sequence, share)][-REMEMBERED:]
        before = self.smallest
        self.smallest = min(before, self._smallest_with(share))
        return self.smallest < before

    def live(self, sequence: int) -> float:
        """The probability that a session of live and holdback was live's."""
        return self._within(self._of(1 - self.holdback - self._staged(sequence)))

    def staged(self, sequence: int) -> float:
        """The probability that a session of staged and holdback was the candidate's."""
        return self._within(self._of(self._staged(sequence)))

    def snapshot(self) -> list[tuple[int, float]]:
        """In plain JSON values."""
        return list(self._shares)

    def restore(self, snapshot: Sequence[Sequence[float]]) -> None:
        """Continue from ``snapshot``."""
        self._shares = [(int(sequence), share) for sequence, share in snapshot]
        self.smallest = min(self.smallest, *(self._smallest_with(share) for _, share in self._shares), 1.0)

    def _staged(self, sequence: int) -> float:
        if not self._shares:
            return 0.0
        place = bisect_right(self._shares, sequence, key=lambda entry: entry[0])
        return self._shares[max(place - 1, 0)][1]

    def _smallest_with(self, staged: float) -> float:
        """Of the pairs that there are while the candidate has this share; without one there is one pair."""
        pairs = [self._of(1 - self.holdback - staged), *([self._of(staged)] if staged else [])]
        return max(min(min(share, 1 - share) for share in pairs), SMALLEST_SHARE)

    def _of(self, share: float) -> float:
        return max(share, 0.0) / (max(share, 0.0) + self.holdback)

    def _within(self, share: float) -> float:
        """The smallest that is looked at bounds the bets."""
        return min(max(share, self.smallest), 1 - self.smallest)
