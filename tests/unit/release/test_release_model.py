"""Any order of any events: the promises that must hold after each of them."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ol0.errors import SignatureError
from ol0.records import (
    Candidate,
    Digest,
    Gate,
    Judgement,
    Mode,
    OperatorCommand,
    OperatorKind,
    Phase,
    Record,
    ServingState,
    Transition,
    Verdict,
)
from ol0.release.handler import ReleaseHandler
from support.keyrings import keyring, new_keys
from unit.release.lineage import BASE, CONFIG, a_candidate, a_verdict, an_order

MAX_CHECKPOINTS = 3
RING, STRANGER = keyring(new_keys()), keyring(new_keys())


class Release(RuleBasedStateMachine):
    """Throws candidates, verdicts and orders at the handler, right ones, wrong ones and forged ones.

    And it crashes the handler in between. What is not forged is signed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.handler = ReleaseHandler(CONFIG, MAX_CHECKPOINTS, RING)
        self.time_ms = 1
        self.candidates: list[Candidate] = [BASE]
        self.offline: set[tuple[Digest, Gate]] = set()
        self.states: list[ServingState] = []
        self.transitions: list[Transition] = []
        self.banned: set[Digest] = set()

    def give(self, record: Record) -> None:
        was_frozen = self.handler.state.frozen
        stage = self.handler.state.trial.stage if self.handler.state.trial else 0
        thawing = isinstance(record, OperatorCommand) and record.kind is OperatorKind.THAW
        for out in self.handler.handle(RING.sign(record) if isinstance(record, Candidate | Verdict) else record):
            if isinstance(out, ServingState):
                self.check_state(out)
            elif isinstance(out, Transition):
                self.transitions.append(out)
                if out.to_phase is Phase.QUARANTINED:
                    self.banned.add(out.digest)
        now = self.handler.state.trial
        if was_frozen and not thawing and now is not None:
            assert now.stage <= stage, "frozen stages nothing"

    def check_state(self, state: ServingState) -> None:
        if self.states:
            assert state.sequence == self.states[-1].sequence + 1
            assert state.base == self.states[-1].base
            assert state.decided_step >= self.states[-1].decided_step
            assert state.cooldown_until_ms >= self.states[-1].cooldown_until_ms
        self.states.append(state)

    @initialize()
    def base_comes(self) -> None:
        self.give(BASE)

    @rule(data=st.data(), step=st.integers(-1, 2), wait=st.booleans())
    def any_candidate_comes(self, data: st.DataObject, step: int, *, wait: bool) -> None:
        life = self.handler.state
        self.time_ms = max(self.time_ms, life.cooldown_until_ms) if wait else self.time_ms
        parent = data.draw(st.sampled_from([one.digest for one in self.candidates]))
        self.candidate_comes(max(life.decided_step + step, 0), parent)

    @rule(ready=st.booleans())
    def next_candidate_comes(self, *, ready: bool) -> None:
        """As a learner sends it; most of them pass offline, or nothing deep would ever happen."""
        life = self.handler.state
        if life.live is not None:
            self.time_ms = max(self.time_ms, life.cooldown_until_ms)
            self.candidate_comes(max(life.decided_step, life.sealed_step) + 1, life.live.digest)
        if ready:
            self.both_gates_approve()

    def candidate_comes(self, step: int, parent: Digest) -> None:
        candidate = a_candidate(step, parent, self.time_ms)
        self.candidates.append(candidate)
        self.give(candidate)

    @rule(
        data=st.data(),
        gate=st.sampled_from(Gate),
        judgement=st.sampled_from([*Judgement, *[Judgement.APPROVE] * 3]),
        aim=st.booleans(),
    )
    def verdict_comes(self, data: st.DataObject, gate: Gate, judgement: Judgement, *, aim: bool) -> None:
        candidate, stage = data.draw(st.sampled_from(self.candidates)), data.draw(st.integers(0, 3))
        check = data.draw(st.sampled_from(["harm", "undecided"]))
        trial = self.handler.state.trial
        if aim and trial is not None:
            candidate, stage = trial.candidate, trial.stage
        if judgement is Judgement.APPROVE and stage == 0:
            self.offline.add((candidate.digest, gate))
        self.time_ms += 1
        self.give(a_verdict(candidate, gate, judgement, stage=stage, time_ms=self.time_ms, check=check))

    @rule()
    def both_gates_approve(self) -> None:
        trial = self.handler.state.trial
        if trial is not None:
            for gate in Gate:
                if not trial.stage:
                    self.offline.add((trial.candidate.digest, gate))
                self.give(a_verdict(trial.candidate, gate, stage=trial.stage, time_ms=self.time_ms))

    @rule(gate=st.sampled_from(Gate), stage=st.integers(0, 3))
    def a_gate_turns_against_what_is_live(self, gate: Gate, stage: int) -> None:
        live = self.handler.state.live
        known = [one for one in self.candidates if live is not None and one.digest == live.digest]
        if known:
            self.give(a_verdict(known[0], gate, Judgement.ROLLBACK, stage=stage, time_ms=self.time_ms))

    @rule(data=st.data(), kind=st.sampled_from([*OperatorKind, *[OperatorKind.THAW] * 4]), mode=st.sampled_from(Mode))
    def order_comes(self, data: st.DataObject, kind: OperatorKind, mode: Mode) -> None:
        life = self.handler.state
        near = [one.digest for one in (*life.former(), life.live) if one is not None]
        digest = data.draw(st.sampled_from(near * 3 + [one.digest for one in self.candidates]))
        self.give(an_order(kind, mode.value if kind is OperatorKind.MODE else digest, self.time_ms))

    @rule(data=st.data(), gate=st.sampled_from(Gate), judgement=st.sampled_from(Judgement), theirs=st.booleans())
    def somebody_forges(self, data: st.DataObject, gate: Gate, judgement: Judgement, *, theirs: bool) -> None:
        """The next candidate, a copy of a genuine one, or what a gate may say: unsigned, signed by a stranger, changed.

        Nothing of the state moves: so no genuine record can fare otherwise than without it.
        """
        life = self.handler.state
        known = data.draw(st.sampled_from(self.candidates))
        parent = BASE.digest if life.live is None else life.live.digest
        coming = a_candidate(max(life.decided_step, life.sealed_step) + 1, parent, life.cooldown_until_ms + 1)
        trial = known if life.trial is None else life.trial.candidate
        stage = 0 if life.trial is None else life.trial.stage
        unsigned: list[Candidate | Verdict] = [known, coming, a_verdict(trial, gate, judgement, stage=stage)]
        forged = data.draw(st.sampled_from(unsigned))
        if theirs:
            forged = STRANGER.sign(forged)
        elif isinstance(forged, Candidate):
            forged = data.draw(st.sampled_from([forged, replace(RING.sign(forged), heads=b"other heads")]))
        with pytest.raises(SignatureError):
            self.handler.handle(forged)
        assert self.handler.state is life

    @rule()
    def process_dies(self) -> None:
        body = self.handler.snapshot()
        self.handler = ReleaseHandler(CONFIG, MAX_CHECKPOINTS, RING)
        self.handler.restore(body)
        assert self.handler.snapshot() == body

    @invariant()
    def what_serves_was_approved_by_both_gates(self) -> None:
        for release in self.serving():
            assert {(release, gate) for gate in Gate} <= self.offline

    @invariant()
    def approvals_in_the_state_are_for_that_digest(self) -> None:
        for state in self.states[-1:]:
            staged = [state.staged.release] if state.staged else []
            for release in (state.base, state.live, *staged):
                assert {one.gate for one in release.approvals} == set(Gate)
                assert all(one.digest == release.digest for one in release.approvals)
                assert all(one.judgement is Judgement.APPROVE for one in release.approvals)

    @invariant()
    def the_quarantined_never_serve_again(self) -> None:
        assert not self.banned & set(self.serving())
        assert self.banned == set(self.handler.state.quarantined)
        assert not self.banned & {one.digest for one in self.handler.state.history}

    @invariant()
    def the_parent_of_what_is_staged_is_live(self) -> None:
        trial = self.handler.state.trial
        if self.states and trial is not None and trial.candidate.step:
            assert trial.candidate.parent == self.states[-1].live.digest
            assert trial.candidate.step > self.states[-1].decided_step

    @invariant()
    def the_last_state_is_what_the_handler_holds(self) -> None:
        life = self.handler.state
        assert life.sequence == len(self.states)
        if self.states:
            last, trial = self.states[-1], life.trial
            assert (last.live, last.mode, last.frozen) == (life.live, life.mode, life.frozen)
            staged = trial.candidate.digest if trial and trial.stage else None
            assert (last.staged.release.digest if last.staged else None) == staged
            assert last.frozen or last.failures < CONFIG.max_consecutive_failures

    @invariant()
    def the_history_is_bounded_and_sorted(self) -> None:
        life = self.handler.state
        steps = [one.step for one in life.history]
        assert steps == sorted(set(steps))
        assert len(steps) <= MAX_CHECKPOINTS - 1
        present = {one.digest for one in (life.base, life.live) if one is not None}
        assert not present & {one.digest for one in life.history}

    @invariant()
    def phases_follow_each_other(self) -> None:
        before: dict[Digest, Phase] = {}
        for one in self.transitions:
            if one.from_phase is not None:
                assert before[one.digest] is one.from_phase
            assert one.cause
            if one.from_phase is not None or one.to_phase is Phase.OFFERED:
                before[one.digest] = one.to_phase

    def serving(self) -> list[Digest]:
        if not self.states:
            return []
        state = self.states[-1]
        staged = [state.staged.release.digest] if state.staged else []
        return [state.base.digest, state.live.digest, *staged]


TestRelease = Release.TestCase
TestRelease.settings = settings(
    max_examples=40,
    stateful_step_count=30,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
