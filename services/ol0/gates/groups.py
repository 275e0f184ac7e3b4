"""Evidence once for each group of decisions that the host names, at levels that sum to one."""

from collections.abc import Iterator, Mapping
from typing import Final, TypeVar

from ol0.statistics.spending import candidate_alpha

MOST_GROUPS: Final = 32
"""By order of appearance: later ones would have a thousandth of alpha and less, and the snapshot stays small."""

Evidence = TypeVar("Evidence")


def has_place(known: Mapping[str, object], group: str) -> bool:
    """Whether a group is among those that are looked at."""
    return group in known or len(known) < MOST_GROUPS


def with_levels(known: Mapping[str, Evidence], alpha: float) -> Iterator[tuple[str, Evidence, float]]:
    """The k-th group to appear at alpha / (k (k + 1)): these add up to at most alpha however many appear.

    Common groups, which can be harmed most, appear first.
    """
    for place, (group, evidence) in enumerate(known.items(), start=1):
        yield group, evidence, candidate_alpha(place, alpha)
