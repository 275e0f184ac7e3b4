"""Harm to one group of prompts, which a gain elsewhere would hide in the total."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from ol0.gates.groups import has_place, with_levels
from ol0.statistics.betting import log_threshold
from ol0.statistics.staged import ArmComparison, SessionEvidence

SUSPICION: Final = 0.4
"""A group that loses nothing ever looks harmed with this probability at most; and it passes."""


@dataclass(frozen=True)
class GroupHarm:
    """A group that the candidate harms.

    Attributes:
        group: its label.
        sessions: how many sessions touched it.
        difference: candidate minus live in it, in reward per voted decision.
        high: upper bound of that.
        alpha: the level at which the bound holds.
    """

    group: str
    sessions: int
    difference: float | None
    high: float | None
    alpha: float


class GroupComparisons:
    """The arm comparison once for each group, over the decisions of that group alone.

    Decisions without a label belong to no group. For the levels see ``with_levels``.

    Args:
        treated_share: probability that a session of the two arms is the candidate's.
        margin: what a group may lose, in reward per voted decision.
        alpha: the probability that any group is wrongly found harmed, ever.
        earlier: ``capital`` of the same candidate's stage before.
        by_name: the comparisons to continue; the order of appearance is part of them.
    """

    def __init__(
        self,
        treated_share: float,
        margin: float,
        alpha: float,
        earlier: Mapping[str, float],
        by_name: Mapping[str, ArmComparison] = MappingProxyType({}),
    ) -> None:
        self.alpha, self.earlier = alpha, dict(earlier)
        self.by_name = defaultdict[str, ArmComparison](lambda: ArmComparison.of(treated_share, margin), by_name)

    def add(self, sessions: Iterable[tuple[str, SessionEvidence]]) -> None:
        """Take what one session says of each of its groups."""
        for group, evidence in sessions:
            if has_place(self.by_name, group):
                self.by_name[group].add(evidence)

    def harmed(self) -> GroupHarm | None:
        """The first group whose loss is beyond the margin, or None."""
        for group, comparison, alpha in with_levels(self.by_name, self.alpha):
            if comparison.large_harm.rejects(alpha):
                figures = comparison.figures(alpha, alpha)
                high = comparison.large_harm.confidence_bound(alpha)
                sessions = figures.treated_sessions + figures.control_sessions
                return GroupHarm(group, sessions, figures.difference, high, alpha)
        return None

    def capital(self) -> dict[str, float]:
        """The present log capital of all stages against "this group loses nothing", in nats, by group.

        Of capital won in stage after stage the product is capital in one game, whatever the shares.
        """
        now = {group: comparison.harm.log_capital for group, comparison in self.by_name.items()}
        return {group: self.earlier.get(group, 0.0) + now.get(group, 0.0) for group in {**self.earlier, **now}}

    def suspected(self) -> str | None:
        """A group that looks harmed at this moment, though nothing is proven, or None."""
        least = log_threshold(SUSPICION)
        return next((group for group, capital in self.capital().items() if capital >= least), None)
