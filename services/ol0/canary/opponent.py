"""One arm that a candidate is held against, and whether the two are heard of equally."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from ol0.canary.rates import PlainRates, Rates
from ol0.canary.votes import Vote, evidence, silent_evidence
from ol0.config import SafetyConfig
from ol0.gates.balances import balance_of
from ol0.records import Arm, Outcome
from ol0.statistics.balance import LONGEST, Balance, HeardSession
from ol0.statistics.expected_reward import Cell, ExpectedReward, InColumns
from ol0.statistics.staged import ArmComparison

SILENT_ALPHA: Final = 0.4
"""Level of ``silent``; ``voted`` has its own. By simulation (ADR 14): a stricter one delays good
candidates by more than a tenth where four in five vote."""
LOST_ERRORS: Final = 0.5
"""Standard errors by which heard successes per due session, or per decision, must clear the margin, chosen likewise."""
MOST_LACK: Final = 2.0
"""Standard errors by which the candidate's decisions may fall short of what is due when a stage of harm only ends. One
honest candidate in twenty waits for it to pass."""
FEWEST_SESSIONS: Final = 10
"""Of each arm. Below, one arm's silence is no sign of anything."""


@dataclass
class OpponentState:
    """What an ``Opponent`` knows."""

    voted: ArmComparison
    silent: ArmComparison
    balance: Balance
    cleared: bool = False  # whether silence was ever shown to hide no loss: what was shown stays shown
    successes: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])  # sessions; of successes, sum and squares
    rates: PlainRates = field(default_factory=Rates)
    expected: InColumns = field(default_factory=ExpectedReward)

    @classmethod
    def of(cls, share: float, safety: SafetyConfig) -> Self:
        """Without a session yet."""
        voted, silent = (ArmComparison.of(share, safety.stage_margin) for _ in range(2))
        return cls(voted, silent, balance_of(safety, min(share, 1 - share)))


