"""One decision of a trial as the comparisons need it, and what a whole session of them says."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from ol0.gates.answers import differ
from ol0.records import Action, Arm, Outcome
from ol0.statistics.columns import Row
from ol0.statistics.staged import SessionEvidence


@dataclass(frozen=True)
class Vote:
    """One decision.

    Attributes:
        arm: who served it.
        reward: 0..1, None without feedback.
        group: label for reports, None where the host gives none.
        base, live, staged: the action that each would take, in words; None where that is not known.
    """

    arm: Arm
    reward: float | None
    group: str | None
    base: str | None
    live: str | None
    staged: str | None

    @classmethod
    def of(cls, outcome: Outcome) -> Self:
        """What an outcome says, whichever arm served it: which actions differ depends on the prompt, not on the arm."""
        greedy = outcome.greedy_base, outcome.greedy_live, outcome.greedy_staged
        return cls(outcome.arm, outcome.reward, outcome.group, *map(_words, greedy))

    def by(self, arm: Arm) -> str | None:
        """The action that the controller of this arm would take."""
        return self.live if arm is Arm.LIVE else self.staged if arm is Arm.STAGED else self.base

    def differs_from(self, arm: Arm) -> bool:
        """Whether the candidate would have done something else than the controller of this arm."""
        return differ(self.by(arm), self.staged)

    @property
    def sent_to(self) -> str | None:
        """The action that the candidate would take where live would take another; else None."""
        return self.staged if self.differs_from(Arm.LIVE) else None

    def row(self) -> Row:
        """In plain JSON values."""
        return [self.arm.value, self.reward, self.group, self.base, self.live, self.staged]

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """The vote that ``row`` was made from."""
        arm, *said = row
        return cls(Arm(str(arm)), *said)  # type: ignore[arg-type]


def _words(action: Action | None) -> str | None:
    return None if action is None else ", ".join(map(str, action))


def evidence(votes: Sequence[Vote], control: Arm, expected: Sequence[float]) -> SessionEvidence | None:
    """What a session says of staged against another arm, None if nothing (a third arm, or no vote).

    Args:
        votes: the session.
        control: the other arm.
        expected: what each vote will probably be worth, known before the session. Empty: nothing is known.
    """
    voted = [number for number, vote in enumerate(votes) if vote.reward is not None]
    return silent_evidence(
        [votes[number] for number in voted], control, [expected[number] for number in voted if expected]
    )


def silent_evidence(votes: Sequence[Vote], control: Arm, expected: Sequence[float]) -> SessionEvidence | None:
    """The same if every decision without a vote had failed, in both arms.

    A session counts for the arm that it began in, whatever happens to it later.
    """
    if not votes or votes[0].arm not in (Arm.STAGED, control):
        return None
    differing = [number for number, vote in enumerate(votes) if vote.differs_from(control)]
    rewards = tuple(votes[number].reward or 0.0 for number in differing)
    means = tuple(expected[number] for number in differing if expected)
    return SessionEvidence(votes[0].arm is Arm.STAGED, rewards, len(votes), means)


def by_group(votes: Sequence[Vote], of: Callable[[Vote], str | None]) -> Iterator[tuple[str, SessionEvidence]]:
    """What a session says of staged against live in each of its groups, by order of appearance.

    Args:
        votes: the session.
        of: the group of a vote, None where it is in none. It may depend on the prompt alone, and not on the arm.
    """
    groups = [of(vote) for vote in votes]
    for group in dict.fromkeys(one for one in groups if one is not None):
        said = evidence([vote for vote, one in zip(votes, groups, strict=True) if one == group], Arm.LIVE, ())
        if said is not None:
            yield group, said
