"""The records that travel between processes: one frozen dataclass per schema in ``schemas/``, same names, same order.

A contract test holds the two against each other. All times are event times in milliseconds since 1970 UTC, all
digests are SHA-256 as 64 hexadecimal characters, all actions hold one index per part in the order of the
checkpoint's parts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple, NewType, Self

import numpy as np
from numpy.typing import NDArray

Digest = NewType("Digest", str)
DecisionId = NewType("DecisionId", str)
Action = tuple[int, ...]


def short(digest: str) -> str:
    """8 characters of a digest or an id, for screens: they tell those of one lineage apart."""
    return digest[:8]


def brief(digest: str) -> str:
    """12 characters of a digest, for messages: a log holds those of several lineages."""
    return digest[:12]


class Partition(NamedTuple):
    """One partition of a topic, by the topic's full name."""

    topic: str
    number: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.number}]"

    @classmethod
    def parse(cls, name: str) -> Self:
        """The inverse of ``str``: how the store names partitions."""
        topic, _, number = name.removesuffix("]").rpartition("[")
        return cls(topic, int(number))


class Arm(StrEnum):
    """Who serves a session. Holdback always gets the base."""

    LIVE = "live"
    STAGED = "staged"
    HOLDBACK = "holdback"


class FeaturesDtype(StrEnum):
    """Type of each little-endian number in a decision's features."""

    FLOAT16 = "float16"
    FLOAT32 = "float32"


FEATURE_BYTES: Final = {dtype: np.dtype(dtype.value).itemsize for dtype in FeaturesDtype}


class ImplicitKind(StrEnum):
    """A sign in the user's behaviour: copy speaks for the answer, retry and abandonment against it."""

    COPY = "copy"
    RETRY = "retry"
    ABANDONMENT = "abandonment"


class Gate(StrEnum):
    """The two services whose approval a checkpoint needs."""

    CANARY = "canary"
    DRIFT = "drift"


class Judgement(StrEnum):
    """What a gate says. ``hold`` changes nothing: evidence is missing."""

    APPROVE = "approve"
    REJECT = "reject"
    ROLLBACK = "rollback"
    HOLD = "hold"


class Mode(StrEnum):
    """``apply`` serves what is live; ``observe`` serves the base and logs; ``off`` serves the base and logs nothing."""

    OFF = "off"
    OBSERVE = "observe"
    APPLY = "apply"


class Phase(StrEnum):
    """The phase in a checkpoint's life."""

    OFFERED = "offered"
    STAGED = "staged"
    LIVE = "live"
    SUPERSEDED = "superseded"
    REJECTED = "rejected"
    QUARANTINED = "quarantined"


class OperatorKind(StrEnum):
    """What a person may order."""

    MODE = "mode"
    FREEZE = "freeze"
    THAW = "thaw"
    PIN = "pin"
    ROLLBACK = "rollback"
    FORGET = "forget"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One routing choice, as it was made. Its outcome begins with the same fields, so with the same bytes."""

    decision_id: DecisionId
    session_id: str
    user: str | None
    time_ms: int
    digest: Digest
    arm: Arm
    staged: Digest | None
    serving_sequence: int
    action: Action
    propensity: tuple[float, ...]
    greedy_base: Action | None = None
    greedy_live: Action | None = None
    greedy_staged: Action | None = None
    group: str | None = None
    turn: int
    features_dtype: FeaturesDtype
    features: bytes

    def feature_vector(self) -> NDArray[np.float32]:
        """The features as float32, shape (D,)."""
        return np.frombuffer(self.features, np.dtype(self.features_dtype.value).newbyteorder("<")).astype(np.float32)


@dataclass(frozen=True, slots=True)
class UserFeedback:
    """A person's feedback on one decision. At least one of thumb, rating and correction is set."""

    feedback_id: str
    decision_id: DecisionId
    session_id: str
    source: str
    time_ms: int
    thumb: int | None = None
    rating: int | None = None
    correction: Action | None = None


@dataclass(frozen=True, slots=True)
class ToolFeedback:
    """The result of a tool call that the decision caused."""

    feedback_id: str
    decision_id: DecisionId
    session_id: str
    source: str
    time_ms: int
    tool: str
    success: bool
    latency_ms: float | None = None
    error_class: str | None = None


@dataclass(frozen=True, slots=True)
class ImplicitFeedback:
    """A sign in the behaviour of the user; strength from 0 (none) to 1 (certain)."""

    feedback_id: str
    decision_id: DecisionId
    session_id: str
    source: str
    time_ms: int
    kind: ImplicitKind
    strength: float


Feedback = UserFeedback | ToolFeedback | ImplicitFeedback


@dataclass(frozen=True, slots=True)
class Tick:
    """Carries only time. None: the broker's append time is the time."""

    time_ms: int | None = None


