"""What the gate remembers of a candidate that waits, and of what serves: results and names, never heads."""

from dataclasses import dataclass, replace
from typing import Self

from ol0.canary.offline import SuiteResult, run_suite
from ol0.config import SafetyConfig
from ol0.controller.suite import OF_ANOTHER_SUITE, Suite
from ol0.errors import CheckpointError
from ol0.records import Candidate, Check, Digest, Reason, Release, ServingState


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


@dataclass(frozen=True)
class Offer:
    """A candidate without its heads, and what the suite says of it."""

    base: Digest
    parent: Digest
    step: int
    time_ms: int
    result: SuiteResult

    @property
    def digest(self) -> Digest:
        """Of the candidate."""
        return self.result.digest

    @classmethod
    def of(cls, candidate: Candidate, result: SuiteResult) -> Self:
        """A candidate that was asked."""
        return cls(candidate.base, candidate.parent, candidate.step, candidate.time_ms, result)

    def without_result(self) -> Self:
        """The same under another suite. Its heads are gone, so it cannot be asked."""
        return replace(self, result=SuiteResult.flawed(self.digest, OF_ANOTHER_SUITE))

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
