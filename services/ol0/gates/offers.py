"""What a gate remembers of a candidate that waits for a serving state: names and findings, never heads."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from ol0.records import Candidate, Digest


@dataclass(frozen=True)
class Offer:
    """A candidate without its heads; each gate adds what it found."""

    digest: Digest
    base: Digest
    parent: Digest
    step: int
    time_ms: int


AnyOffer = TypeVar("AnyOffer", bound=Offer)


def names_of(candidate: Candidate) -> tuple[Digest, Digest, Digest, int, int]:
    """The fields of an ``Offer``, in their order."""
    return candidate.digest, candidate.base, candidate.parent, candidate.step, candidate.time_ms


def with_offer(waiting: Sequence[AnyOffer], offer: AnyOffer) -> list[AnyOffer]:
    """Those who wait and one more, which takes the place of an earlier one of the same candidate."""
    return [*(one for one in waiting if one.digest != offer.digest), offer]
