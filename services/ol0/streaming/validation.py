"""What a well-formed record may hold: the checks that belong to the contract and need no configuration."""

import math
import re
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from ol0.errors import RangeError
from ol0.records import (
    Action,
    Candidate,
    Decision,
    FeaturesDtype,
    ImplicitFeedback,
    OperatorCommand,
    Outcome,
    Record,
    ServingState,
    Snapshot,
    Tick,
    ToolFeedback,
    Transition,
    UserFeedback,
    Verdict,
)

CANONICAL_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
NUMBERS: Final[Mapping[FeaturesDtype, np.dtype[np.float16 | np.float32]]] = {
    FeaturesDtype.FLOAT16: np.dtype("<f2"),
    FeaturesDtype.FLOAT32: np.dtype("<f4"),
}
MAX_FEEDBACK_ID: Final = 200
"""Characters: an id is a key of the store, and whoever sends feedback chooses it."""
MAX_RATING: Final = 5
MAX_HEADS_BYTES: Final = 900 * 1024
"""A candidate has to fit into a message of 1 MiB with its summary and signature."""


def validate(record: Record) -> None:
    """Checks one record.

    Raises:
        RangeError: a value may not be; says which field, what was found and what is right.
    """
    CHECKS[type(record)](record)


def _decision(record: Decision) -> None:
    _choice(record)
    _features(record.features, record.features_dtype)


def _outcome(record: Outcome) -> None:
    _choice(record)
    parts = record.parts
    for share in (record.reward, parts.thumb, parts.rating, parts.correction, parts.tool, parts.implicit):
        if share is not None:
            _share("reward and its parts", share)


def _choice(record: Decision | Outcome) -> None:
    """What a decision and its outcome share: identity, time, action and its propensity."""
    _identity(record.decision_id)
    _time(record.time_ms)
    if not record.action or len(record.propensity) != len(record.action):
        parts = f"{len(record.propensity)} for an action of {len(record.action)} parts"
        raise RangeError(f"propensity: {parts}; every part of an action has one, and an action at least one part")
    for propensity in record.propensity:
        if not 0 < propensity <= 1:  # false for NaN as well
            raise RangeError(f"propensity: {propensity}; a probability of what was done is above 0 and at most 1")
    _action(record.action, len(record.action))
    for greedy in (record.greedy_base, record.greedy_live, record.greedy_staged):
        if greedy is not None and greedy != record.action:  # mostly it is what was done, which is checked
            _action(greedy, len(record.action))


def _feedback(record: UserFeedback | ToolFeedback | ImplicitFeedback) -> None:
    """What all feedback shares: identity and time."""
    if not 0 < len(record.feedback_id) <= MAX_FEEDBACK_ID:
        raise RangeError(f"feedback_id: {len(record.feedback_id)} characters; 1 to {MAX_FEEDBACK_ID} are right")
    _identity(record.decision_id)
    _time(record.time_ms)


def _user_feedback(record: UserFeedback) -> None:
    _feedback(record)
    if record.thumb is None and record.rating is None and record.correction is None:
        raise RangeError("thumb, rating and correction are all missing: feedback of a user says at least one of them")
    if record.thumb not in (None, -1, 1):
        raise RangeError(f"thumb: {record.thumb}; +1 or -1 are right")
    if record.rating is not None and not 1 <= record.rating <= MAX_RATING:
        raise RangeError(f"rating: {record.rating}; 1 to {MAX_RATING} are right")
    if record.correction is not None:
        if not record.correction:
            raise RangeError("correction: empty; it names one index per part of the action")
        _action(record.correction, len(record.correction))


def _tool_feedback(record: ToolFeedback) -> None:
    _feedback(record)
    latency_ms = record.latency_ms
    if latency_ms is not None and not 0 <= latency_ms < math.inf:  # true for NaN as well
        raise RangeError(f"latency_ms: {latency_ms}; a finite number of 0 or more is right")


def _implicit_feedback(record: ImplicitFeedback) -> None:
    _feedback(record)
    _share("strength", record.strength)


def _candidate(record: Candidate) -> None:
    _time(record.time_ms)
    if len(record.heads) > MAX_HEADS_BYTES:
        raise RangeError(f"heads: {len(record.heads)} bytes; {MAX_HEADS_BYTES} at most")


def _serving_state(record: ServingState) -> None:
    _share("staged.share", record.staged.share if record.staged else None)
    _time(record.time_ms)


def _tick(record: Tick) -> None:
    if record.time_ms is not None:
        _time(record.time_ms)


def _dated(record: Verdict | Transition | OperatorCommand | Snapshot) -> None:
    _time(record.time_ms)


def _features(features: bytes, dtype: FeaturesDtype) -> None:
    number = NUMBERS[dtype]
    if not features or len(features) % number.itemsize:
        raise RangeError(f"features: {len(features)} bytes are no vector of {dtype} ({number.itemsize} bytes each)")
    vector = np.frombuffer(features, number)
    finite = np.isfinite(vector)
    if np.count_nonzero(finite) != vector.size:  # half the time of finite.all()
        raise RangeError(f"features: number {int(np.argmin(finite))} is not finite")


def _identity(decision_id: str) -> None:
    if not CANONICAL_UUID.fullmatch(decision_id):
        raise RangeError(f"decision_id: {decision_id[:40]!r}; a UUID as 36 characters in lower case is right")


def _time(time_ms: int) -> None:
    if time_ms <= 0:
        raise RangeError(f"time_ms: {time_ms}; milliseconds since 1970 UTC are above 0")


def _action(action: Action, parts: int) -> None:
    if len(action) != parts or min(action) < 0:
        raise RangeError(f"action: {action}; one index of 0 or more for each of the {parts} parts is right")


def _share(name: str, value: float | None) -> None:
    if value is not None and not 0 <= value <= 1:  # true for NaN as well
        raise RangeError(f"{name}: {value}; 0 to 1 is right")


# By type: a match statement asks isinstance for every type before the right one, for every record.
CHECKS: Final[Mapping[type[Record], Callable[..., None]]] = {
    Decision: _decision,
    UserFeedback: _user_feedback,
    ToolFeedback: _tool_feedback,
    ImplicitFeedback: _implicit_feedback,
    Outcome: _outcome,
    Candidate: _candidate,
    ServingState: _serving_state,
    Tick: _tick,
    Verdict: _dated,
    Transition: _dated,
    OperatorCommand: _dated,
    Snapshot: _dated,
}
