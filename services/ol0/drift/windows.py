"""The lift of what serves, over stretches that begin at different times."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ol0.drift.evidence import ArmSession, LiftEvidence
from ol0.statistics.spending import candidate_alpha

CHECK_EVERY: Final = 100  # sessions
BEGIN_EVERY: Final = 500  # sessions; a change is diluted by as many good ones at most
KEPT: Final = 4  # recent stretches besides the one since the release: the oldest covers 2,000 sessions


@dataclass(frozen=True)
class Stretch:
    """The sessions since some moment.

    Attributes:
        place: how many stretches had begun with it; 1 is the one since the release.
        evidence: what these sessions say.
    """

    place: int
    evidence: LiftEvidence


class Windows:
    """Bounds of the lift now, in spite of a long past.

    A betting bound speaks of the *average* since its start. After 10,000 good decisions a fall by 20 points would take
    as many bad ones to show. So a new stretch begins every 500 sessions, and each has its own bound. The k-th is held
    at level alpha / (k (k + 1)), which sum to alpha: with probability 1 - alpha all bounds of all stretches hold at
    every moment, for as long as the release serves, each for the average lift of its own stretch.

    Args:
        smallest_share: see ``LiftEvidence``.
        alpha: the probability that any upper bound is ever wrong.
        stretches: to continue; the number of sessions is kept by the first, of starts by the last.

    Raises:
        ValueError: they were taken under other odds.
    """

    def __init__(self, smallest_share: float, alpha: float, stretches: Sequence[Stretch] = ()) -> None:
        self.smallest_share, self.alpha = smallest_share, alpha
        self.stretches = [Stretch(one.place, one.evidence.checked(smallest_share)) for one in stretches]
        self._begun = self.stretches[-1].place if self.stretches else 0
        self.sessions = self.stretches[0].evidence.sessions if self.stretches else 0

    def add(self, session: ArmSession) -> bool:
        """Take one session; whether a check is due."""
        if self.sessions % BEGIN_EVERY == 0:
            self._begun += 1
            recent = self.stretches[1:][-(KEPT - 1) :]
            self.stretches = [
                *self.stretches[:1],
                *recent,
                Stretch(self._begun, LiftEvidence.of(self.smallest_share)),
            ]
        for stretch in self.stretches:
            stretch.evidence.add(session)
        self.sessions += 1
        return self.sessions % CHECK_EVERY == 0

    def low(self) -> float | None:
        """Lower bound of the average lift since the release; wrong with probability alpha at most, ever."""
        return self.stretches[0].evidence.lower(self.alpha) if self.stretches else None

    def worst(self) -> tuple[LiftEvidence, float] | None:
        """The stretch with the smallest upper bound, and that bound; None before there is any."""
        highs = ((one.evidence, one.evidence.upper(candidate_alpha(one.place, self.alpha))) for one in self.stretches)
        known = [(evidence, high) for evidence, high in highs if high is not None]
        return min(known, key=lambda pair: pair[1], default=None)

    def harmful(self) -> LiftEvidence | None:
        """A stretch in which the base would have served better, with all its sessions taken together; or None."""
        for stretch in self.stretches:
            if stretch.evidence.harmful(candidate_alpha(stretch.place, self.alpha)):
                return stretch.evidence
        return None