class Opponent:
    """Compares the candidate with one arm: by its votes, by its silence, by what is lost, and by how much is heard.

    ``voted`` compares what was voted on, and takes for granted that both arms are heard of alike. Where failures of the
    candidate are not reported, or not even logged, it looks good. Two more comparisons cover this case. ``silent`` is
    the same one with every decision without a vote taken for a failure. The third takes what is lost for a
    failure too. Hiding failures gains nothing in either, so a loss beyond the margin stays one; both are noisier than
    ``voted``, and so are held to a milder level. Their margin is in heard successes, hence scaled with how much is
    heard of the other arm.

    What is lost is counted where routers number their decisions (``Losses``): successes per decision that was made.
    Elsewhere the number made is unknown, and the successes per session that is *due* replace it: noisier
    again, as sessions are of any length. Where only some are numbered, both have to clear the margin.

    Approval asks live for all of it, and the holdback for an estimate that is no loss (ADR 33); each for sessions of
    both arms. ``balance`` finds what is certainly broken, and ends the trial.

    Args:
        arm: live or holdback.
        share: probability that a session of the two arms is the candidate's.
        safety: margins and levels; a tenth of alpha is for the balance.
        state: to continue from.
    """

    def __init__(self, arm: Arm, share: float, safety: SafetyConfig, state: OpponentState | None = None) -> None:
        self.arm, self.share = arm, share
        self._margin = safety.stage_margin
        self.state = state or OpponentState.of(share, safety)
        self.state.balance = balance_of(safety, min(share, 1 - share), self.state.balance)
        self.voted, self.silent, self.balance = self.state.voted, self.state.silent, self.state.balance

    def see(self, unit: str, arm: Arm) -> None:
        """Take the unit and the arm of one decision of the trial."""
        treated = {Arm.STAGED: True, self.arm: False}.get(arm)
        self.balance.see(unit, treated=treated, treated_share=self.share)

    def hear(self, outcome: Outcome, now_ms: int, *, counted: bool) -> None:
        """Take an outcome of any arm by its number; ``counted``: it is of the trial."""
        if outcome.arm in (Arm.STAGED, self.arm):
            treated = outcome.arm is Arm.STAGED
            self.balance.hear(outcome, now_ms=now_ms, treated=treated, treated_share=self.share, counted=counted)

    def _expected(self, vote: Vote) -> float:
        """What it will probably be worth, by its group and the actions of both arms (see ``ArmComparison``)."""
        if not vote.differs_from(self.arm):
            return 0.5  # nobody asks
        of, share = self.state.expected.of, self.share
        return (1 - share) * of(_cell(vote, Arm.STAGED)) + share * of(_cell(vote, self.arm))

    def add(self, votes: Sequence[Vote]) -> None:
        """Take a complete session of any arm."""
        arm = votes[0].arm
        if arm not in (Arm.STAGED, self.arm):
            return
        expected, rate = [self._expected(vote) for vote in votes], self.balance.control_vote_rate
        state = self.state
        treated, heard = arm is Arm.STAGED, sum(vote.reward is not None for vote in votes)
        self.balance.add(HeardSession(treated, self.share, len(votes), heard))
        if (said := evidence(votes, self.arm, expected)) is not None:
            self.voted.add(said)
        if (said := silent_evidence(votes, self.arm, [rate * mean for mean in expected])) is not None:
            centre = (self.silent.mean(treated=True) + self.silent.mean(treated=False)) / 2
            value = math.fsum(reward - centre for reward in said.rewards)
            state.rates.add(value, said.voted, treated=treated)
            self.silent.add(said)
            successes = min(math.fsum(said.rewards), LONGEST)
            contribution = successes / self.share if treated else -successes / (1 - self.share)
            for place, term in enumerate((1.0, contribution, contribution * contribution)):
                state.successes[place] += term
            margin = self._margin * self.balance.control_vote_rate
            state.cleared = state.cleared or self.silent.approval.excludes(-margin, SILENT_ALPHA)
        for vote in votes:
            if vote.reward is not None and vote.differs_from(self.arm):
                state.expected.add(_cell(vote, arm), vote.reward)

    @property
    def is_heard(self) -> bool:
        """Whether both arms have sessions enough to be compared."""
        return min(self.balance.complete) >= FEWEST_SESSIONS

    @property
    def is_whole(self) -> bool:
        """Whether besides about as many of the candidate's decisions came as are due."""
        return self.is_heard and self.balance.lack <= MOST_LACK

    def approves(self, alpha: float) -> bool:
        """Whether a loss beyond the margin is ruled out, in what was said and in what was not."""
        return self.voted.approval.rejects(alpha) and self.is_heard and self.is_safe_in_silence

    @property
    def sees_no_loss(self) -> bool:
        """Whether both arms are heard of, and the candidate's votes are not worse on average."""
        return self.is_heard and (self.voted.difference or 0.0) >= 0

    @property
    def is_safe_in_silence(self) -> bool:
        """Whether that would stay so if all that is missing had failed: votes, decisions, and whole sessions."""
        losses = self.balance.losses
        if not losses.is_complete and not self._keeps_successes():
            return False
        return self.state.cleared and (not losses.is_numbered or self._keeps_rate())

    def _keeps_rate(self) -> bool:
        """Whether a loss is ruled out per decision that was made.

        A missing one of the candidate counts as a failure where it acts otherwise than the other arm; what more is
        missing of the other arm, as a success.
        """
        compared = self.state.rates.difference()
        if compared is None:
            return False
        (difference, error), excess = compared, self.balance.losses.excess
        lost = self.silent.mean(treated=True) if excess > 0 else self.silent.mean(treated=False) - 1
        margin = self._margin * self.balance.control_vote_rate
        return difference - lost * excess + margin >= LOST_ERRORS * error

    def _keeps_successes(self) -> bool:
        sessions, total, squares = self.state.successes
        mean = total / sessions
        error = math.sqrt(max(squares / sessions - mean * mean, 0.0) / sessions)
        return mean + self._margin * self.balance.control_votes_per_session >= LOST_ERRORS * error


def _cell(vote: Vote, arm: Arm) -> Cell:
    return Cell(arm, vote.group, vote.by(arm))
