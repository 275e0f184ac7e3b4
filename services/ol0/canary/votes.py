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
        from_live: whether the candidate would have done something else than live.
        from_base: whether it would have done something else than the base.
        group: label for reports, None where the host gives none.
        live: the action that live would take, in words; None where that is not known.
        sent_to: the action that the candidate would take, in words, where live would take another; else None.
    """

    arm: Arm
    reward: float | None
    from_live: bool
    from_base: bool
    group: str | None
    live: str | None
    sent_to: str | None

    @classmethod
    def of(cls, outcome: Outcome) -> Self:
        """What an outcome says, whichever arm served it: which actions differ depends on the prompt, not on the arm."""
        return cls(
            outcome.arm,
            outcome.reward,
            differ(outcome.greedy_live, outcome.greedy_staged),
            differ(outcome.greedy_base, outcome.greedy_staged),
            outcome.group,
            _words(outcome.greedy_live),
            _words(outcome.greedy_staged) if differ(outcome.greedy_live, outcome.greedy_staged) else None,
        )

    def differs_from(self, arm: Arm) -> bool:
        """Whether the candidate would have done something else than the controller of this arm."""
        return self.from_base if arm is Arm.HOLDBACK else self.from_live

    def row(self) -> Row:
        """In plain JSON values."""
        return [self.arm.value, self.reward, self.from_live, self.from_base, self.group, self.live, self.sent_to]

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """The vote that ``row`` was made from."""
        arm, *said = row
        return cls(Arm(str(arm)), *said)  # type: ignore[arg-type]


def _words(action: Action | None) -> str | None:
    return None if action is None else ", ".join(map(str, action))


def evidence(votes: Sequence[Vote], control: Arm) -> SessionEvidence | None:
    """What a session says of staged against another arm, None if nothing (a third arm, or no vote)."""
    rewards = [(vote.reward, vote.differs_from(control)) for vote in votes if vote.reward is not None]
    return _evidence(votes[0].arm, control, rewards)


def silent_evidence(votes: Sequence[Vote], control: Arm) -> SessionEvidence | None:
    """The same if every decision without a vote had failed, in both arms."""
    rewards = [(vote.reward or 0.0, vote.differs_from(control)) for vote in votes]
    return _evidence(votes[0].arm, control, rewards)


def by_group(votes: Sequence[Vote], of: Callable[[Vote], str | None]) -> Iterator[tuple[str, SessionEvidence]]:
    """What a session says of staged against live in each of its groups, by order of appearance.

    Args:
        votes: the session.
        of: the group of a vote, None where it is in none. It may depend on the prompt alone, and not on the arm.
    """
    groups = [of(vote) for vote in votes]
    for group in dict.fromkeys(one for one in groups if one is not None):
        rewards = [
            (vote.reward, vote.from_live)
            for vote, one in zip(votes, groups, strict=True)
            if one == group and vote.reward is not None
        ]
        evidence = _evidence(votes[0].arm, Arm.LIVE, rewards)
        if evidence is not None:
            yield group, evidence


def _evidence(arm: Arm, control: Arm, rewards: Sequence[tuple[float, bool]]) -> SessionEvidence | None:
    """A session counts for the arm that it began in, whatever happens to it later."""
    if not rewards or arm not in (Arm.STAGED, control):
        return None
    differing = tuple(reward for reward, differs in rewards if differs)
    return SessionEvidence(arm is Arm.STAGED, differing, len(rewards))
