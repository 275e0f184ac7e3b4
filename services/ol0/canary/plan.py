"""What is tried on people, under which shares, and since when."""

from dataclasses import dataclass
from typing import Self

from ol0.gates.verdicts import Digests
from ol0.records import Digest, Outcome, ServingState, Staged


@dataclass(frozen=True)
class TrialPlan:
    """What is tried, and against whom. Evidence belongs to its shares: other shares are another plan, without evidence.

    Attributes:
        digest: the candidate.
        live: its parent, which serves.
        base: what the holdback gets.
        stage: number of the stage, 1 is the first.
        share: of all sessions, that the candidate serves.
        holdback: share of all sessions that the base serves. With none there is no comparison with the base.
        sequence: of the serving state with which the stage began; earlier decisions were drawn under other shares.
        place: which attempt since the last release this is, counted from 1: candidates, and trials that were restarted.
        began_ms: event time of that serving state.
        counted_from_ms: decisions before it do not count, where the holdback was changed and no serving state says so.
    """

    digest: Digest
    live: Digest
    base: Digest
    stage: int
    share: float
    holdback: float
    sequence: int
    place: int
    began_ms: int = 0
    counted_from_ms: int = 0

    @classmethod
    def of(cls, state: ServingState, staged: Staged, holdback: float, place: int) -> Self:
        """The plan of a serving state with a candidate on trial."""
        return cls(
            digest=staged.release.digest,
            live=state.live.digest,
            base=state.base.digest,
            stage=staged.stage,
            share=staged.share,
            holdback=holdback,
            sequence=state.sequence,
            place=place,
            began_ms=state.time_ms,
        )

    @property
    def digests(self) -> Digests:
        """Of the candidate, of its base, and of what serves, from which it was made."""
        return self.digest, self.base, self.live

    def goes_on_in(self, state: ServingState, staged: Staged) -> bool:
        """Whether a serving state changes nothing of it."""
        ours = (self.digest, self.live, self.stage, self.share)
        return ours == (staged.release.digest, state.live.digest, staged.stage, staged.share)

    def counts(self, outcome: Outcome) -> bool:
        """Whether a decision was drawn under this plan."""
        under_it = outcome.staged == self.digest and outcome.serving_sequence >= self.sequence
        return under_it and outcome.time_ms >= self.counted_from_ms
