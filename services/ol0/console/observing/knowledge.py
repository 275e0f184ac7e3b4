"""Adds up what the topics say, for the page. Pure: no Kafka, no clock."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from ol0.console.observing.comparisons import Comparisons, comparisons
from ol0.console.observing.lift_history import LiftHistory, LiftPoint
from ol0.console.observing.places import LoopPlace, Places
from ol0.errors import ContractError
from ol0.operator.figures import NO_LIFT, CandidateStory, LiftInterval, Serving
from ol0.operator.topic_tally import Tally
from ol0.records import Digest, OperatorCommand, OperatorKind, Record, ServingState, Snapshot, Transition, Verdict

EVALUATED_APART_MS: Final = 1_000
"""Of wall time between two snapshots of the evaluator that are looked into; it writes one every other second."""
REMEMBERED_VERDICTS: Final = 10_000


@dataclass(frozen=True, slots=True)
class ServingFacts:
    """What the serving state says beside who serves: when it was made, and what keeps the next candidate waiting."""

    time_ms: int
    cooldown_until_ms: int
    failures: int


@dataclass(frozen=True, slots=True)
class Known:
    """Everything that the topics have said so far. Lists are in the order of reading.

    Attributes:
        serving: the serving state without its heads; None before the first release.
        facts: the rest of it.
        candidates: with the newest word of each gate.
        approvals: the verdicts that let each release serve, by digest.
        transitions: every step of every checkpoint, each once.
        orders: what operators ordered, forgotten users excepted.
        lift: the newest, for the event time ``evaluated_ms``, written at ``written_ms`` of the wall clock.
        lift_points: the lift over event time.
        comparisons: arms, groups and hours.
        places: where the loops are.
        learner_ms: when the learner wrote last.
        flaw: why the evaluator's figures cannot be read; None where they can.
    """

    serving: Serving | None = None
    facts: ServingFacts | None = None
    candidates: tuple[CandidateStory, ...] = ()
    approvals: Mapping[Digest, tuple[Verdict, ...]] = field(default_factory=dict)
    transitions: tuple[Transition, ...] = ()
    orders: tuple[OperatorCommand, ...] = ()
    lift: LiftInterval = NO_LIFT
    evaluated_ms: int | None = None
    written_ms: int | None = None
    lift_points: tuple[LiftPoint, ...] = ()
    comparisons: Comparisons = field(default_factory=Comparisons)
    places: tuple[LoopPlace, ...] = ()
    learner_ms: int | None = None
    flaw: str | None = None


class Knowledge:
    """Takes records of ``verdicts``, ``transitions``, ``releases``, ``candidates``, ``state`` and ``operator``."""

    def __init__(self) -> None:
        self._tally = Tally({})
        self._places = Places()
        self._history = LiftHistory()
        self._facts: ServingFacts | None = None
        self._orders: dict[OperatorCommand, None] = {}
        self._looked_ms = 0
        self._flaw: str | None = None

    def add(self, record: Record) -> None:
        """Takes one record; those that say nothing here are passed over."""
        self._tally.add(record, 0.0)
        match record:
            case ServingState():
                self._facts = ServingFacts(record.time_ms, record.cooldown_until_ms, record.failures)
            case OperatorCommand() if record.kind is not OperatorKind.FORGET:
                self._orders[record] = None
            case Verdict():
                self._forget_old_verdicts()
            case Snapshot():
                self._places.add(record)
                self._look_into(self._tally.evaluation)
            case _:
                pass

    def known(self) -> Known:
        """The sum, as it is now."""
        tally, evaluation = self._tally, self._tally.evaluation
        lift, evaluated_ms = self._evaluated()
        return Known(
            serving=tally.serving,
            facts=self._facts,
            candidates=tally.candidates(),
            approvals={digest: seen.approvals for digest, seen in tally.releases.items()},
            transitions=tuple(dict.fromkeys(seen.record for seen in tally.transitions)),
            orders=tuple(self._orders),
            lift=lift,
            evaluated_ms=evaluated_ms,
            written_ms=None if evaluation is None else evaluation.time_ms,
            lift_points=self._history.points(),
            comparisons=self._comparisons(evaluation),
            places=self._places.places(),
            learner_ms=self._places.learner_ms,
            flaw=self._flaw,
        )

    def _evaluated(self) -> tuple[LiftInterval, int | None]:
        try:
            evaluated = self._tally.evaluated()
        except ContractError as error:
            self._flaw = str(error)
            return NO_LIFT, None
        self._flaw = None
        return evaluated.lift, evaluated.time_ms

    def _comparisons(self, evaluation: Snapshot | None) -> Comparisons:
        if evaluation is None or self._flaw is not None:
            return Comparisons()
        try:
            return comparisons(evaluation.body)
        except ContractError as error:
            self._flaw = str(error)
            return Comparisons()

    def _look_into(self, evaluation: Snapshot | None) -> None:
        """Keeps a point of the lift, unless one was kept a moment before."""
        if evaluation is None or evaluation.time_ms - self._looked_ms < EVALUATED_APART_MS:
            return
        self._looked_ms = evaluation.time_ms
        lift, time_ms = self._evaluated()
        if time_ms is not None and lift.estimate is not None:
            self._history.add(LiftPoint(time_ms, lift))

    def _forget_old_verdicts(self) -> None:
        """Each candidate keeps the newest word of its gates; the list is for those who tell a run as it goes."""
        if len(self._tally.verdicts) > REMEMBERED_VERDICTS:
            del self._tally.verdicts[: REMEMBERED_VERDICTS // 2]