@dataclass(frozen=True, slots=True)
class RewardParts:
    """The reward of each source, scaled to 0..1; None without feedback from it."""

    thumb: float | None = None
    rating: float | None = None
    correction: float | None = None
    tool: float | None = None
    implicit: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of a decision when its feedback window closed. Reward 0..1, None without feedback."""

    decision_id: DecisionId
    session_id: str
    user: str | None
    time_ms: int
    digest: Digest
    arm: Arm
    staged: Digest | None
    serving_sequence: int
    action: Action
    propensity: tuple[float, ...]
    greedy_base: Action | None
    greedy_live: Action | None
    greedy_staged: Action | None
    group: str | None
    sequence: int
    reward: float | None
    parts: RewardParts
    window_end_ms: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """A checkpoint that asks to serve. Step 0 is the base, whose parent and base are itself."""

    digest: Digest
    parent: Digest
    base: Digest
    step: int
    time_ms: int
    heads: bytes
    summary: Mapping[str, float]
    signature: bytes | None = None


class Check(StrEnum):
    """Names of the checks that code looks for in the reasons of a verdict; ``Reason.check`` may hold others."""

    # of both gates
    CHECKPOINT = "checkpoint"
    WAITING = "waiting"
    SAMPLE_RATIO = "sample_ratio"
    GROUP_HARM = "group_harm"
    # of the canary, offline
    BASE = "base"
    PARENT = "parent"
    SUITE_PASS = "suite_pass"  # noqa: S105 - the share of the suite that passes
    SUITE_BASE = "suite_base"
    SUITE_PARENT = "suite_parent"
    CRITICAL = "critical"
    # of the canary, on sessions
    HARM = "harm"
    NO_HARM = "no_harm"
    STAGED_LIVE = "staged_live"
    STAGED_HOLDBACK = "staged_holdback"
    SUSPICION = "suspicion"
    MISSING = "missing"  # figure: sessions that an approval still needs, about
    SINCE = "since"  # figure: decisions of the stage so far; decides nothing before the stage ends
    UNDECIDED = "undecided"  # no harm was shown: the candidate does not count as a failure
    SHARES = "shares"
    # of drift
    STRUCTURE = "structure"
    HARM_TO_BASE = "harm_to_base"
    LOST_LIFT = "lost_lift"
    INPUTS_AWAY = "inputs"  # prompts do not look like the anchors, from the verdict's time on
    INPUTS_BACK = "inputs_back"  # they look like them again


DIFFERENCES: Final[frozenset[str]] = frozenset(
    {
        Check.HARM,
        Check.GROUP_HARM,
        Check.SUITE_BASE,
        Check.SUITE_PARENT,
        Check.STAGED_LIVE,
        Check.STAGED_HOLDBACK,
        Check.HARM_TO_BASE,
        Check.LOST_LIFT,
    }
)
"""Checks whose figure is a difference of two rates, and so in points."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One check of a verdict: the figure, its confidence bound, what it was held against, and the same in words."""

    check: str
    figure: float | None
    bound: float | None
    threshold: float | None
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a gate says of one checkpoint at one stage: 0 offline, 1..n the staged shares in order, n + 1 live."""

    digest: Digest
    base: Digest
    parent: Digest
    stage: int
    suite_digest: Digest | None
    gate: Gate
    judgement: Judgement
    reasons: tuple[Reason, ...]
    evidence: int
    time_ms: int
    signature: bytes | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """A checkpoint that may serve, with the approving verdicts of both gates."""

    digest: Digest
    step: int
    heads: bytes
    approvals: tuple[Verdict, ...]


@dataclass(frozen=True, slots=True)
class Staged:
    """The candidate on trial: its share of all sessions, and the number of its stage (1 is the first)."""

    release: Release
    share: float
    stage: int


@dataclass(frozen=True, slots=True)
class ServingState:
    """The complete serving state: a reader needs only the newest one."""

    sequence: int
    time_ms: int
    mode: Mode
    frozen: bool
    base: Release
    live: Release
    staged: Staged | None
    decided_step: int
    cooldown_until_ms: int
    failures: int


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of a checkpoint's phase, with its cause."""

    digest: Digest
    from_phase: Phase | None
    to_phase: Phase
    cause: str
    time_ms: int
    serving_sequence: int
    step: int


@dataclass(frozen=True, slots=True)
class OperatorCommand:
    """What a person orders; value is a mode, a digest or a pseudonym, where the order needs one."""

    kind: OperatorKind
    value: str | None
    actor: str
    reason: str
    time_ms: int


CHUNK_BYTES: Final = 900_000
"""With its envelope a chunk stays below the 1 MiB that brokers take by default."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of the tensors of checkpoints, named by its SHA-256. One without data deletes what was there before."""

    digest: Digest
    data: bytes


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of one service, written in the transaction that made it true."""

    service: str
    time_ms: int
    body: bytes


Record = (
    Decision
    | UserFeedback
    | ToolFeedback
    | ImplicitFeedback
    | Tick
    | Outcome
    | Candidate
    | Verdict
    | ServingState
    | Transition
    | OperatorCommand
    | Snapshot
    | Chunk
)
