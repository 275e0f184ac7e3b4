"""OnlineEvaluator: follows outcomes and reports whether learning helps."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Final

import structlog
from pydantic import TypeAdapter

from ol0.ar1.baseline import BaselineMetrics
from ol0.config import EvaluationConfig, SafetyConfig, ServingConfig
from ol0.controller.checkpoint import Opener, read_checkpoint
from ol0.controller.signing import OPEN, Keyring
from ol0.errors import ContractError, flaw_of
from ol0.evaluator.figures import EvaluationFigures, improvement_percent, shift, summary
from ol0.evaluator.ledger import Ledger
from ol0.evaluator.lift import LiftState, OtherLift, SessionLift
from ol0.evaluator.served import Served
from ol0.evaluator.votes import vote_of
from ol0.records import Arm, Check, Gate, Outcome, Phase, Record, ServingState, Tick, Transition, Verdict
from ol0.statistics.outcome_clock import ClockState, OutcomeClock
from ol0.statistics.stored import NOT_STORED


@dataclass(frozen=True)
class InputBreak:
    """When inputs last left the anchors or came back, in event time, and which of the two; None: they never left."""

    at_ms: int | None = None
    away: bool = False


@dataclass
class EvaluatorState:
    """The whole state. Earlier versions kept of what was served only what was ``outside`` of apply."""

    clock: ClockState
    ledger: Ledger = field(default_factory=Ledger)
    lift: LiftState | OtherLift | None = None
    aside: int = 0
    transitions: Counter[Phase] = field(default_factory=Counter)
    served: Served = field(default_factory=Served)
    inputs: InputBreak = InputBreak()
    outside: Annotated[list[tuple[int, int | None]], NOT_STORED] = field(default_factory=list)


STATE: Final = TypeAdapter(EvaluatorState)
FIGURES: Final = TypeAdapter(EvaluationFigures)


class OnlineEvaluator:
    """Compares the arms. Pure: same records in, same figures out; it writes nothing but its snapshot.

    Takes outcomes, transitions, ticks, serving states for their mode, and verdicts for what drift says of the inputs: a
    lift across a break between two spaces of prompts compares what cannot be compared, so it starts over.

    Args:
        evaluation: target and confidence.
        safety: when a session is complete.
        serving: share of the holdback.
        keys: whose verdicts it believes.
        opener: opens checkpoints.
    """

    def __init__(
        self,
        evaluation: EvaluationConfig | None = None,
        safety: SafetyConfig | None = None,
        serving: ServingConfig | None = None,
        keys: Keyring = OPEN,
        opener: Opener = read_checkpoint,
    ) -> None:
        self._keys, self._opener = keys, opener
        self._evaluation = evaluation or EvaluationConfig()
        self._safety = safety or SafetyConfig()
        self._holdback = (serving or ServingConfig()).holdback
        self._gap_ms = round(1000 * self._safety.session_gap_s)
        self._clock = OutcomeClock.for_sessions(self._safety.session_gap_s)
        self._lift = self._new_lift(since_ms=None)
        self._state = EvaluatorState(self._clock.state)
        self._baseline: BaselineMetrics | None = None

    def set_baseline_metrics(self, baseline: BaselineMetrics | None) -> None:
        """Shows from now on what a warm-up measured of the base, and how far the holdback has come from it.

        Nothing is judged by it: the yardstick of the lift is the holdback, which sees the same traffic.

        Args:
            baseline: ``WarmupResult.baseline_metrics``; None where there was no calibration file.
        """
        self._baseline = baseline

    def handle(self, record: Record) -> Sequence[Record]:
        """Takes one record in; returns nothing, ever."""
        match record:
            case Outcome():
                self._take(record)
            case Tick():
                self._clock.tick(record.time_ms)
                self._close_sessions()
            case Transition():
                self._state.transitions[record.to_phase] += 1
            case ServingState():
                self._state.served.take(record, self._opener)
            case Verdict(gate=Gate.DRIFT) if self._keys.flaw(record) is None:
                self._note_inputs(record)
            case _:
                pass
        return ()

    def figures(self) -> EvaluationFigures:
        """What is known at this moment of event time."""
        known, ledger = self._state, self._state.ledger
        treated, holdback = ledger.treated, ledger.arms[Arm.HOLDBACK]
        lift = None if self._lift is None else self._lift.figures(1 - self._evaluation.confidence)
        unbalanced = None if self._lift is None else self._lift.balance.found
        improvement = improvement_percent(treated, holdback)
        since = None if self._lift is None else self._lift.since_ms
        # Sums over everything say nothing of the target where the lift began later.
        gained = improvement if since is None or lift is None or lift.estimate is None else 100 * lift.estimate
        reached = gained is not None and gained >= self._evaluation.target_improvement_percent
        shown = lift is not None and lift.low is not None and lift.low > 0
        away = known.inputs.at_ms if known.inputs.away else None
        return EvaluationFigures(
            time_ms=self._clock.now_ms,
            arms={arm: summary(tally) for arm, tally in ledger.arms.items()},
            treated=summary(treated),
            lift=lift,
            points=None if self._lift is None else self._lift.points,
            aggregate_improvement_percent=improvement,
            proven=reached and shown and unbalanced is None and away is None,
            aside=known.aside,
            groups=ledger.by_group(),
            hours=ledger.by_hour(),
            transitions=dict(sorted(known.transitions.items())),
            baseline=self._baseline,
            baseline_shift=shift(holdback, self._baseline),
            unbalanced=unbalanced,
            unpaired=None if self._lift is None else self._lift.unpaired,
            design_effect=None if self._lift is None else self._lift.design_effect,
            lift_since_ms=since,
            inputs_away_since_ms=away,
        )

    def snapshot(self) -> bytes:
        """JSON: ``figures``, for people and `ol0 status`, and ``state``; some 160 kB, 140 of them the lift."""
        state = replace(self._state, lift=None if self._lift is None else self._lift.snapshot())
        return b'{"figures":%b,"state":%b}' % (FIGURES.dump_json(self.figures()), STATE.dump_json(state))

    def restore(self, body: bytes) -> None:
        """Takes back what ``snapshot`` returned.

        Raises:
            ContractError: the body cannot be read.
        """
        try:
            self._restore(STATE.validate_python(json.loads(body)["state"]))
        except (ValueError, KeyError, TypeError) as error:
            raise ContractError(f"no snapshot of the evaluator: {flaw_of(error)}") from None

    def _restore(self, state: EvaluatorState) -> None:
        self._state, self._clock.state = state, state.clock
        state.served.outside = state.served.outside or state.outside
        lift, state.lift = state.lift, None
        self._restore_lift(lift)

    def _restore_lift(self, lift: LiftState | OtherLift | None) -> None:
        """Sessions are weighed with the share under which they were drawn: another holdback is another lift.

        So is another layout: what was not written down of past sessions cannot be paired.
        """
        if isinstance(lift, LiftState) and lift.holdback == self._holdback:
            self._lift = self._new_lift(since_ms=None, state=lift)
            return
        # No serving state says when hosts changed theirs: what was decided before the last window closed did not.
        self._lift = self._new_lift(since_ms=self._clock.now_ms)
        if self._lift is not None or lift is not None:
            before = "none" if lift is None else lift.holdback or "unknown"
            cause = "another version kept it" if before == self._holdback else "serving.holdback was changed"
            structlog.get_logger("ol0.evaluator").warning(
                f"{cause}: the lift starts over", before=before, now=self._holdback
            )

    def _new_lift(self, since_ms: int | None, state: LiftState | None = None) -> SessionLift | None:
        if not self._holdback:
            return None
        alpha = (1 - self._evaluation.confidence) / 10
        return SessionLift(self._holdback, self._gap_ms, alpha, self._safety.rate_tolerance, since_ms, state)

    def _note_inputs(self, verdict: Verdict) -> None:
        """Of one break there may be several words, a day apart."""
        checks = {reason.check for reason in verdict.reasons}
        if not checks & {Check.INPUTS_AWAY, Check.INPUTS_BACK}:
            return
        told = InputBreak(at_ms=verdict.time_ms, away=Check.INPUTS_AWAY in checks)
        if told != self._state.inputs:
            self._state.inputs, self._lift = told, self._new_lift(since_ms=verdict.time_ms)

    def _take(self, outcome: Outcome) -> None:
        if not self._clock.take(outcome.sequence, outcome.window_end_ms):
            return  # a repeat: the relay delivers at least once
        applied = self._state.served.applied(outcome.serving_sequence)
        if applied:
            self._state.ledger.add(outcome)
        else:
            self._state.aside += 1
        if self._lift is not None:
            vote = vote_of(outcome, self._state.served, self._holdback) if applied else None
            self._lift.add(outcome, vote, self._clock.now_ms or 0)
        self._close_sessions()

    def _close_sessions(self) -> None:
        now_ms = self._clock.now_ms
        if self._lift is not None and now_ms is not None:
            self._lift.close_due(now_ms)
