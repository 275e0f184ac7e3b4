"""What the gate remembers of a candidate that waits, and of what serves: results and names, never heads."""

from dataclasses import dataclass
from typing import Self, TypedDict

from ol0.canary.offline import ResultSnapshot, SuiteResult, run_suite
from ol0.config import SafetyConfig
from ol0.controller.suite import OF_ANOTHER_SUITE, Suite
from ol0.errors import CheckpointError
from ol0.records import Candidate, Check, Digest, Reason, Release, ServingState


class StandingSnapshot(TypedDict):
    """A ``Standing`` in plain JSON values."""

    sequence: int
    live_step: int
    base: ResultSnapshot
    live: ResultSnapshot


@dataclass(frozen=True)
class Standing:
    """What serves, as the suite sees it.

    Attributes:
        sequence: of the serving state.
        live_step: step of what is live; it grows with a release and falls with a rollback.
        base: result of the base.
        live: result of what is live, the parent that a candidate must have.
    """

    sequence: int
    live_step: int
    base: SuiteResult
    live: SuiteResult

    @classmethod
    def of(cls, state: ServingState, previous: Self | None, suite: Suite, safety: SafetyConfig) -> Self:
        """What a serving state says; the suite is asked only about checkpoints that are new in it.

        Raises:
            CheckpointError: base or live cannot be used. They serve, so something is badly wrong.
        """
        known = {} if previous is None else {one.digest: one for one in (previous.base, previous.live)}

        def result(release: Release) -> SuiteResult:
            found = known.get(release.digest)
            if found is None:
                found = run_suite(suite, release.digest, release.heads, safety)
            if found.flaw:
                raise CheckpointError(f"serving state {state.sequence} serves what cannot be used: {found.flaw}")
            return found

        return cls(state.sequence, state.live.step, result(state.base), result(state.live))

    def snapshot(self) -> StandingSnapshot:
        """In plain JSON values."""
        return StandingSnapshot(
            sequence=self.sequence, live_step=self.live_step, base=self.base.snapshot(), live=self.live.snapshot()
        )

    @classmethod
    def from_snapshot(cls, snapshot: StandingSnapshot) -> Self:
        """What ``snapshot`` was taken from."""
        base, live = (SuiteResult.from_snapshot(one) for one in (snapshot["base"], snapshot["live"]))
        return cls(snapshot["sequence"], snapshot["live_step"], base, live)


class OfferSnapshot(TypedDict):
    """An ``Offer`` in plain JSON values."""

    base: str
    parent: str
    step: int
    time_ms: int
    result: ResultSnapshot


@dataclass(frozen=True)
class Offer:
    """A candidate without its heads, and what the suite says of it."""

    digest: Digest
    base: Digest
    parent: Digest
    step: int
    time_ms: int
    result: SuiteResult

    @classmethod
    def of(cls, candidate: Candidate, result: SuiteResult) -> Self:
        """A candidate that was asked."""
        return cls(candidate.digest, candidate.base, candidate.parent, candidate.step, candidate.time_ms, result)

    def refusal(self, standing: Standing | None) -> Reason | None:
        """Why there is nothing to compare, None if there is.

        A parent that is not live is stale: what it was better than no longer serves, or does not serve yet.
        """
        if self.result.flaw is not None:
            return Reason(Check.CHECKPOINT, None, None, None, self.result.flaw)
        if not self.step and not self.digest == self.base == self.parent:
            return Reason(Check.BASE, None, None, None, "step 0 is the base, which must be its own base and parent")
        if standing is None:
            return None
        if self.base != standing.base.digest:
            text = f"its base is {self.base[:12]}, but {standing.base.digest[:12]} is the base that serves"
            return Reason(Check.BASE, None, None, None, text)
        if self.step and self.parent != standing.live.digest:
            text = f"stale parent: trained from {self.parent[:12]}, but {standing.live.digest[:12]} is live"
            return Reason(Check.PARENT, None, None, None, text)
        return None

    def snapshot(self) -> OfferSnapshot:
        """In plain JSON values."""
        return OfferSnapshot(
            base=self.base, parent=self.parent, step=self.step, time_ms=self.time_ms, result=self.result.snapshot()
        )

    @classmethod
    def from_snapshot(cls, snapshot: OfferSnapshot) -> Self:
        """The offer that ``snapshot`` was taken from."""
        result = SuiteResult.from_snapshot(snapshot["result"])
        base, parent = Digest(snapshot["base"]), Digest(snapshot["parent"])
        return cls(result.digest, base, parent, snapshot["step"], snapshot["time_ms"], result)

    @classmethod
    def without_result(cls, snapshot: OfferSnapshot) -> Self:
        """An offer that another suite was asked about. Its heads are gone, so it cannot be asked anew."""
        result = SuiteResult.flawed(Digest(snapshot["result"]["digest"]), OF_ANOTHER_SUITE)
        base, parent = Digest(snapshot["base"]), Digest(snapshot["parent"])
        return cls(result.digest, base, parent, snapshot["step"], snapshot["time_ms"], result)
