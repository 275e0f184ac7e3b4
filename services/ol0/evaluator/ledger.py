"""The tallies of all arms: over everything, by group and by hour."""

from dataclasses import dataclass, field
from typing import NamedTuple

from ol0.evaluator.figures import Comparison, brief
from ol0.evaluator.tally import Row, Tally
from ol0.records import Arm, Outcome

HOUR_MS = 3_600_000
HOURS = 72
"""Hours that are kept apart; older ones stay in the sums of their arms."""
GROUPS = 50
"""Labels that are kept apart: who labels by user must not fill the snapshot."""
OTHER = "(other)"


class Pair(NamedTuple):
    """The learnt policy, live or staged, and the holdback."""

    treated: Row
    holdback: Row

    def of(self, arm: Arm) -> Tally:
        """The side of an arm."""
        return self.holdback if arm is Arm.HOLDBACK else self.treated

    def comparison(self) -> Comparison:
        """Both sides in short."""
        return Comparison(brief(self.treated), brief(self.holdback))


@dataclass(eq=False)
class Ledger:
    """Takes outcomes into every tally that they belong to: of its arm, its group, and its hour."""

    arms: dict[Arm, Row] = field(default_factory=lambda: {arm: Tally() for arm in Arm})
    groups: dict[str, Pair] = field(default_factory=dict)
    hours: dict[int, Pair] = field(default_factory=dict)

    def add(self, outcome: Outcome) -> None:
        """Takes one outcome."""
        self.arms[outcome.arm].add(outcome)
        if outcome.group is not None:
            known = outcome.group in self.groups or len(self.groups) < GROUPS
            label = outcome.group if known else OTHER
            self.groups.setdefault(label, Pair(Tally(), Tally())).of(outcome.arm).add(outcome)
        hour = outcome.time_ms // HOUR_MS * HOUR_MS
        self.hours.setdefault(hour, Pair(Tally(), Tally())).of(outcome.arm).add(outcome)
        while len(self.hours) > HOURS:
            del self.hours[min(self.hours)]

    @property
    def treated(self) -> Tally:
        """Live and staged together."""
        return self.arms[Arm.LIVE] + self.arms[Arm.STAGED]

    def by_group(self) -> dict[str, Comparison]:
        """By label."""
        return {label: pair.comparison() for label, pair in sorted(self.groups.items())}

    def by_hour(self) -> dict[int, Comparison]:
        """By the start of the hour in event time, ms."""
        return {hour: pair.comparison() for hour, pair in sorted(self.hours.items())}
