"""Serving states of a small lineage: three parts' worth of nothing but what the SDK looks at."""

from random import Random

import numpy as np

from ol0.config import ServingConfig
from ol0.controller.checkpoint import digest_of, write_checkpoint
from ol0.controller.controller import Manifest
from ol0.controller.heads import Head, Mixer
from ol0.errors import ContractError
from ol0.kafka.sending.producer_thread import FULL, Account
from ol0.records import Decision, Digest, Gate, Judgement, Mode, Reason, Record, Release, ServingState, Staged, Verdict
from ol0.sdk.options import Options
from ol0.sdk.router import Router
from ol0.sdk.view import view_of_state

D = 6
PARTS = (("expert", 4), ("scope", 3))
RNG = np.random.default_rng(5)
BASE_HEADS = tuple(
    Head(RNG.normal(size=(k, D)).astype(np.float32), RNG.normal(size=k).astype(np.float32)) for _, k in PARTS
)
EPSILON = 0.2
NOW_MS = 1_700_000_000_000


def checkpoint(base: Digest | None, parent: Digest | None, step: int, epsilon: float = EPSILON) -> bytes:
    rng = np.random.default_rng(step)
    learnt = tuple(Head(rng.normal(size=(k, D)).astype(np.float32), np.zeros(k, np.float32)) for _, k in PARTS)
    mixer = Mixer(rng.normal(size=D).astype(np.float32), 0.1)
    manifest = Manifest(base, parent, step, tuple(name for name, _ in PARTS), epsilon)
    return write_checkpoint(manifest, BASE_HEADS, learnt if step else BASE_HEADS, mixer)


def a_release(base: Digest | None, parent: Digest | None, step: int, epsilon: float = EPSILON) -> Release:
    heads = checkpoint(base, parent, step, epsilon)
    digest = digest_of(heads)
    reasons = (Reason("suite", 0.0, None, None, "passes"),)
    approvals = tuple(
        Verdict(digest, base or digest, parent or digest, 0, None, gate, Judgement.APPROVE, reasons, 1, NOW_MS)
        for gate in Gate
    )
    return Release(digest, step, heads, approvals)


BASE = a_release(None, None, 0)
LIVE = a_release(BASE.digest, BASE.digest, 1)
STAGED = a_release(BASE.digest, LIVE.digest, 2)


def a_state(
    sequence: int = 1, live: Release = LIVE, staged: Release | None = None, mode: Mode = Mode.APPLY, share: float = 0.3
) -> ServingState:
    trial = None if staged is None else Staged(staged, share, 1)
    return ServingState(
        sequence=sequence,
        time_ms=NOW_MS,
        mode=mode,
        frozen=False,
        base=BASE,
        live=live,
        staged=trial,
        decided_step=1,
        cooldown_until_ms=0,
        failures=0,
    )


class Log:
    """Keeps what is sent; ``room`` bounds it, as librdkafka's queue is bounded."""

    def __init__(self, room: int = 10**9) -> None:
        self.records: list[Record] = []
        self.room = room
        self.account = Account()
        self.closed = False

    def send(self, record: Record) -> bool:
        if not getattr(record, "session_id", "x"):
            raise ContractError("session_id is empty")
        if len(self.records) >= self.room:
            self._count(lost=1)
            return False
        self.records.append(record)
        self._count(lost=0)
        return True

    def close(self, timeout_s: float) -> None:
        self.closed = timeout_s > 0

    def _count(self, lost: int) -> None:
        delivered, dropped = len(self.records), self.account.dropped + lost
        self.account = Account(delivered + dropped, delivered, {FULL: dropped})

    @property
    def decisions(self) -> list[Decision]:
        return [record for record in self.records if isinstance(record, Decision)]


def a_router(state: ServingState, log: Log | None = None, holdback: float = 0.25, seed: int = 1) -> Router:
    config = ServingConfig(holdback=holdback)
    return Router(view_of_state(state), config, Options(rng=Random(seed), clock=lambda: NOW_MS), log)


def features(count: int, seed: int = 7) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.random.default_rng(seed).normal(size=(count, D)).astype(np.float32)
