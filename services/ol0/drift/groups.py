"""Harm by a release to one group of prompts, which a gain elsewhere hides in its lift."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ol0.drift.evidence import ArmSession, LiftEvidence
from ol0.gates.groups import has_place, with_levels
from ol0.gates.verdicts import Opinion
from ol0.records import Check, Judgement, Reason


@dataclass(frozen=True)
class GroupLift:
    """One group of ``GroupLifts``."""

    group: str
    evidence: LiftEvidence


class GroupLifts:
    """The lift over the base once for each group that the host names, over the decisions of that group alone.

    What counts is the average since the release: harm that begins late shows late. For the levels see ``with_levels``.

    Args:
        smallest_share: see ``LiftEvidence``.
        margin: what a group may lose, in reward per voted decision.
        alpha: the probability that any group is wrongly found to lose more, ever.
        stored: a ``snapshot`` to continue.

    Raises:
        ValueError: it was taken under other odds.
    """

    def __init__(self, smallest_share: float, margin: float, alpha: float, stored: Sequence[GroupLift] = ()) -> None:
        self.margin, self.alpha = margin, alpha
        known = ((one.group, one.evidence.checked(smallest_share)) for one in stored)
        self._lifts = defaultdict[str, LiftEvidence](lambda: LiftEvidence.of(smallest_share), known)

    def add(self, sessions: Mapping[str, ArmSession]) -> None:
        """Take what one session says of each of its groups."""
        for group, session in sessions.items():
            if has_place(self._lifts, group):
                self._lifts[group].add(session)

    def harmed(self) -> Opinion | None:
        """The rollback for the first group whose loss is beyond the margin, or None."""
        for group, lift, alpha in with_levels(self._lifts, self.alpha):
            high = lift.upper(alpha) if lift.harmful(alpha) else None
            if high is not None and high < -self.margin:
                text = (
                    f"group {group!r} loses more than {100 * self.margin:g} points against the holdback: "
                    f"{100 * (lift.estimate or 0.0):+.1f}, at best {100 * high:+.1f}, in {lift.sessions} sessions"
                )
                return Judgement.ROLLBACK, (Reason(Check.GROUP_HARM, lift.estimate, high, -self.margin, text),)
        return None

    def snapshot(self) -> list[GroupLift]:
        """The order of appearance is part of it."""
        return [GroupLift(group, lift) for group, lift in self._lifts.items()]
