"""The staged arm against the live arm (or against holdback), session by session."""

import math
from dataclasses import dataclass, field
from typing import Final, Self

from ol0.statistics.betting import BettingTest, Evidence, Null

# What is expected is kept inside, so that a session's value stays within .8 whatever the rewards were.
LOWEST_MEAN: Final = 0.2
HIGHEST_MEAN: Final = 0.8
LARGEST_VALUE: Final = 0.8


@dataclass(frozen=True)
class SessionEvidence:
    """What one session of the two arms says.

    Attributes:
        treated: whether the arm on trial served it.
        rewards: of the voted decisions in which the two controllers' greedy actions differ, each within [0, 1].
        voted: how many decisions of the session had a reward at all, at least one.
        expected: what each of the rewards was expected to be: a function of the prompt, known before the session.
            Empty: nothing is known of the prompts.

    Raises:
        ValueError: a reward outside [0, 1], fewer votes than rewards, or another number of expectations.
    """

    treated: bool
    rewards: tuple[float, ...]
    voted: int
    expected: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not all(0 <= reward <= 1 for reward in self.rewards):
            raise ValueError(f"rewards must lie within [0, 1], found {self.rewards}")
        if self.voted < max(1, len(self.rewards)):
            raise ValueError(f"{len(self.rewards)} rewards need at least that many votes and one, found {self.voted}")
        if self.expected and len(self.expected) != len(self.rewards):
            raise ValueError(f"{len(self.rewards)} rewards need as many expectations, found {len(self.expected)}")


@dataclass(frozen=True)
class ArmFigures:
    """What the comparison says now. Differences are treated minus control, in reward per voted decision.

    Attributes:
        treated_sessions: sessions of the arm on trial.
        control_sessions: sessions of the arm it is held against.
        difference: the estimate, None before the first session.
        low: lower bound of the average difference so far, at the level of approval; None before there is any.
        high: upper bound of it, at the level of harm; None before there is any.
        approval: evidence that the difference is above -margin.
        harm: evidence that it is below 0.
        large_harm: evidence that it is below -margin.
    """

    treated_sessions: int
    control_sessions: int
    difference: float | None
    low: float | None
    high: float | None
    approval: Evidence
    harm: Evidence
    large_harm: Evidence


