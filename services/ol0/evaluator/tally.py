"""Sums over outcomes, from which the figures of an arm, a group or an hour are made."""

from dataclasses import astuple, dataclass
from typing import Annotated, Self, TypeAlias

from ol0.records import Outcome, RewardParts
from ol0.statistics.stored import AS_ROW, FROM_ROW

HALF = 0.5
"""Parts of a reward are scaled to 0..1; above the middle they speak for the answer."""


@dataclass(slots=True)
class Tally:
    """Feedback about some decisions. A property is None without feedback of its kind."""

    decisions: int = 0
    voted: int = 0
    reward: float = 0.0
    tasks: int = 0
    tasks_right: int = 0
    ratings: int = 0
    rating: float = 0.0
    thumbs: int = 0
    thumbs_up: int = 0

    def add(self, outcome: Outcome) -> None:
        """Takes one outcome."""
        self.decisions += 1
        if outcome.reward is not None:
            self.voted += 1
            self.reward += outcome.reward
        self._add_parts(outcome.parts)

    def _add_parts(self, parts: RewardParts) -> None:
        said = [part for part in (parts.tool, parts.correction) if part is not None]
        if said:
            self.tasks += 1
            self.tasks_right += sum(said) / len(said) > HALF
        if parts.rating is not None:
            self.ratings += 1
            self.rating += parts.rating
        if parts.thumb is not None:
            self.thumbs += 1
            self.thumbs_up += parts.thumb > HALF

    @property
    def feedback_rate(self) -> float | None:
        """Share of the decisions with a reward."""
        return _share(self.voted, self.decisions)

    @property
    def success(self) -> float | None:
        """Mean reward, 0 to 1."""
        return _share(self.reward, self.voted)

    @property
    def task_success(self) -> float | None:
        """Share of the decisions that tools and corrections call right, among those that they speak about."""
        return _share(self.tasks_right, self.tasks)

    @property
    def quality(self) -> float | None:
        """Mean rating, scaled to 0..1."""
        return _share(self.rating, self.ratings)

    @property
    def satisfaction(self) -> float | None:
        """Share of thumbs that point up."""
        return _share(self.thumbs_up, self.thumbs)

    def __add__(self, other: Self) -> Self:
        """Both together."""
        return type(self)(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))


Row: TypeAlias = Annotated[Tally, FROM_ROW, AS_ROW]


def _share(part: float, whole: int) -> float | None:
    return part / whole if whole else None
