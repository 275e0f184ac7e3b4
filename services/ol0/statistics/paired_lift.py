"""The relative lift from single decisions: what each arm would have done is known, whichever it was."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from ol0.statistics.betting import BetGrid
from ol0.statistics.capital import LiftCapital
from ol0.statistics.clusters import Clusters
from ol0.statistics.expected_reward import Cell, ExpectedReward, InColumns
from ol0.statistics.lift import LiftFigures
from ol0.statistics.stored import FloatArray

LOWEST: Final = -0.5
HIGHEST: Final = 1.5
FINEST: Final = 0.0025
"""Step of the grid of lifts around 0; further out it is a fortieth of the lift. An end is rounded outwards by less."""
GROWTH: Final = 1 / 40
BETS: Final = BetGrid(smallest=0.02, largest=0.9, count=12)


@dataclass(frozen=True, slots=True)
class Choice:
    """Something that the arms may do with a prompt.

    Attributes:
        cell: what is known of it, for its expected reward.
        control: the probability that the holdback does it.
        treated: the probability that the learnt policy does it.
    """

    cell: Cell
    control: float
    treated: float


@dataclass(frozen=True, slots=True)
class PairedReward:
    """A voted decision, with what both arms would have done.

    Attributes:
        reward: within [0, 1].
        control: the probability that the holdback takes the action that was taken, whichever arm took it.
        treated: the probability that the learnt policy does.
        taken: place of that action among the choices, None if it is not among them.
        choices: those whose reward is worth predicting; none where both arms do the same.
    """

    reward: float
    control: float = 1.0
    treated: float = 1.0
    taken: int | None = None
    choices: tuple[Choice, ...] = ()


@dataclass(eq=False)
class PairedLift:
    r"""Anytime-valid confidence sequence of mean(treated) / mean(control) - 1, paired prompt by prompt.

    A session is treated with probability s = 1 - holdback, and every arm explores. So on a prompt the action a
    is taken with probability q(a) = s p1(a) + (1 - s) p0(a), where p1 and p0 are what the two arms do with it. With
    m(a) the reward that is expected of a, fitted on earlier sessions, a decision that earned r for a says

        d = (p1(a) - p0(a)) / q(a) (r - m(a)) + sum_b (p1(b) - p0(b)) m(b)     expected: mu1 - mu0
        c =          p0(a)  / q(a) (r - m(a)) + sum_b          p0(b)  m(b)     expected: mu0

    whatever m is. Where both arms do the same, d is exactly 0: such a prompt has no noise about the difference. Where
    exploration makes the learnt arm do what the base would have done, that counts for the base. A session is the mean
    over its voted decisions, and its gain on the claim that the lift is L is y(L) = d - L c; see ``LiftCapital``.

    It covers the lift of the averages over the sessions so far, like ``RelativeLift``, at all moments at once with
    probability 1 - alpha, if

    - the prompts of a session, and whether they are voted on, do not depend on which arm answered before. Where they
      do, a prompt is no pair; ``Pairing`` looks for that, and ``RelativeLift`` does not need it;
    - one host reports the actions of all arms.

    Users whose sessions share one coin are allowed for by their ``design_effect``, which is an estimate.

    Against ``RelativeLift`` its interval is less than half as wide where the arms agree on three prompts of four.

    Attributes:
        holdback: share of all sessions that the base serves, within (0, 1).

    References:
        Dudik, Langford and Li, "Doubly robust policy evaluation and learning", ICML 2011, for d and c.
        Veach and Guibas, "Optimally combining sampling techniques", SIGGRAPH 1995, for q: the balance heuristic.
        Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", JRSS B 86(1), 2024.
    """

    holdback: float
    sessions: list[int] = field(default_factory=lambda: [0, 0])  # control, treated
    difference: float = 0.0
    control: float = 0.0
    wealth: LiftCapital = field(default_factory=LiftCapital)
    expected: InColumns = field(default_factory=ExpectedReward)
    clusters: Clusters = field(default_factory=Clusters)

    def __post_init__(self) -> None:
        if not 0 < self.holdback < 1:
            raise ValueError(f"the holdback must lie within (0, 1), found {self.holdback}")
        lifts = lift_grid()
        reach = largest_gain(lifts, self.holdback)
        self.wealth.bet_on(lifts, reach, reach, BETS)

    def add(self, rewards: Sequence[PairedReward], *, treated: bool, bucket: int) -> None:
        """Take one session, in the order in which sessions close.

        Args:
            rewards: of its voted decisions, at least one.
            treated: whether the learnt policy served it.
            bucket: of its user, else of itself; see ``Clusters``.

        Raises:
            ValueError: a reward outside [0, 1], or an action that no arm takes.
        """
        difference, control = self.take(rewards)
        self.wealth.add(difference, control)
        self.clusters.add(bucket, difference)
        self.difference += difference
        self.control += control
        self.sessions[treated] += 1

    def take(self, rewards: Sequence[PairedReward]) -> tuple[float, float]:
        """What a session says, d and c; afterwards it is known to those who predict. ``add`` is the way in."""
        said = [self._said(one) for one in rewards]
        for one in rewards:
            if one.taken is not None:
                self.expected.add(one.choices[one.taken].cell, one.reward)
        difference, control = (sum(part) / len(said) for part in zip(*said, strict=True))
        return difference, control

    def _said(self, one: PairedReward) -> tuple[float, float]:
        """D and c of one decision."""
        chance = (1 - self.holdback) * one.treated + self.holdback * one.control
        if not (0 <= one.reward <= 1 and chance > 0):
            raise ValueError(f"a reward within [0, 1] for an action that some arm takes, found {one}")
        expected = [self.expected.of(choice.cell) for choice in one.choices]
        surprise = (one.reward - (0.0 if one.taken is None else expected[one.taken])) / chance
        difference, control = surprise * (one.treated - one.control), surprise * one.control
        for choice, mean in zip(one.choices, expected, strict=True):
            difference += (choice.treated - choice.control) * mean
            control += choice.control * mean
        return difference, control

    @property
    def design_effect(self) -> float:
        """How much more the difference varies than if all sessions were of different users, at least 1."""
        return self.clusters.effect

    @property
    def points(self) -> float | None:
        """Mean reward of the treated less that of the control; None before there are sessions of both."""
        return self.difference / sum(self.sessions) if all(self.sessions) else None

    def figures(self, alpha: float) -> LiftFigures:
        """Estimate and two-sided 1 - alpha interval of the average lift so far."""
        low, high = self.wealth.interval(alpha, self.design_effect)
        known = all(self.sessions) and self.control > 0
        estimate = self.difference / self.control if known else None
        return LiftFigures(self.sessions[1], self.sessions[0], estimate, low, high)


def lift_grid() -> FloatArray:
    """The lifts, float64 [lifts], rising, 0 among them: close together where lifts are small and few points matter."""
    return np.array([*(-one for one in reversed(_steps(-LOWEST)[1:])), *_steps(HIGHEST)])


def _steps(end: float) -> list[float]:
    steps = [0.0]
    while steps[-1] < end:
        steps.append(round(steps[-1] + max(FINEST, steps[-1] * GROWTH), 4))
    return [*steps[:-1], end]


def largest_gain(lifts: FloatArray, holdback: float) -> FloatArray:
    """The most that |y(L)| may be, [lifts].

    y(L) = w (r - m) + sum_b (p1(b) - (1 + L) p0(b)) m(b), where w = (p1 - (1 + L) p0) / (s p1 + (1 - s) p0) lies
    between its values for an action that only one arm takes, 1 / s and -(1 + L) / (1 - s), and r - m and m within 1.
    """
    return np.asarray(
        np.maximum(1 / (1 - holdback), (1 + lifts) / holdback) + np.maximum(1.0, 1 + lifts), dtype=np.float64
    )
