"""The tallies of all arms: over everything, by group and by hour."""

from collections.abc import Mapping

from typing_extensions import TypedDict

from ol0.evaluator.figures import Comparison, brief
from ol0.evaluator.tally import Tally
from ol0.records import Arm, Outcome

HOUR_MS = 3_600_000
HOURS = 72
"""Hours that are kept apart; older ones stay in the sums of their arms."""
GROUPS = 50
"""Labels that are kept apart: who labels by user must not fill the snapshot."""
OTHER = "(other)"

Rows = Mapping[str, list[float]]


class LedgerSnapshot(TypedDict):
    """The whole state in plain JSON values; the pairs are treated and holdback."""

    arms: Rows
    groups: Mapping[str, list[list[float]]]
    hours: Mapping[str, list[list[float]]]


class Pair:
    """The learnt policy, live or staged, and the holdback."""

    def __init__(self, treated: Tally, holdback: Tally) -> None:
        self.treated, self.holdback = treated, holdback

    def of(self, arm: Arm) -> Tally:
        """The side of an arm."""
        return self.holdback if arm is Arm.HOLDBACK else self.treated

    def comparison(self) -> Comparison:
        """Both sides in short."""
        return Comparison(brief(self.treated), brief(self.holdback))


class Ledger:
    """Takes outcomes into every tally that they belong to."""

    def __init__(self) -> None:
        self.arms = {arm: Tally() for arm in Arm}
        self._groups: dict[str, Pair] = {}
        self._hours: dict[int, Pair] = {}

    def add(self, outcome: Outcome) -> None:
        """Takes one outcome."""
        self.arms[outcome.arm].add(outcome)
        if outcome.group is not None:
            known = outcome.group in self._groups or len(self._groups) < GROUPS
            label = outcome.group if known else OTHER
            self._groups.setdefault(label, _pair()).of(outcome.arm).add(outcome)
        hour = outcome.time_ms // HOUR_MS * HOUR_MS
        self._hours.setdefault(hour, _pair()).of(outcome.arm).add(outcome)
        while len(self._hours) > HOURS:
            del self._hours[min(self._hours)]

    @property
    def treated(self) -> Tally:
        """Live and staged together."""
        return self.arms[Arm.LIVE] + self.arms[Arm.STAGED]

    def groups(self) -> dict[str, Comparison]:
        """By label."""
        return {label: pair.comparison() for label, pair in sorted(self._groups.items())}

    def hours(self) -> dict[int, Comparison]:
        """By the start of the hour in event time, ms."""
        return {hour: pair.comparison() for hour, pair in sorted(self._hours.items())}

    def snapshot(self) -> LedgerSnapshot:
        """The state; ``restore`` goes on from it."""
        return LedgerSnapshot(
            arms={arm.value: tally.to_row() for arm, tally in self.arms.items()},
            groups={label: _rows(pair) for label, pair in sorted(self._groups.items())},
            hours={str(hour): _rows(pair) for hour, pair in sorted(self._hours.items())},
        )

    def restore(self, snapshot: LedgerSnapshot) -> None:
        """Takes the state of ``snapshot``."""
        self.arms = {arm: Tally.from_row(snapshot["arms"][arm.value]) for arm in Arm}
        self._groups = {label: _pair(*rows) for label, rows in snapshot["groups"].items()}
        self._hours = {int(hour): _pair(*rows) for hour, rows in snapshot["hours"].items()}


def _pair(treated: list[float] | None = None, holdback: list[float] | None = None) -> Pair:
    return Pair(Tally.from_row(treated or ()), Tally.from_row(holdback or ()))


def _rows(pair: Pair) -> list[list[float]]:
    return [pair.treated.to_row(), pair.holdback.to_row()]
