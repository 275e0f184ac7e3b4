"""The sessions of one arm beside those of the holdback."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from ol0.drift.evidence import ArmSession
from ol0.gates.answers import differ
from ol0.records import Action, Arm, Digest, Outcome
from ol0.statistics.balance import Balance, HeardSession
from ol0.statistics.columns import Row
from ol0.statistics.sessions import OpenSessions, SessionCollector


@dataclass(frozen=True)
class Served:
    """One decision.

    Attributes:
        treated: whether the arm served it, not the holdback.
        treated_share: the probability of that.
        reward: 0..1, None without feedback.
        differs: whether the arm's controller and the base would act differently.
        group: as the host names it, None where it does not, or an earlier version kept none.
    """

    treated: bool
    treated_share: float
    reward: float | None
    differs: bool
    group: str | None = None

    def row(self) -> Row:
        """In plain JSON values."""
        return [self.treated, self.treated_share, self.reward, self.differs, self.group]

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """The decision that ``row`` was made from."""
        return cls(*row)  # type: ignore[arg-type]


class ArmSessions:
    """Collects what an arm and the holdback served, and gives whole sessions.

    Args:
        gap_ms: silence after which a session is complete, in milliseconds.
        stored: the sessions to continue.

    Attributes:
        now_ms: the event time that ``due`` was last asked for; 0 after a restart, for the next record gives it again.
    """

    def __init__(self, gap_ms: int, stored: OpenSessions | None) -> None:
        self._collector = SessionCollector[Served](gap_ms)
        if stored is not None:
            self._collector.restore(stored, Served.from_row)
        self.now_ms = 0

    def take(
        self,
        outcome: Outcome,
        treated_share: float,
        greedy: Action | None,
        balance: Balance,
        *,
        served: Digest | None,
        ours: bool,
    ) -> None:
        """Take a decision of any arm into the balance, and into its session where it counts.

        Args:
            outcome: of the decision.
            treated_share: the probability of the arm, beside the holdback.
            greedy: what the arm's controller would have done, known or not.
            balance: of the arm and the holdback.
            served: what its arm promises to serve; None for a third arm.
            ours: whether it was made while this is compared.
        """
        treated = None if served is None else outcome.arm is not Arm.HOLDBACK
        counted = ours and (served is None or outcome.digest == served)
        if treated is not None:
            balance.hear(outcome, treated=treated, treated_share=treated_share, now_ms=self.now_ms, counted=counted)
        if counted:
            balance.see(outcome.user or outcome.session_id, treated=treated, treated_share=treated_share)
        if counted and treated is not None:
            differs = differ(greedy, outcome.greedy_base)
            one = Served(treated, treated_share, outcome.reward, differs, outcome.group)
            self._collector.add(outcome.session_id, outcome.window_end_ms, one)

    def due(self, now_ms: int) -> list["Complete"]:
        """The sessions that are complete, each for the arm and the odds that it began with."""
        self.now_ms = now_ms
        return [_complete(session.items) for session in self._collector.due(now_ms)]

    def snapshot(self) -> OpenSessions:
        """In plain JSON values."""
        return self._collector.snapshot(Served.row)


@dataclass(frozen=True)
class Complete:
    """What a session says.

    Attributes:
        heard: of the balance of the arms.
        voted: of the lift; None without a vote.
        groups: of the lift in each of its groups that has a vote.
    """

    heard: HeardSession
    voted: ArmSession | None
    groups: Mapping[str, ArmSession]


def _complete(items: Sequence[Served]) -> Complete:
    names = dict.fromkeys(item.group for item in items if item.group is not None)
    groups = {name: _evidence(items[0], [item for item in items if item.group == name]) for name in names}
    voted = {name: session for name, session in groups.items() if session is not None}
    return Complete(_heard(items), _evidence(items[0], items), voted)


def _heard(items: Sequence[Served]) -> HeardSession:
    voted = sum(item.reward is not None for item in items)
    return HeardSession(items[0].treated, items[0].treated_share, len(items), voted)


def _evidence(first: Served, items: Sequence[Served]) -> ArmSession | None:
    voted = [(item.reward, item.differs) for item in items if item.reward is not None]
    if not voted:
        return None
    rewards = tuple(reward for reward, differs in voted if differs)
    return ArmSession(first.treated, first.treated_share, rewards, len(voted))
