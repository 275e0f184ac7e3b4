"""One decision as the lift needs it: its reward, and what either arm would have done with the prompt."""

import json
from dataclasses import dataclass

from ol0.evaluator.served import Served
from ol0.records import Action, Arm, Outcome
from ol0.statistics.clusters import bucket_of
from ol0.statistics.columns import Row
from ol0.statistics.expected_reward import Cell
from ol0.statistics.paired_lift import Choice, PairedReward

BASE, LEARNT, ANY = "base", "learnt", "any"
"""Roles of what is expected: the base's own answer and the learnt one, where they differ; whatever was served."""


@dataclass(frozen=True, slots=True)
class Vote:
    """One decision of a session.

    Attributes:
        treated: whether the learnt policy was to serve it.
        bucket: of its user, else of its session; see ``Clusters``.
        agrees: whether both arms are known to do the same.
        said: its reward, paired; None without feedback.
    """

    treated: bool
    bucket: int
    agrees: bool
    said: PairedReward | None

    def row(self) -> Row:
        """In plain JSON values."""
        if self.said is None:
            return [self.treated, self.bucket, self.agrees, None, 0.0, 0.0, None, "[]"]
        said = self.said
        choices = json.dumps([[*one.cell, one.control, one.treated] for one in said.choices])
        return [
            self.treated,
            self.bucket,
            self.agrees,
            said.reward,
            said.control,
            said.treated,
            said.taken,
            choices,
        ]

    @classmethod
    def from_row(cls, row: Row) -> "Vote":
        """The vote that ``row`` was made from."""
        arm, bucket, agrees, reward, control, treated, taken, text = row
        said = None
        if reward is not None:
            choices = tuple(Choice(Cell(*cell), before, after) for *cell, before, after in json.loads(str(text)))
            place = None if taken is None else int(taken)
            said = PairedReward(float(reward), float(control or 0), float(treated or 0), place, choices)
        return cls(bool(arm), int(bucket or 0), bool(agrees), said)


def vote_of(outcome: Outcome, served: Served, holdback: float) -> Vote:
    """What an outcome says, whichever arm served it: which actions differ depends on the prompt, not on the arm.

    Args:
        outcome: a decision in mode apply.
        served: what its serving state is known to have been.
        holdback: share of all sessions that the base serves.
    """
    agrees = _agrees(outcome)
    said = None
    if outcome.reward is not None:
        said = PairedReward(outcome.reward) if agrees else _differing(outcome, outcome.reward, served, holdback)
    return Vote(outcome.arm is not Arm.HOLDBACK, bucket_of(outcome.user or outcome.session_id), agrees, said)


def _agrees(outcome: Outcome) -> bool:
    """Whether the base, live and the candidate have one greedy action. What a host does not tell may differ."""
    if outcome.greedy_base is None or outcome.greedy_live != outcome.greedy_base:
        return False
    return outcome.staged is None or outcome.greedy_staged == outcome.greedy_base


def _differing(outcome: Outcome, reward: float, served: Served, holdback: float) -> PairedReward:
    """By the actions where they are known, else by the arm alone: valid as well, and noisier.

    Which of the two must not depend on the arm: what a host tells, and what is known of a serving state, does not.
    """
    share = served.staged_share(outcome)
    base, live, staged = outcome.greedy_base, outcome.greedy_live, outcome.greedy_staged
    if base is None or live is None or share is None or (outcome.staged is not None and staged is None):
        return _by_arm(outcome, reward)
    odds = min(share / (1 - holdback), 1.0)  # of the candidate, among those whom the holdback does not serve
    staged = live if staged is None else staged

    def choice(action: Action) -> Choice:
        before, now, tried = (served.chance(action, greedy) for greedy in (base, live, staged))
        role = BASE if action == base else LEARNT
        return Choice(Cell(role, outcome.group, _words(action)), before, (1 - odds) * now + odds * tried)

    try:
        taken, choices = choice(outcome.action), [choice(action) for action in dict.fromkeys((base, live, staged))]
    except LookupError:
        return _by_arm(outcome, reward)
    if not taken.control + taken.treated > 0:
        return _by_arm(outcome, reward)
    place = choices.index(taken) if taken in choices else None
    return PairedReward(reward, taken.control, taken.treated, place, tuple(choices))


def _by_arm(outcome: Outcome, reward: float) -> PairedReward:
    treated = float(outcome.arm is not Arm.HOLDBACK)
    return PairedReward(reward, 1 - treated, treated, 0, (Choice(Cell(ANY, outcome.group), 1.0, 1.0),))


def _words(action: Action) -> str:
    return ", ".join(map(str, action))