@dataclass(eq=False)
class ArmComparison:
    """Randomised comparison of two arms with sessions as units, valid at every moment at once.

    A session i of the two arms is treated with probability s. Its value and its contribution are

        z_i = sum over its differing voted decisions of (reward - expected) / number of its voted decisions
        y_i = z_i / s if treated, else -z_i / (1 - s)

    so that E[y_i] is the difference of the arms in reward per voted decision, whatever the traffic does: only the coin
    of the assignment is relied on. Decisions in which both controllers would do the same differ by nothing on average;
    leaving them out keeps the mean and takes away most of the deviation. (Which decisions differ is a matter of the
    two controllers and the prompt, not of the arm that served.) What is expected of a reward takes away more; known
    before the session, and the same whichever arm serves, it changes no mean. With mu1 and mu0 for what a prompt is
    worth in the treated arm and in the other, (1 - s) mu1 + s mu0 leaves the least. Where nothing is known of a prompt,
    the running means of both arms' differing rewards stand for them.

    A session is a unit because its decisions are served by one arm and resemble each other. Where arms are drawn by
    user, a user's sessions share one coin, and feeding them in as several sessions overstates the evidence: there the
    unit is the user. Units without a vote do not enter, so an arm that is voted on less often biases the comparison:
    show the feedback rates beside it.

    Three bets run on y: against "difference <= -margin" (approve), against "difference >= 0" (harm), against
    "difference >= -margin" (large harm). At the moment when ``low`` first clears -margin the approval falls, and so on;
    afterwards the evidence stays, while ``low`` and ``high`` still cover the *average* difference so far.

    Attributes:
        treated_share: s, the probability that a session of these two arms is treated, within (0, 1).
        margin: what the treated arm may lose, in reward per voted decision, at least 0.
        approval: the bet against "difference <= -margin".
        harm: the bet against "difference >= 0".
        large_harm: the bet against "difference >= -margin".
        total: sum of the contributions.
        differing: of control and treated the number of differing rewards, and their sum, with one made-up reward of .5
            until there are real ones.

    Raises:
        ValueError: a share or a margin out of range.

    >>> trial = ArmComparison.of(treated_share=0.5, margin=0.02)
    >>> for _ in range(200):
    ...     trial.add(SessionEvidence(treated=True, rewards=(1.0, 1.0), voted=3))
    ...     trial.add(SessionEvidence(treated=False, rewards=(1.0, 0.0), voted=3))
    >>> trial.approval.rejects(0.025)
    True
    >>> figures = trial.figures(approval_alpha=0.025, harm_alpha=0.05)
    >>> round(figures.difference, 2), round(figures.low, 2)
    (0.33, 0.3)
    """

    treated_share: float
    margin: float
    approval: BettingTest
    harm: BettingTest
    large_harm: BettingTest
    treated_sessions: int = 0
    control_sessions: int = 0
    total: float = 0.0
    differing: list[list[float]] = field(default_factory=lambda: [[1.0, 0.5], [1.0, 0.5]])

    @classmethod
    def of(cls, treated_share: float, margin: float) -> Self:
        """Without a session yet."""
        if not 0 < treated_share < 1:
            raise ValueError(f"the treated share must lie within (0, 1), found {treated_share}")
        if not 0 <= margin < LARGEST_VALUE:
            raise ValueError(f"the margin must lie within [0, {LARGEST_VALUE}), found {margin}")
        # The last bits of a sum of rewards must not push a session beyond its bound.
        bound = LARGEST_VALUE / min(treated_share, 1 - treated_share) * (1 + 1e-9)
        approval = BettingTest(Null.AT_MOST, -margin, bound)
        harm, large_harm = (BettingTest(Null.AT_LEAST, mean, bound) for mean in (0.0, -margin))
        return cls(treated_share, margin, approval, harm, large_harm)

    @property
    def difference(self) -> float | None:
        """The estimate, treated minus control in reward per voted decision; None before the first session."""
        sessions = self.treated_sessions + self.control_sessions
        return self.total / sessions if sessions else None

    def mean(self, *, treated: bool) -> float:
        """Of the differing rewards of an arm so far."""
        count, total = self.differing[treated]
        return total / count

    def add(self, session: SessionEvidence) -> None:
        """Take one session, in the order in which sessions close."""
        known = (1 - self.treated_share) * self.mean(treated=True) + self.treated_share * self.mean(treated=False)
        expected = session.expected or (known,) * len(session.rewards)
        surprises = (
            reward - min(max(mean, LOWEST_MEAN), HIGHEST_MEAN)
            for reward, mean in zip(session.rewards, expected, strict=True)
        )
        value = math.fsum(surprises) / session.voted
        contribution = value / self.treated_share if session.treated else -value / (1 - self.treated_share)
        for test in (self.approval, self.harm, self.large_harm):
            test.update(contribution)
        self.treated_sessions += session.treated
        self.control_sessions += not session.treated
        self.total += contribution
        count, total = self.differing[session.treated]
        self.differing[session.treated] = [count + len(session.rewards), total + math.fsum(session.rewards)]

    def figures(self, approval_alpha: float, harm_alpha: float) -> ArmFigures:
        """What to show, with bounds at the levels at which the gate decides."""
        low, high = self.approval.confidence_bound(approval_alpha), self.harm.confidence_bound(harm_alpha)
        return ArmFigures(
            treated_sessions=self.treated_sessions,
            control_sessions=self.control_sessions,
            difference=self.difference,
            # Rewards lie within [0, 1]: no difference is beyond 1.
            low=None if low is None else max(low, -1.0),
            high=None if high is None else min(high, 1.0),
            approval=self.approval.evidence(approval_alpha),
            harm=self.harm.evidence(harm_alpha),
            large_harm=self.large_harm.evidence(harm_alpha),
        )
