"""Who is watched while people are served, and what is said when the base serves better."""

from dataclasses import dataclass

from ol0.drift.evidence import LiftEvidence
from ol0.gates.verdicts import Digests, Opinion, sample_ratio
from ol0.records import Check, Digest, Judgement, Outcome, Reason
from ol0.statistics.balance import Balance


@dataclass(frozen=True)
class Watched:
    """Who is watched, and since when.

    Attributes:
        digest: the arm's checkpoint.
        parent: what it was made from.
        base: what the holdback gets.
        stage: its stage.
        sequence: of the serving state since which it serves in this role.
        counted_from_ms: decisions before it do not count, where the holdback was changed and no serving state says so.
    """

    digest: Digest
    parent: Digest
    base: Digest
    stage: int
    sequence: int
    counted_from_ms: int = 0

    @property
    def digests(self) -> Digests:
        """Of the arm's checkpoint, of the base, and of its parent."""
        return self.digest, self.base, self.parent

    def counts(self, outcome: Outcome) -> bool:
        """Whether a decision was made since then."""
        return outcome.serving_sequence >= self.sequence and outcome.time_ms >= self.counted_from_ms


def unbalanced(balance: Balance, who: str) -> Opinion | None:
    """The rollback of an arm whose quality is unknown, because part of its outcomes are missing."""
    if balance.found is None:
        return None
    text = f"the comparison of {who} with the holdback is broken: {balance.found}"
    return Judgement.ROLLBACK, (sample_ratio(balance, text),)


def harm(evidence: LiftEvidence, who: str) -> Opinion:
    """The rollback of an arm that serves worse than the base."""
    text = (
        f"the base serves better than {who}: {100 * (evidence.estimate or 0.0):+.1f} points against the holdback in "
        f"{evidence.sessions} sessions"
    )
    return Judgement.ROLLBACK, (Reason(Check.HARM_TO_BASE, evidence.estimate, None, 0.0, text),)
