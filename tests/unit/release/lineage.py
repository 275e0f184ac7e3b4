"""A small lineage: real checkpoints of four features and two choices, and the records about them."""

import numpy as np

from ol0.config import SafetyConfig, StageConfig
from ol0.controller.checkpoint import digest_of, write_checkpoint
from ol0.controller.controller import Manifest
from ol0.controller.heads import Head, Mixer
from ol0.records import Candidate, Digest, Gate, Judgement, OperatorCommand, OperatorKind, Reason, Verdict
from ol0.release.handler import ReleaseHandler

D, K = 4, 2
BASE_HEAD = Head(np.eye(K, D, dtype=np.float32), np.zeros(K, np.float32))
CONFIG = SafetyConfig(
    stages=(StageConfig(share=0.05, harm_only=True), StageConfig(share=0.25)),
    cooldown_s=1.0,
    max_consecutive_failures=3,
)
LIVE_STAGE = 3


def checkpoint(base: Digest | None, parent: Digest | None, step: int, seed: float = 0.0) -> bytes:
    learnt = Head(BASE_HEAD.weight + np.float32(step + seed), BASE_HEAD.bias)
    manifest = Manifest(base, parent, step, ("expert",), 0.1)
    return write_checkpoint(manifest, (BASE_HEAD,), (learnt,), Mixer.closed(D))


def a_base(time_ms: int = 1) -> Candidate:
    heads = checkpoint(None, None, 0)
    digest = digest_of(heads)
    return Candidate(digest, digest, digest, 0, time_ms, heads, {})


BASE = a_base()


def a_candidate(step: int, parent: Digest, time_ms: int, seed: float = 0.0) -> Candidate:
    heads = checkpoint(BASE.digest, parent, step, seed)
    return Candidate(digest_of(heads), parent, BASE.digest, step, time_ms, heads, {})


def a_verdict(
    candidate: Candidate,
    gate: Gate,
    judgement: Judgement = Judgement.APPROVE,
    *,
    stage: int = 0,
    time_ms: int = 1,
    check: str = "harm",
) -> Verdict:
    reason = Reason(check, -0.031, -0.004, 0.0, "loses")
    about = (candidate.digest, candidate.base, candidate.parent)
    return Verdict(*about, stage, None, gate, judgement, (reason,), 812, time_ms)


def an_order(kind: OperatorKind, value: str | None = None, time_ms: int = 1) -> OperatorCommand:
    return OperatorCommand(kind, value, "ann", "looks odd", time_ms)


class Lineage:
    """A handler with a base, and short words for what happens to it."""

    def __init__(self, config: SafetyConfig = CONFIG, max_checkpoints: int = 10) -> None:
        self.handler = ReleaseHandler(config, max_checkpoints)
        self.time_ms = 1
        self.offer(BASE)
        self.approve(BASE)

    def offer(self, candidate: Candidate) -> None:
        self.handler.handle(candidate)

    def approve(self, candidate: Candidate) -> None:
        for gate in Gate:
            self.handler.handle(a_verdict(candidate, gate, time_ms=self.time_ms))

    def judge(self, candidate: Candidate, gate: Gate, judgement: Judgement, stage: int, check: str = "harm") -> None:
        self.handler.handle(a_verdict(candidate, gate, judgement, stage=stage, time_ms=self.time_ms, check=check))

    def next_candidate(self, seed: float = 0.0) -> Candidate:
        """Offered after the cooldown, to whatever is live."""
        life = self.handler.state
        self.time_ms = max(self.time_ms, life.cooldown_until_ms) + 1
        assert life.live is not None
        candidate = a_candidate(life.decided_step + 1, life.live.digest, self.time_ms, seed)
        self.offer(candidate)
        return candidate

    def staged(self, seed: float = 0.0) -> Candidate:
        candidate = self.next_candidate(seed)
        self.approve(candidate)
        return candidate

    def released(self, seed: float = 0.0) -> Candidate:
        candidate = self.staged(seed)
        for stage in (1, 2):
            self.judge(candidate, Gate.CANARY, Judgement.APPROVE, stage)
        return candidate
