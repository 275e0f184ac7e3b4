"""What a report is made from, and the checks that a run has to stand."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from ol0.records import Gate, Judgement
from ol0.soak.figures import ReleaseSeen
from ol0.soak.observation import Observation
from ol0.soak.words import lift_words, percent, plural, short, signed_points

OLD_MARGIN: Final = 0.01
"""What the old kinds may lose: a point is what the simulations of the learner lose at worst, with its spread."""


@dataclass(frozen=True, slots=True)
class KindPolicy:
    """Expected success of the greedy action on prompts of one kind that nobody learned from, within 0..1."""

    base: float
    final: float

    @property
    def change(self) -> float:
        """What learning brought."""
        return self.final - self.base


@dataclass(frozen=True, slots=True)
class Policy:
    """What the controller knew at first and at the end, for kinds that the base never saw and those it was made for."""

    new: KindPolicy
    old: KindPolicy


@dataclass(frozen=True, slots=True)
class Sum:
    """A total and the parts that it must be the sum of."""

    name: str
    total: int
    parts: Mapping[str, int]

    @property
    def difference(self) -> int:
        """What the parts lack; below 0 where they are too many."""
        return self.total - sum(self.parts.values())

    def problem(self) -> str:
        """How it fails to add up."""
        parts = " + ".join(f"{count:,} {name}" for name, count in self.parts.items())
        off = f"{abs(self.difference):,} {'missing' if self.difference > 0 else 'too many'}"
        return f"{self.total:,} {self.name} are not {parts} = {sum(self.parts.values()):,}: {off}."


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Where every record went. ``outcomes_read`` are the different ones on the topic; None where nobody counted."""

    decisions: int
    outcomes: int
    examples: int
    null_rewards: int
    feedback: int
    feedback_used: int
    decisions_dropped: Mapping[str, int] = field(default_factory=dict)
    feedback_dropped: Mapping[str, int] = field(default_factory=dict)
    capped: int = 0
    outcomes_read: int | None = None

    def sums(self) -> list[Sum]:
        """The equations that must hold."""
        sums = [
            Sum("decisions", self.decisions, {"outcomes": self.outcomes, **_dropped(self.decisions_dropped)}),
            Sum(
                "outcomes",
                self.outcomes,
                {
                    "examples": self.examples,
                    "without a reward": self.null_rewards,
                    **({"beyond a user's limit": self.capped} if self.capped else {}),
                },
            ),
            Sum("feedback", self.feedback, {"used": self.feedback_used, **_dropped(self.feedback_dropped)}),
        ]
        if self.outcomes_read is not None:
            sums.append(Sum("outcomes", self.outcomes, {"different ones read from the topic": self.outcomes_read}))
        return sums


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was asked of the run: in short, the figure, and the sentences of what does not hold."""

    name: str
    figure: str
    problems: Sequence[str]


@dataclass(frozen=True, slots=True)
class RunReport:
    """Everything that a report says.

    Attributes:
        observation: the last look at the run, when everything had come to rest.
        reconciliation: the counters of the traffic and of the store.
        policy: success on held-out prompts; None where nobody knows the right answers, and then it is not judged.
        seed: of the traffic; None for real traffic.
        data: what the traffic is made from, in words.
        began: when, as a date and a time with its zone.
        environment: versions, by name.
        settings: the ones that matter, by their key.
        faults: what was done to the run and when, in seconds since it began.
    """

    observation: Observation
    reconciliation: Reconciliation
    policy: Policy | None
    seed: int | None
    data: str
    began: str
    environment: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    faults: Sequence[tuple[float, str]] = ()

    @property
    def passed(self) -> bool:
        """Whether every check holds."""
        return not self.problems()

    def problems(self) -> list[str]:
        """Why the run failed, a sentence each; empty when it passed."""
        return [problem for check in self.checks() for problem in check.problems]

    def checks(self) -> list[Check]:
        """Everything that was asked of the run."""
        releases = self.observation.releases
        return [
            *self._policy_checks(),
            self._lift_check(),
            Check("Something was released", plural(len(releases), "release"), list(_no_release(releases))),
            Check("Both gates approved every release", _approved(releases), list(_unapproved(releases))),
            self._sums_check(),
        ]

    def _policy_checks(self) -> list[Check]:
        if self.policy is None:
            return []
        new, old = self.policy.new, self.policy.old
        worse = f"New kinds are not better than the base: {from_to(new)}."
        hurt = f"Old kinds are more than {OLD_MARGIN * 100:g} point below the base: {from_to(old)}."
        return [
            Check("New kinds got better", from_to(new), [] if new.change > 0 else [worse]),
            Check("Old kinds kept their quality", from_to(old), [] if old.change >= -OLD_MARGIN else [hurt]),
        ]

    def _lift_check(self) -> Check:
        lift = self.observation.lift
        proven = lift.low is not None and lift.low > 0
        problem = f"The lift over the holdback is not proven to be above 0: {lift_words(lift)}."
        return Check("The lift is above zero", lift_words(lift), [] if proven else [problem])

    def _sums_check(self) -> Check:
        sums = self.reconciliation.sums()
        wrong = [total.problem() for total in sums if total.difference]
        return Check("Every record is accounted for", f"{len(sums) - len(wrong)} of {len(sums)} sums add up", wrong)


def missing_gates(release: ReleaseSeen) -> list[Gate]:
    """The gates whose approval of exactly this checkpoint a release lacks."""
    given = {
        verdict.gate
        for verdict in release.approvals
        if verdict.judgement is Judgement.APPROVE and verdict.digest == release.digest
    }
    return [gate for gate in Gate if gate not in given]


def from_to(kind: KindPolicy) -> str:
    """What learning brought, in words."""
    return f"{percent(kind.base)} at first, {percent(kind.final)} at the end ({signed_points(kind.change)} points)"


def _no_release(releases: Sequence[ReleaseSeen]) -> Iterator[str]:
    if not releases:
        yield "Nothing was released: the base served to the end."


def _unapproved(releases: Sequence[ReleaseSeen]) -> Iterator[str]:
    for release in releases:
        for gate in missing_gates(release):
            yield f"Release {short(release.digest)} (step {release.step}) lacks the approval of {gate}."


def _approved(releases: Sequence[ReleaseSeen]) -> str:
    return f"{sum(not missing_gates(release) for release in releases)} of {plural(len(releases), 'release')}"


def _dropped(reasons: Mapping[str, int]) -> dict[str, int]:
    return {f"dropped ({reason})": count for reason, count in reasons.items()}
