"""Do prompts depend on which arm answered before? What a paired comparison takes for granted, tested beside it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from typing_extensions import TypedDict

from ol0.statistics.balance import LONGEST
from ol0.statistics.betting import BettingSnapshot, BettingTest, Null

CHECK_EVERY: Final = 25
"""Sessions that are taken at once: a tenth of the time that they would take one by one."""


@dataclass(frozen=True, slots=True)
class SessionShape:
    """What must not depend on the arm of a session, nor on what it answered.

    Attributes:
        decisions: how many there are, at least one.
        voted: how many of them have a reward.
        agreeing: on how many both arms do the same.
        reward: mean reward of those of these that are voted on, within [0, 1]; None where none is.
    """

    decisions: int
    voted: int
    agreeing: int
    reward: float | None


class _Gap:
    """Whether a figure of sessions, within [0, 1], has the same mean in both arms: exact, at every moment."""

    def __init__(self, holdback: float) -> None:
        self._shares = holdback, 1 - holdback
        bound = 1 / min(self._shares)
        self.sides = BettingTest(Null.AT_MOST, 0.0, bound), BettingTest(Null.AT_LEAST, 0.0, bound)
        self.counts, self.totals = [0, 0], [0.0, 0.0]  # control, treated
        self._pending: list[float] = []

    def add(self, value: float, *, treated: bool) -> bool:
        """Take the figure of one session; whether there is news for ``found``."""
        centre = (0.5 + sum(self.totals)) / (1 + sum(self.counts))
        self._pending.append((value - centre) / self._shares[treated] * (1 if treated else -1))
        self.counts[treated] += 1
        self.totals[treated] += value
        if len(self._pending) < CHECK_EVERY:
            return False
        for side in self.sides:
            side.update(self._pending)
        self._pending = []
        return True

    def found(self, alpha: float) -> bool:
        """Whether the arms were ever shown to differ; false alarms at most ``alpha``, of both sides together."""
        return any(side.rejects(alpha / 2) for side in self.sides)

    def words(self) -> str:
        """Both means."""
        control, treated = (
            f"{total / count:.2f}" if count else "unknown"
            for total, count in zip(self.totals, self.counts, strict=True)
        )
        return f"{treated} with the learnt policy, {control} with the holdback"

    def snapshot(self) -> "GapSnapshot":
        """In plain JSON values."""
        return GapSnapshot(
            sides=[side.snapshot() for side in self.sides],
            counts=list(self.counts),
            totals=list(self.totals),
            pending=list(self._pending),
        )

    def restore(self, snapshot: "GapSnapshot") -> None:
        """Go on from ``snapshot``."""
        below, above = (BettingTest.from_snapshot(side) for side in snapshot["sides"])
        self.sides = below, above
        self.counts, self.totals = list(snapshot["counts"]), list(snapshot["totals"])
        self._pending = list(snapshot["pending"])


class GapSnapshot(TypedDict):
    """A comparison in plain JSON values."""

    sides: list[BettingSnapshot]
    counts: list[int]
    totals: list[float]
    pending: list[float]


class PairingSnapshot(TypedDict):
    """The whole state of a ``Pairing`` in plain JSON values."""

    holdback: float
    gaps: Mapping[str, GapSnapshot]
    found: str | None


NAMES: Final = {
    "agreeing": "share of decisions on which both arms do the same",
    "reward": "mean reward where both arms do the same",
    "votes": "votes per decision",
    "length": f"decisions of a session (by {LONGEST})",
}


class Pairing:
    """Tests of what must be alike in both arms if prompts come, and are voted on, as they would for the other arm.

    *Agreeing*: the share of a session's decisions on which both arms do the same. People who go on differently after a
    good answer ask the two arms different things. *Reward*: the mean reward of such decisions, where both do the same
    and should fare the same; earlier answers that colour later votes show here. *Votes*: the share of decisions that is
    voted on. *Length*: the decisions of a session, 12 at the most; who asks again after a bad answer asks more.

    Guaranteed: where nothing depends on the arm, something is found with probability ``alpha`` at most, ever. Not
    guaranteed: that a dependence is found. With a holdback of a tenth, a gap of 15 points in a share or in rewards was
    found within 5,000 sessions, and half a decision more in a session of two.

    Args:
        holdback: share of all sessions that the base serves, within (0, 1).
        alpha: level.
    """

    def __init__(self, holdback: float, alpha: float) -> None:
        self._holdback, self._alpha = holdback, alpha
        self.found: str | None = None
        self._gaps = {name: _Gap(holdback) for name in NAMES}

    def add(self, session: SessionShape, *, treated: bool) -> None:
        """Take one session, voted or not, of either arm."""
        figures = {
            "agreeing": session.agreeing / session.decisions,
            "reward": session.reward,
            "votes": session.voted / session.decisions,
            "length": min(session.decisions, LONGEST) / LONGEST,
        }
        for name, figure in figures.items():
            gap = self._gaps[name]
            is_new = figure is not None and gap.add(figure, treated=treated)
            if is_new and self.found is None and gap.found(self._alpha / len(NAMES)):
                self.found = f"what is asked depends on who answers: {NAMES[name]} {gap.words()}"

    def snapshot(self) -> PairingSnapshot:
        """In plain JSON values; ``from_snapshot`` goes on from it to the bit."""
        return PairingSnapshot(
            holdback=self._holdback,
            gaps={name: gap.snapshot() for name, gap in self._gaps.items()},
            found=self.found,
        )

    @classmethod
    def from_snapshot(cls, snapshot: PairingSnapshot, alpha: float) -> Self:
        """The tests that ``snapshot`` was taken of."""
        pairing = cls(snapshot["holdback"], alpha)
        for name, gap in pairing._gaps.items():
            gap.restore(snapshot["gaps"][name])
        pairing.found = snapshot["found"]
        return pairing
