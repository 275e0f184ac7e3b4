"""One record of each kind, small and right, for tests to vary with ``dataclasses.replace``."""

from hashlib import sha256

import numpy as np

from ol0.records import (
    Arm,
    Candidate,
    Chunk,
    Decision,
    DecisionId,
    Digest,
    FeaturesDtype,
    Gate,
    ImplicitFeedback,
    ImplicitKind,
    Judgement,
    Mode,
    OperatorCommand,
    OperatorKind,
    Outcome,
    Phase,
    Reason,
    Record,
    Release,
    RewardParts,
    ServingState,
    Snapshot,
    Staged,
    Tick,
    ToolFeedback,
    Transition,
    UserFeedback,
    Verdict,
)

DECISION_ID = DecisionId("0b5f8c1e-6a0d-4d53-9c1b-2f6f6a1f0e01")
TIME_MS = 1_700_000_000_000
BASE, LIVE, STAGED = Digest("a" * 64), Digest("b" * 64), Digest("c" * 64)

DECISION = Decision(
    decision_id=DECISION_ID,
    session_id="session-1",
    turn=2,
    user="5f2b9c",
    time_ms=TIME_MS,
    digest=LIVE,
    arm=Arm.LIVE,
    staged=STAGED,
    serving_sequence=7,
    features=np.array([0.5, -1.25, 3.0], "<f4").tobytes(),
    features_dtype=FeaturesDtype.FLOAT32,
    action=(3, 0),
    propensity=(0.91, 0.05),
    greedy_base=(2, 0),
    greedy_live=(3, 1),
    greedy_staged=(3, 0),
    group="code",
)
USER_FEEDBACK = UserFeedback("feedback-1", DECISION_ID, "session-1", "5f2b9c", TIME_MS + 1, 1, 4, (2, 0))
TOOL_FEEDBACK = ToolFeedback(
    feedback_id="feedback-2",
    decision_id=DECISION_ID,
    session_id="session-1",
    source="runner",
    time_ms=TIME_MS + 2,
    tool="pytest",
    success=False,
    latency_ms=12.5,
    error_class="Timeout",
)
IMPLICIT_FEEDBACK = ImplicitFeedback(
    "feedback-3", DECISION_ID, "session-1", "editor", TIME_MS + 3, ImplicitKind.RETRY, 0.75
)
OUTCOME = Outcome(
    decision_id=DECISION_ID,
    sequence=41,
    session_id="session-1",
    user="5f2b9c",
    time_ms=TIME_MS,
    digest=LIVE,
    arm=Arm.LIVE,
    staged=STAGED,
    serving_sequence=7,
    action=(3, 0),
    propensity=(0.91, 0.05),
    greedy_base=(2, 0),
    greedy_live=(3, 1),
    greedy_staged=(3, 0),
    reward=0.625,
    parts=RewardParts(thumb=1.0, rating=0.75, correction=0.0, tool=None, implicit=None),
    group="code",
    window_end_ms=TIME_MS + 600_000,
)
CANDIDATE = Candidate(STAGED, LIVE, BASE, 12, TIME_MS, b"heads of c", {"kl": 0.01, "steps": 8.0}, b"signed")
VERDICT = Verdict(
    digest=STAGED,
    base=BASE,
    parent=LIVE,
    stage=1,
    suite_digest=Digest("d" * 64),
    gate=Gate.DRIFT,
    judgement=Judgement.APPROVE,
    reasons=(
        Reason("mean KL", 0.02, None, 0.1, "mean KL .02 is below .1"),
        Reason("harm", None, -0.01, -0.02, "no harm is left to rule out"),
    ),
    evidence=320,
    time_ms=TIME_MS,
    signature=None,
)
SERVING_STATE = ServingState(
    sequence=7,
    time_ms=TIME_MS,
    mode=Mode.APPLY,
    frozen=False,
    base=Release(BASE, 0, b"heads of a", ()),
    live=Release(LIVE, 9, b"heads of b", (VERDICT,)),
    staged=Staged(Release(STAGED, 12, b"heads of c", (VERDICT,)), 0.05, 1),
    decided_step=11,
    cooldown_until_ms=TIME_MS,
    failures=1,
)
TRANSITION = Transition(STAGED, Phase.OFFERED, Phase.STAGED, "both gates approved", TIME_MS, 7, 12)
OPERATOR_COMMAND = OperatorCommand(OperatorKind.FORGET, "5f2b9c", "ana", "asked for it", TIME_MS)
SNAPSHOT = Snapshot("drift", TIME_MS, b"\x00state\xff")
CHUNK = Chunk(Digest(sha256(b"tensors").hexdigest()), b"tensors")
TICK = Tick(TIME_MS)

EXAMPLES: tuple[Record, ...] = (
    DECISION,
    USER_FEEDBACK,
    TOOL_FEEDBACK,
    IMPLICIT_FEEDBACK,
    TICK,
    OUTCOME,
    CANDIDATE,
    VERDICT,
    SERVING_STATE,
    TRANSITION,
    OPERATOR_COMMAND,
    SNAPSHOT,
    CHUNK,
)
