"""CanaryGate: is this candidate at least as good as what serves, on trusted prompts and then on people's sessions?"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from pydantic import TypeAdapter

from ol0.canary.judge import is_final, judge
from ol0.canary.offers import Offer, Standing
from ol0.canary.offline import Finding, judge_base, judge_candidate, run_suite
from ol0.canary.plan import TrialPlan
from ol0.canary.trial import Trial, TrialState
from ol0.config import SafetyConfig
from ol0.controller.checkpoint import Opener, read_checkpoint
from ol0.controller.checkpoint_manager import CheckpointManager
from ol0.controller.signing import OPEN, Keyring
from ol0.controller.suite import Suite
from ol0.errors import CheckpointError, ConfigError
from ol0.gates.offers import names_of, with_offer
from ol0.gates.restarts import ServingNow, reading
from ol0.gates.verdicts import Verdicts, in_words, reject
from ol0.records import Candidate, Check, Digest, Gate, Judgement, Outcome, Reason, Record, ServingState, Tick, Verdict
from ol0.statistics.outcome_clock import ClockState, OutcomeClock

HOLD_EVERY = 500  # decisions of a trial between two verdicts that only say what is missing
HOLD_EVERY_MS = 86_400_000  # and a day where there are fewer
LAYOUT = 4  # of a trial in the snapshot; evidence of another one starts from zero


@dataclass
class CanaryState:
    """The whole state of the gate."""

    suite: str
    clock: ClockState
    standing: Standing | None = None
    pending: list[Offer] = field(default_factory=list)
    trial: TrialState | None = None
    open: bool = False  # whether the trial has not had its verdict yet
    held: int = 0  # decisions at the last hold
    place: int = 0  # candidates tried since the last release
    tried: Digest | None = None
    held_ms: int = 0
    layout: int = 0  # of the trial; an earlier version wrote none


STATE = TypeAdapter(CanaryState)


class CanaryGate:
    """Judges quality. Pure: same records in, same verdicts out; time is event time.

    Stage 0 holds a candidate against base and parent on the suite. From stage 1 on, a trial collects the sessions of
    staged, live and holdback until the evidence decides; after its verdict it is closed until the serving state moves.

    Evidence belongs to the shares under which it was drawn: a serving state with another share, or another holdback
    than the snapshot's, begins a new trial. A snapshot holds no heads, and the log is not read twice: with another
    suite the results of base and live are recomputed from the newest ``ServingState``, which ``newest`` fetches.

    Args:
        suite: the trusted prompts.
        safety: margins, levels and stages.
        canary_threshold: share of the suite's worth that the base itself must have (``warmup.canary_threshold``).
        holdback: share of all sessions that the base serves (``serving.holdback``); must be what the SDK uses.
        keys: what it signs with, and whom it believes.
        newest: what serves by the log; asked once after a restart that needs it, and where a state cannot be opened.
        opener: opens checkpoints.

    Raises:
        ConfigError: a stage leaves no session to live.
    """

    def __init__(
        self,
        suite: Suite,
        safety: SafetyConfig,
        canary_threshold: float,
        holdback: float,
        keys: Keyring = OPEN,
        *,
        newest: Callable[[], ServingState | None] = lambda: None,
        opener: Opener = read_checkpoint,
    ) -> None:
        for stage in safety.stages:
            if stage.share >= 1 - holdback:
                raise ConfigError(
                    f"safety.stages: a share of {stage.share} beside serving.holdback {holdback} leaves live nothing; "
                    f"keep it below {1 - holdback:.2f}"
                )
        self._suite, self._safety = suite, safety
        self._keys, self._opener, self._checkpoints = keys, opener, CheckpointManager(keys, opener=opener)
        self._verdicts, self._serving = Verdicts(Gate.CANARY, suite), ServingNow(newest)
        self._canary_threshold, self._holdback = canary_threshold, holdback
        self._clock = OutcomeClock.for_sessions(safety.session_gap_s)
        self._trial: Trial | None = None
        self._state = CanaryState(suite.digest, self._clock.state)

    def handle(self, record: Record) -> Sequence[Record]:
        """Takes one record in and returns the verdicts that follow, signed.

        Raises:
            SignatureError: a candidate without a trusted signature. It is not judged: a verdict on its
                digest would apply to the genuine one, too.
        """
        return [self._keys.sign(verdict) for one in self._serving.before(record) for verdict in self._judge(one)]

    def _judge(self, record: Record) -> list[Verdict]:
        match record:
            case Candidate():
                return self._offer(record)
            case ServingState():
                return self._serve(record)
            case Outcome():
                return self._observe(record) if self._clock.take(record.sequence, record.window_end_ms) else []
            case Tick():
                self._clock.tick(record.time_ms)
                return self._observe(None)
        return []

    def _offer(self, candidate: Candidate) -> list[Verdict]:
        try:
            self._checkpoints.open(candidate)
        except CheckpointError as error:
            return [self._verdicts.offline(candidate, reject(Check.CHECKPOINT, str(error)))]
        result = run_suite(self._suite, candidate.digest, candidate.heads, self._safety, self._opener)
        offer = Offer(*names_of(candidate), result)
        if self._state.standing is None and offer.step and not result.flaw:
            self._state.pending = with_offer(self._state.pending, offer)
            reason = in_words(Check.WAITING, "no serving state is known yet: base and parent cannot be compared")
            return [self._verdicts.offline(offer, (Judgement.HOLD, (reason,)))]
        return [self._judge_offer(offer)]

    def _judge_offer(self, offer: Offer) -> Verdict:
        refusal = offer.refusal(self._state.standing)
        if refusal is not None:
            return self._verdicts.offline(offer, refusal)
        findings = self._findings(offer)
        judgement = Judgement.APPROVE if all(finding.passed for finding in findings) else Judgement.REJECT
        # Reasons against a candidate come first: a person looks for them.
        ordered = sorted(findings, key=lambda finding: finding.passed)
        return self._verdicts.offline(offer, (judgement, tuple(finding.reason for finding in ordered)))

    def _findings(self, offer: Offer) -> list[Finding]:
        standing = self._state.standing
        if standing is None or not offer.step:
            return judge_base(self._suite, offer.result, self._canary_threshold)
        return judge_candidate(self._suite, self._safety, offer.result, standing.base, standing.live)

    def _serve(self, state: ServingState) -> list[Verdict]:
        previous = self._state.standing
        if previous is not None and state.sequence < previous.sequence:
            return []
        try:
            self._state.standing = Standing.of(state, previous, self._suite, self._safety, self._opener)
        except CheckpointError:
            if self._serving.is_past(state):
                return []  # what it served is deleted since, and the state after it is on its way
            raise
        if previous is None or self._state.standing.live_step > previous.live_step:
            self._state.place = 0
        verdicts = self._follow(state)
        pending, self._state.pending = self._state.pending, []
        return [*verdicts, *(self._judge_offer(offer) for offer in pending)]

    def _follow(self, state: ServingState) -> list[Verdict]:
        """Begins, continues or drops a trial, so that no verdict can concern a stage that is over."""
        staged = state.staged
        if staged is None:
            self._trial, self._state.open = None, False
            return []
        known = None if self._trial is None else self._trial.plan
        if known is not None and known.goes_on_in(state, staged):
            return []
        anew = known is not None and (known.digest, known.stage) == (staged.release.digest, staged.stage)
        if self._state.tried != staged.release.digest or anew:
            self._state.place, self._state.tried = self._state.place + 1, staged.release.digest
        plan = TrialPlan.of(state, staged, self._holdback, max(1, self._state.place))
        if plan.share >= 1 - plan.holdback:
            self._trial, self._state.open = None, False
            return [self._no_comparison(plan, state.time_ms)]
        self._begin(plan)
        return []

    def _begin(self, plan: TrialPlan) -> None:
        """What a stage said of harm to parts of the traffic counts in the candidate's next one."""
        before = self._trial
        goes_on = before is not None and (before.plan.digest, before.plan.live) == (plan.digest, plan.live)
        if before is not None and goes_on and before.plan.stage < plan.stage:
            known = TrialState(plan, earlier=before.capital, mastery=before.mastery.snapshot())
        else:
            known = TrialState(plan)
        self._trial = Trial(known, self._safety)
        self._state.open, self._state.held, self._state.held_ms = True, 0, plan.began_ms

    def _no_comparison(self, plan: TrialPlan, time_ms: int) -> Verdict:
        text = (
            f"a share of {plan.share} beside serving.holdback {plan.holdback} leaves live nothing: there is no arm to "
            "compare with; give all services the same safety.stages and serving.holdback"
        )
        reason = Reason(Check.SHARES, plan.share, None, None, text)
        return self._verdicts.at(plan.stage, plan.digests, (Judgement.REJECT, (reason,)), 0, time_ms)

    def _observe(self, outcome: Outcome | None) -> list[Verdict]:
        trial, known, now_ms = self._trial, self._state, self._clock.now_ms
        if trial is None or not known.open:
            return []
        if now_ms is not None:
            trial.close_sessions(now_ms)
        if outcome is not None:
            trial.add(outcome)
        if now_ms is None:
            return []
        waited = trial.decisions >= known.held + HOLD_EVERY or now_ms >= known.held_ms + HOLD_EVERY_MS
        if not waited and not is_final(trial, self._safety, now_ms):
            return []
        opinion = judge(trial, self._safety, now_ms)
        known.held, known.held_ms, known.open = trial.decisions, now_ms, opinion[0] is Judgement.HOLD
        return [self._verdicts.at(trial.plan.stage, trial.plan.digests, opinion, trial.evidence, now_ms)]

    def snapshot(self) -> bytes:
        """The whole state: JSON, compressed, because the capital of many groups is many digits."""
        trial = None if self._trial is None else self._trial.snapshot()
        return zlib.compress(STATE.dump_json(replace(self._state, trial=trial, layout=LAYOUT)))

    def restore(self, body: bytes) -> None:
        """Continues from ``snapshot``.

        Raises:
            ContractError: the body is not a snapshot of this gate.
        """
        with reading(Gate.CANARY):
            self._restore(STATE.validate_json(zlib.decompress(body)))

    def _restore(self, state: CanaryState) -> None:
        self._state, self._clock.state = state, state.clock
        self._restore_trial(state)
        if state.suite != self._suite.digest:
            # What was found says nothing: base and live are asked again, and candidates that wait are sent back.
            state.suite, state.standing = self._suite.digest, None
            state.pending = [offer.without_result() for offer in state.pending]
        self._serving.is_missing = state.standing is None or (self._trial is None and state.open)

    def _restore_trial(self, state: CanaryState) -> None:
        trial, state.trial = state.trial, None
        if trial is None or state.layout != LAYOUT:
            self._trial = None
            return
        self._trial = Trial(trial, self._safety)
        plan = self._trial.plan
        if plan.holdback != self._holdback and state.open:
            state.place += 1
            plan = replace(plan, holdback=self._holdback, place=state.place)
            # No serving state says when hosts changed theirs: what was decided before the last window closed did not.
            self._begin(replace(plan, counted_from_ms=self._clock.now_ms or 0))
