"""What a gate says: an opinion with its reasons, and the verdict that is made of it."""

from dataclasses import dataclass
from typing import TypeAlias

from ol0.controller.suite import Suite
from ol0.gates.offers import Offer
from ol0.records import Candidate, Check, Digest, Gate, Judgement, Reason, Verdict
from ol0.statistics.balance import Balance

Opinion: TypeAlias = tuple[Judgement, tuple[Reason, ...]]
Digests: TypeAlias = tuple[Digest, Digest, Digest]
"""Of a checkpoint, of its base, and of what it was made from."""


@dataclass(frozen=True)
class Verdicts:
    """Makes the verdicts of one gate, unsigned."""

    gate: Gate
    suite: Suite

    def offline(self, offer: Offer | Candidate, opinion: Opinion) -> Verdict:
        """Of stage 0: the evidence is the suite."""
        return self.at(0, (offer.digest, offer.base, offer.parent), opinion, len(self.suite), offer.time_ms)

    def at(self, stage: int, about: Digests, opinion: Opinion, evidence: int, time_ms: int) -> Verdict:
        """Of any stage."""
        (digest, base, parent), (judgement, reasons) = about, opinion
        return Verdict(
            digest=digest,
            base=base,
            parent=parent,
            stage=stage,
            suite_digest=self.suite.digest,
            gate=self.gate,
            judgement=judgement,
            reasons=reasons,
            evidence=evidence,
            time_ms=time_ms,
        )


def in_words(check: Check, text: str) -> Reason:
    """A reason without figures."""
    return Reason(check, None, None, None, text)


def reject(check: Check, *texts: str) -> Opinion:
    """The refusal of what cannot even be compared."""
    return Judgement.REJECT, tuple(in_words(check, text) for text in texts)


def sample_ratio(balance: Balance, words: str) -> Reason:
    """What is to be said of the balance of two arms."""
    ratio = balance.ratio
    return Reason(Check.SAMPLE_RATIO, float(ratio.treated), None, ratio.due, f"sample ratio: {words}")
