"""What the gate remembers of a candidate that waits, and of what serves: results and names, never heads."""

from dataclasses import dataclass, replace
from typing import Annotated, Self

from pydantic import AliasChoices, AliasPath, Field

from ol0.canary.offline import SuiteResult, run_suite
from ol0.config import SafetyConfig
from ol0.controller.checkpoint import Opener, read_checkpoint
from ol0.controller.suite import OF_ANOTHER_SUITE, Suite
from ol0.errors import CheckpointError
from ol0.gates import offers as gates
from ol0.gates.verdicts import Opinion, reject
from ol0.records import Check, Digest, Release, ServingState, brief


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
    def of(
        cls,
        state: ServingState,
        previous: Self | None,
        suite: Suite,
        safety: SafetyConfig,
        opener: Opener = read_checkpoint,
    ) -> Self:
        """What a serving state says; the suite is asked only about checkpoints that are new in it.

        Raises:
            CheckpointError: base or live cannot be used. They serve, so something is badly wrong.
        """
        known = {} if previous is None else {one.digest: one for one in (previous.base, previous.live)}

        def result(release: Release) -> SuiteResult:
            found = known.get(release.digest)
            if found is None:
                found = run_suite(suite, release.digest, release.heads, safety, opener)
            if found.flaw:
                raise CheckpointError(f"serving state {state.sequence} serves what cannot be used: {found.flaw}")
            return found

        return cls(state.sequence, state.live.step, result(state.base), result(state.live))


@dataclass(frozen=True)
class Offer(gates.Offer):
    """With what the suite says of it. Earlier versions stored the digest there alone."""

    digest: Annotated[Digest, Field(validation_alias=AliasChoices("digest", AliasPath("result", "digest")))]
    result: SuiteResult

    def without_result(self) -> Self:
        """The same under another suite. Its heads are gone, so it cannot be asked."""
        return replace(self, result=SuiteResult.flawed(self.digest, OF_ANOTHER_SUITE))

    def refusal(self, standing: Standing | None) -> Opinion | None:
        """Why there is nothing to compare, None if there is.

        A parent that is not live is stale: what it was better than no longer serves, or does not serve yet.
        """
        if self.result.flaw is not None:
            return reject(Check.CHECKPOINT, self.result.flaw)
        if not self.step and not self.digest == self.base == self.parent:
            return reject(Check.BASE, "step 0 is the base, which must be its own base and parent")
        if standing is None:
            return None
        if self.base != standing.base.digest:
            text = f"its base is {brief(self.base)}, but {brief(standing.base.digest)} is the base that serves"
            return reject(Check.BASE, text)
        if self.step and self.parent != standing.live.digest:
            text = f"stale parent: trained from {brief(self.parent)}, but {brief(standing.live.digest)} is live"
            return reject(Check.PARENT, text)
        return None
