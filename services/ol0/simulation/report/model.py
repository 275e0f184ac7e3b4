"""What a report is made from, and the checks that a run has to stand."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from ol0.operator.figures import ReleaseSeen
from ol0.operator.observation import Observation
from ol0.operator.text import lift_text, percent, plural, signed_points
from ol0.records import Gate, Judgement, short

OLD_MARGIN: Final = 0.01
"""What a kind may lose, of its ceiling: a point is what the simulations of the learner lose at worst, with its spread,
where the best experts are nearly always right."""
ENOUGH_DECISIONS: Final = 12_000
"""Seeds 0 and 1 of the demo had proven their lift after 11,000 and 8,000."""


class RunVerdict(StrEnum):
    """What became of what was asked of a run. Not proven: no check failed, but not everything was proven."""

    PASSED = "passed"
    NOT_PROVEN = "not proven"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class KindPolicy:
    """Expected success on prompts of one kind that nobody learned from, within 0..1.

    Attributes:
        base: of the base's greedy actions.
        final: of those of what serves at the end.
        single: of the one expert that is best for all of them together.
        ceiling: of the best expert of each prompt, which only its labels tell.
    """

    base: float
    final: float
    single: float
    ceiling: float

    @property
    def change(self) -> float:
        """What learning brought."""
        return self.final - self.base

    @property
    def hurt(self) -> bool:
        """Whether it lost more than chance would."""
        return self.change < -OLD_MARGIN * self.ceiling


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
    """Where every record went. None where nobody counted.

    ``outcomes_read`` are the different ones on the topic; ``decisions_sent`` and ``feedback_sent`` are what users sent.
    """

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
    decisions_sent: int | None = None
    feedback_sent: int | None = None

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
        for name, sent, joined in (
            ("decisions that users sent", self.decisions_sent, self.decisions),
            ("feedback that users sent", self.feedback_sent, self.feedback),
        ):
            if sent is not None:
                sums.append(Sum(name, sent, {"read by the join": joined}))
        return sums


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was asked of the run: in short, the figure, and the sentences of what does not hold.

    Attributes:
        name: the claim, in short.
        figure: what was found.
        problems: what speaks against it.
        missing: what could not be shown, though nothing speaks against it: more decisions may.
    """

    name: str
    figure: str
    problems: Sequence[str] = ()
    missing: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class EventTime:
    """Of a run that has a clock of its own; times in seconds of it.

    Attributes:
        scale: seconds of event time in a second of wall time.
        asked_s: how long the users were to ask.
        asking_s: how long they did.
        played_s: until the last record had come to rest.
    """

    scale: float
    asked_s: float
    asking_s: float
    played_s: float


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
        event_time: how much was played; None where the wall clock was the clock.
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
    event_time: EventTime | None = None

    @property
    def verdict(self) -> RunVerdict:
        """Failed where anything speaks against the run, else not proven where anything was not shown."""
        if self.problems():
            return RunVerdict.FAILED
        return RunVerdict.NOT_PROVEN if self.missing() else RunVerdict.PASSED

    def problems(self) -> list[str]:
        """Why the run failed, a sentence each."""
        return [problem for check in self.checks() for problem in check.problems]

    def missing(self) -> list[str]:
        """What the run did not show, a sentence each."""
        return [text for check in self.checks() for text in check.missing]

    def checks(self) -> list[Check]:
        """Everything that was asked of the run."""
        releases = self.observation.releases
        return [
            *self._policy_checks(),
            self._lift_check(),
            Check(
                "At least one candidate was released",
                plural(len(releases), "release"),
                missing=list(_no_release(releases)),
            ),
            Check("Both gates approved every release", _approved(releases), list(_unapproved(releases))),
            self._sums_check(),
        ]

    def _policy_checks(self) -> list[Check]:
        if self.policy is None:
            return []
        return [_new_check(self.policy.new), _old_check(self.policy.old)]

    def _lift_check(self) -> Check:
        name, figure, lift = "The lift is above zero", lift_text(self.observation.lift), self.observation.lift
        if lift.high is not None and lift.high < 0:
            return Check(name, figure, [f"The lift over the holdback is proven to be below 0: {figure}."])
        if lift.doubt is not None:
            return Check(name, figure, missing=[f"The lift proves nothing: {lift.doubt}."])
        if lift.low is not None and lift.low > 0:
            return Check(name, figure)
        return Check(name, figure, missing=[f"The lift over the holdback is not proven to be above 0: {figure}."])

    def _sums_check(self) -> Check:
        sums = self.reconciliation.sums()
        wrong = [total.problem() for total in sums if total.difference]
        return Check("Every record is accounted for", f"{len(sums) - len(wrong)} of {len(sums)} sums add up", wrong)


def _new_check(new: KindPolicy) -> Check:
    """Equal, or within the spread of the simulations: not shown. A loss beyond it: a problem."""
    name, figure = "New kinds improved", from_to(new)
    if new.hurt:
        return Check(name, figure, [f"New kinds lost more than {OLD_MARGIN:.0%} of their ceiling: {figure}."])
    return Check(name, figure, missing=[] if new.change > 0 else [f"New kinds are not better than the base: {figure}."])


def _old_check(old: KindPolicy) -> Check:
    hurt = f"Old kinds lost more than {OLD_MARGIN:.0%} of their ceiling: {from_to(old)}."
    return Check("Old kinds kept their quality", from_to(old), [hurt] if old.hurt else [])


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
