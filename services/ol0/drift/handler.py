"""DriftMonitor: does this candidate move too far, and does what serves keep what it was released for?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import structlog
from pydantic import TypeAdapter

from ol0.config import SafetyConfig
from ol0.controller.checkpoint import Opener, read_checkpoint
from ol0.controller.checkpoint_manager import CheckpointManager
from ol0.controller.compatibility import Structure
from ol0.controller.signing import OPEN, Keyring
from ol0.controller.suite import OF_ANOTHER_SUITE, Suite
from ol0.drift.assignment import Assignment
from ol0.drift.inputs import Finding, InputState, InputWatch, Turn
from ol0.drift.live_watch import LiveState, LiveWatch
from ol0.drift.movement import judge
from ol0.drift.offers import Offer
from ol0.drift.space import Space
from ol0.drift.staged_watch import StagedState, StagedWatch
from ol0.drift.watched import Watched
from ol0.errors import CheckpointError
from ol0.gates.offers import with_offer
from ol0.gates.restarts import ServingNow, reading
from ol0.gates.verdicts import Verdicts, in_words, reject
from ol0.records import (
    Candidate,
    Check,
    Decision,
    Digest,
    Gate,
    Judgement,
    Outcome,
    Reason,
    Record,
    ServingState,
    Tick,
    Verdict,
    brief,
)
from ol0.statistics.outcome_clock import ClockState, OutcomeClock

INPUT_CHECKS: Final = {Turn.AWAY: Check.INPUTS_AWAY, Turn.BACK: Check.INPUTS_BACK}
REFERENCES: Final = 16  # releases whose lift is remembered, for when a rollback brings one of them back


@dataclass
class DriftState:
    """The whole state of the monitor. Earlier versions stored no suite, holdback, what serves, or inputs."""

    clock: ClockState
    smallest: float  # share that evidence was sized for
    odds: list[tuple[int, float]] = field(default_factory=list)
    sequence: int = -1
    base: Digest | None = None
    structure: Structure | None = None
    pending: list[Offer] = field(default_factory=list)
    references: dict[str, float] = field(default_factory=dict)  # by digest, the lift that a release is held to
    staged: StagedState | None = None
    live: LiveState | None = None
    stopped: list[str] = field(default_factory=list)  # roles with a rollback: no second one before the state moves
    suite: str | None = None
    holdback: float | None = None
    serving: Digest | None = None
    inputs: InputState | None = None


STATE: Final = TypeAdapter(DriftState)


class DriftMonitor:
    """Judges movement. Pure: same records in, same verdicts out; time is event time.

    Stage 0 looks at the file: structure, and how far its answers lie from the base's. Afterwards the sessions of the
    candidate (at its stage) and of the release (at stage n + 1) are held against the holdback's; only rollbacks come of
    that, and holds that report a violation. A digest is stopped once for each role. When the inputs themselves leave
    the anchors, a hold about what serves says so.

    Args:
        probes: the canary suite.
        safety: limits, levels and stages.
        holdback: share of all sessions that the base serves (``serving.holdback``); must be what the SDK uses. With
            none there is no yardstick and nothing is watched live.
        keys: what it signs with, and whom it believes.
        newest: what serves by the log; asked once after a restart with another holdback.
        opener: opens checkpoints.
    """

    def __init__(
        self,
        probes: Suite,
        safety: SafetyConfig,
        holdback: float,
        keys: Keyring = OPEN,
        newest: Callable[[], ServingState | None] = lambda: None,
        opener: Opener = read_checkpoint,
    ) -> None:
        self._keys, self._opener, self._checkpoints = keys, opener, CheckpointManager(keys, opener=opener)
        self._verdicts, self._serving_now = Verdicts(Gate.DRIFT, probes), ServingNow(newest)
        self._probes, self._safety, self._holdback = probes, safety, holdback
        self._clock = OutcomeClock.for_sessions(safety.session_gap_s)
        self._assignment = Assignment(safety, holdback)
        self._inputs = InputWatch(Space(probes.features))
        self._state = DriftState(self._clock.state, self._assignment.smallest)
        self._staged: StagedWatch | None = None
        self._live: LiveWatch | None = None
        self._counted_from_ms = 0  # until then hosts drew arms with another holdback

    def handle(self, record: Record) -> Sequence[Record]:
        """Takes one record in and returns the verdicts that follow, signed.

        Raises:
            SignatureError: a candidate without a trusted signature. It is not judged: a verdict on its
                digest would apply to the genuine one, too.
        """
        return [self._keys.sign(verdict) for one in self._serving_now.before(record) for verdict in self._judge(one)]

    def _judge(self, record: Record) -> list[Verdict]:
        match record:
            case Candidate():
                return [self._offer(record)]
            case ServingState():
                return self._serve(record)
            case Outcome():
                return self._observe(record) if self._clock.take(record.sequence, record.window_end_ms) else []
            case Tick():
                self._clock.tick(record.time_ms)
                return self._observe(None)
            case Decision():
                return self._look_at(record)
        return []

    def _look_at(self, decision: Decision) -> list[Verdict]:
        base, serving = self._state.base, self._state.serving
        if base is None or serving is None:
            return []
        finding = self._inputs.take(decision)
        if finding is None:
            return []
        structlog.get_logger("ol0.drift").warning(finding.text, serving=serving)
        return [self._inputs_verdict(finding, base, serving)] if finding.turn in INPUT_CHECKS else []

    def _inputs_verdict(self, finding: Finding, base: Digest, serving: Digest) -> Verdict:
        """About what serves, and dated when it began: a lift across that moment proves nothing."""
        reason = Reason(INPUT_CHECKS[finding.turn], finding.share, finding.level, finding.level, finding.text)
        stage, opinion = len(self._safety.stages) + 1, (Judgement.HOLD, (reason,))
        return self._verdicts.at(stage, (serving, base, base), opinion, finding.looked_at, finding.since_ms)

    def _offer(self, candidate: Candidate) -> Verdict:
        try:
            offer = Offer.of(candidate, self._checkpoints, self._probes)
        except CheckpointError as error:
            return self._verdicts.offline(candidate, reject(Check.CHECKPOINT, str(error)))
        if self._state.structure is None and candidate.step:
            self._state.pending = with_offer(self._state.pending, offer)
            reason = in_words(Check.WAITING, "no serving state is known yet: its base cannot be compared")
            return self._verdicts.offline(offer, (Judgement.HOLD, (reason,)))
        return self._judge_offer(offer)

    def _judge_offer(self, offer: Offer) -> Verdict:
        problems = []
        if self._state.structure is not None:
            problems = offer.structure.differences(self._state.structure)
            if offer.base != (base := self._state.base):
                problems.append(f"its base is {brief(offer.base)}, but {brief(str(base))} is the base that serves")
        if problems:
            return self._verdicts.offline(offer, reject(Check.STRUCTURE, *problems))
        if offer.movement is None:
            return self._verdicts.offline(offer, reject(Check.CHECKPOINT, OF_ANOTHER_SUITE))
        near, reasons = judge(offer.movement, self._safety)
        return self._verdicts.offline(offer, (Judgement.APPROVE if near else Judgement.REJECT, reasons))

    def _serve(self, state: ServingState) -> list[Verdict]:
        known = self._state
        if state.sequence < known.sequence:
            return []
        known.sequence, known.serving = state.sequence, state.live.digest
        if state.base.digest != known.base:
            known.base = state.base.digest
            known.structure = Structure.of(self._opener(state.base.heads, state.base.digest))
        if self._holdback:
            if self._assignment.note(state):
                self._begin_anew()
            self._follow(state)
        pending, known.pending = known.pending, []
        return [self._judge_offer(offer) for offer in pending]

    def _follow(self, state: ServingState) -> None:
        """Begins and ends watches. Live first: a release brings its lift from the trial that ends with it."""
        if self._staged is not None and self._staged.watched.digest == state.live.digest:
            self._remember(self._staged)
        if self._live is None or self._live.watched.digest != state.live.digest:
            self._live = None if state.live.digest == state.base.digest else self._watch_live(state)
            self._state.stopped = [role for role in self._state.stopped if role != "live"]
        staged = state.staged
        if staged is None:
            self._staged = None
            return
        if self._staged is None or self._staged.watched.digest != staged.release.digest:
            digests = (staged.release.digest, state.live.digest, state.base.digest)
            watched = Watched(*digests, staged.stage, state.sequence, self._counted_from_ms)
            self._staged = StagedWatch(StagedState(watched), self._assignment, self._safety)
            self._state.stopped = [role for role in self._state.stopped if role != "staged"]
        self._staged.move_to(staged.stage)

    def _watch_live(self, state: ServingState) -> LiveWatch:
        stage = len(self._safety.stages) + 1
        digests = (state.live.digest, self._parent(state), state.base.digest)
        watched = Watched(*digests, stage, state.sequence, self._counted_from_ms)
        known = LiveState(watched, self._state.references.get(state.live.digest))
        return LiveWatch(known, self._assignment, self._safety)

    def _parent(self, state: ServingState) -> Digest:
        """Of what is live, as its approvals say: its chunks may be deleted where this state is an old one."""
        approved = next((verdict.parent for verdict in state.live.approvals), None)
        return approved or self._opener(state.live.heads, state.live.digest).manifest.parent or state.base.digest

    def _begin_anew(self) -> None:
        """Evidence does not move between odds: what is watched stays, its evidence starts from zero."""
        if self._staged is not None:
            watched = replace(self._staged.watched, counted_from_ms=self._counted_from_ms)
            self._staged = StagedWatch(StagedState(watched), self._assignment, self._safety)
        if self._live is not None:
            watched = replace(self._live.watched, counted_from_ms=self._counted_from_ms)
            self._live = LiveWatch(LiveState(watched, self._live.reference), self._assignment, self._safety)

    def _remember(self, staged: StagedWatch) -> None:
        reference = staged.reference()
        if reference is not None:
            self._state.references[staged.watched.digest] = reference
            self._state.references = dict(list(self._state.references.items())[-REFERENCES:])

    def _observe(self, outcome: Outcome | None) -> list[Verdict]:
        verdicts, now_ms = [], self._clock.now_ms
        for role, watch in (("staged", self._staged), ("live", self._live)):
            if watch is None or role in self._state.stopped:
                continue
            opinion = None if now_ms is None else watch.close_sessions(now_ms)
            if outcome is not None:
                watch.add(outcome)
            if opinion is not None and now_ms is not None:
                watched = watch.watched
                verdicts.append(self._verdicts.at(watched.stage, watched.digests, opinion, watch.sessions, now_ms))
                if opinion[0] is Judgement.ROLLBACK:
                    self._state.stopped.append(role)
        return verdicts

    def snapshot(self) -> bytes:
        """The whole state, as JSON."""
        state = replace(
            self._state,
            suite=self._probes.digest,
            holdback=self._holdback,
            smallest=self._assignment.smallest,
            odds=self._assignment.snapshot(),
            staged=None if self._staged is None else self._staged.snapshot(),
            live=None if self._live is None else self._live.snapshot(),
            inputs=self._inputs.state,
        )
        return STATE.dump_json(state)

    def restore(self, body: bytes) -> None:
        """Continues from ``snapshot``.

        Raises:
            ContractError: the body is not a snapshot of this monitor.
        """
        with reading(Gate.DRIFT):
            self._restore(STATE.validate_json(body))

    def _restore(self, state: DriftState) -> None:
        self._state, self._clock.state = state, state.clock
        self._assignment.restore(state.odds)
        if state.suite != self._probes.digest:  # heads are gone, so who waits cannot be asked about these probes
            state.pending = [replace(offer, movement=None) for offer in state.pending]
        if state.inputs is not None:
            self._inputs = InputWatch(self._inputs.space, state.inputs)
        self._staged = self._live = None
        staged, live, state.staged, state.live = state.staged, state.live, None, None
        if not self._holdback:
            return
        same = state.holdback in (None, self._holdback) and state.smallest == self._assignment.smallest
        if staged is not None:
            staged = staged if same else replace(staged, evidence=None)
            self._staged = StagedWatch(staged, self._assignment, self._safety)
        if live is not None:
            live = live if same else replace(live, stretches=[], groups=[])
            self._live = LiveWatch(live, self._assignment, self._safety)
        if not same:
            # No serving state says when hosts changed theirs: what was decided before the last window closed did not.
            self._counted_from_ms = self._clock.now_ms or 0
            self._begin_anew()
            self._serving_now.is_missing = True  # without a holdback until now, nothing is watched yet
