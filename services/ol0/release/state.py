"""What release knows: who serves, who is on trial, who served before, and who never may again."""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from pydantic import ConfigDict

from ol0.config import SafetyConfig
from ol0.controller.chunks import chunks_of
from ol0.records import (
    Candidate,
    Digest,
    Gate,
    Mode,
    OperatorCommand,
    Phase,
    Reason,
    Release,
    ServingState,
    Staged,
    Verdict,
    brief,
)

HISTORY_BYTES = 5_000_000
"""Of the records' heads in the history: five of the largest that are whole in them, or all that ``max_checkpoints``
allows of small ones and of references. A snapshot has 17 MB at most, in parts, once for every change of what serves."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The numbers of the state machine.

    Attributes:
        shares: share of the sessions at stage 1, 2 and so on.
        cooldown_ms: event time after a verdict during which no candidate is taken.
        max_failures: failures in a row that freeze.
        history: releases that are kept to go back to, besides the live one and the base.
    """

    shares: tuple[float, ...]
    cooldown_ms: int
    max_failures: int
    history: int

    @classmethod
    def of(cls, config: SafetyConfig, max_checkpoints: int) -> Self:
        """The rules of a config; the live release is one of ``max_checkpoints``."""
        return cls(
            shares=tuple(stage.share for stage in config.stages),
            cooldown_ms=round(config.cooldown_s * 1000),
            max_failures=config.max_consecutive_failures,
            history=max_checkpoints - 1,
        )


@dataclass(frozen=True, slots=True)
class Trial:
    """The one outstanding candidate.

    Attributes:
        candidate: as the learner sent it.
        stage: 0 while it is offered, then the number of its share.
        approvals: the newest approval of each gate.
        share: of the sessions, at this stage, as it was when the stage began. Other settings hold from the next stage
            on: who judges this one has counted under its share. None: offered, or staged by a release service that did
            not note it.
    """

    candidate: Candidate
    stage: int
    approvals: tuple[Verdict, ...] = ()
    share: float | None = None

    @property
    def phase(self) -> Phase:
        """Offered or staged."""
        return Phase.STAGED if self.stage else Phase.OFFERED

    @property
    def release(self) -> Release:
        """The candidate in the form of the serving state."""
        return Release(self.candidate.digest, self.candidate.step, self.candidate.heads, self.approvals)

    def approval(self, gate: Gate) -> Verdict | None:
        """What this gate last approved."""
        return next((verdict for verdict in self.approvals if verdict.gate is gate), None)

    def approved(self, verdict: Verdict) -> Self:
        """The trial with one more approval, in the order of the gates."""
        newest = {known.gate: known for known in self.approvals} | {verdict.gate: verdict}
        return replace(self, approvals=tuple(newest[gate] for gate in Gate if gate in newest))


@dataclass(frozen=True, slots=True)
class Refusal:
    """An operator's order that could not be carried out: `ol0 status` shows the last one."""

    order: str
    actor: str
    reason: str
    time_ms: int


@dataclass(frozen=True, slots=True)
class ReleaseState:
    """The whole state of the service.

    Attributes:
        sequence: of the last serving state; 0 before there is a base.
        time_ms: event time of that state.
        history: former releases by rising step, without base and live.
        quarantined: digests that never serve again.
        early: offline verdicts that came before their candidate; they travel on another topic.
        sealed_step: largest step that was turned away while another candidate is outstanding. It is published with
            that one's fate, because a gate takes a step at or below ``decided_step`` for settled.
        The other fields are those of ``ServingState``; ``trial`` is its ``staged`` and what is offered.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(
        ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="constants"
    )

    sequence: int = 0
    time_ms: int = 0
    mode: Mode = Mode.APPLY
    frozen: bool = False
    base: Release | None = None
    live: Release | None = None
    trial: Trial | None = None
    history: tuple[Release, ...] = ()
    quarantined: tuple[Digest, ...] = ()
    early: tuple[Verdict, ...] = ()
    decided_step: int = -1
    sealed_step: int = -1
    cooldown_until_ms: int = 0
    failures: int = 0
    refused: Refusal | None = None

    def former(self) -> tuple[Release, ...]:
        """Base and history: what can be made live again."""
        return self.history if self.base is None else (self.base, *self.history)

    def chunks(self) -> set[Digest]:
        """Everything in ``tensors`` that what serves, is on trial or can be made live again consists of."""
        trial = [] if self.trial is None else [self.trial.candidate.heads]
        releases = [release.heads for release in (*self.former(), self.live) if release is not None]
        return {chunk for heads in (*releases, *trial) for chunk in chunks_of(heads)}

    def known(self) -> set[Digest]:
        """Everything that an order may name: what serves, is on trial, served before, or never may again."""
        trial = [] if self.trial is None else [self.trial.candidate]
        releases = [release for release in (*self.former(), self.live, *trial) if release is not None]
        return {release.digest for release in releases} | set(self.quarantined)


@dataclass(frozen=True, slots=True)
class Move:
    """One step in the state of one checkpoint; the handler makes a Transition of it."""

    digest: Digest
    step: int
    from_phase: Phase | None
    to_phase: Phase
    cause: str


Step = tuple[ReleaseState, tuple[Move, ...]]
"""What every rule returns: the state after it, and who moved."""


def serving_state(state: ReleaseState, rules: Rules) -> ServingState | None:
    """What the SDK is to serve; None before there is a base."""
    if state.base is None or state.live is None:
        return None
    staged = None
    if state.trial is not None and state.trial.stage:
        trial = state.trial
        share = rules.shares[trial.stage - 1] if trial.share is None else trial.share
        staged = Staged(trial.release, share, trial.stage)
    return ServingState(
        sequence=state.sequence,
        time_ms=state.time_ms,
        mode=state.mode,
        frozen=state.frozen,
        base=state.base,
        live=state.live,
        staged=staged,
        decided_step=state.decided_step,
        cooldown_until_ms=state.cooldown_until_ms,
        failures=state.failures,
    )


def verdict_cause(verdict: Verdict) -> str:
    """As in "canary says reject at stage 1 on 812: harm -0.031 (bound -0.004, threshold 0): ..."."""
    reasons = "; ".join(map(_reason, verdict.reasons)) or "no reason given"
    return f"{verdict_head(verdict)}: {reasons}"


def verdict_head(verdict: Verdict) -> str:
    """As in "canary says reject at stage 1 on 812"."""
    return f"{verdict.gate} says {verdict.judgement} at stage {verdict.stage} on {verdict.evidence}"


def order_cause(command: OperatorCommand) -> str:
    """Who ordered what, and why."""
    value = f" {brief(command.value)}" if command.value else ""
    return f"{command.actor} ordered {command.kind}{value}: {command.reason}"


def _reason(reason: Reason) -> str:
    sides = (("bound", reason.bound), ("threshold", reason.threshold))
    around = ", ".join(f"{name} {value:.4g}" for name, value in sides if value is not None)
    figure = "" if reason.figure is None else f" {reason.figure:.4g}"
    return f"{reason.check}{figure}{f' ({around})' if around else ''}: {reason.text}"
