"""What a well-formed record may hold: the checks that belong to the contract and need no configuration.

Nothing in a record is without a bound. What is kept of it, and what is made of it, then has one too: an outcome fits
its topic, a key its envelope, an open session the snapshot. docs/adr/0017 has the list.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final, NoReturn

import numpy as np

from ol0.errors import RangeError
from ol0.records import (
    CHUNK_BYTES,
    Action,
    Candidate,
    Chunk,
    Decision,
    FeaturesDtype,
    Gate,
    ImplicitFeedback,
    OperatorCommand,
    Outcome,
    Record,
    Release,
    ServingState,
    Snapshot,
    Tick,
    ToolFeedback,
    Transition,
    UserFeedback,
    Verdict,
)

is_canonical_uuid: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").fullmatch
NUMBERS: Final[Mapping[FeaturesDtype, np.dtype[np.float16 | np.float32]]] = {
    FeaturesDtype.FLOAT16: np.dtype("<f2"),
    FeaturesDtype.FLOAT32: np.dtype("<f4"),
}
MAX_LABEL_BYTES: Final = 256
"""Of an id, a name or a pseudonym, as UTF-8. Message keys are made of them, and services keep them for every open
session; a UUID has 36, a pseudonym 32, a path used as a name some 200."""
SHORT: Final = MAX_LABEL_BYTES // 4
"""Characters that are no more bytes than a label may have, whatever they are."""
DIGEST_CHARACTERS: Final = 64
MAX_TEXT_BYTES: Final = 8_192
"""Of a text for people, of a verdict's reasons together. The longest that a gate composes, of two encoders' names and
all parts, has 5 KB."""
MAX_PARTS: Final = 16
"""Of an action: a checkpoint has no more (controller/header.py)."""
MAX_REASONS: Final = 32
"""Of a verdict: the gates give ten at most, a line for each of their checks."""
MAX_APPROVALS: Final = len(Gate)
"""Of a release: the newest of each gate."""
MAX_FIGURES: Final = 256
"""Of a candidate's summary: the learner names thirty."""
MAX_SIGNATURE_BYTES: Final = 64
"""Ed25519."""
MAX_HEADS_BYTES: Final = 2_500_000
"""Of a checkpoint that is whole in its record, or of a reference to one (controller/chunks.py writes .9 MB at most). A
serving state holds three, and is one record: of 8 MiB, the most that managed brokers take."""
MAX_RATING: Final = 5
EARLIEST_MS: Final = 946_684_800_000
"""The year 2000. What is before it was given in seconds, or by a clock that was never set."""
LATEST_MS: Final = 10**13 - 1
"""The year 2286: 13 digits, as the store keeps times. What is behind it was given in microseconds."""


def validate(record: Record) -> None:
    """Checks one record.

    Raises:
        RangeError: a value is not allowed; says which field, what was found and what is right.
    """
    CHECKS[type(record)](record)


def cut(text: str) -> str:
    """A text for people, cut to what a record may hold.

    >>> cut("why"), len(cut("é" * 9_000).encode()) <= MAX_TEXT_BYTES
    ('why', True)
    """
    if len(text) <= MAX_TEXT_BYTES // 4:
        return text
    kept = text.encode()
    return text if len(kept) <= MAX_TEXT_BYTES else kept[: MAX_TEXT_BYTES - 3].decode(errors="ignore") + "…"


def _decision(record: Decision) -> None:
    _choice(record)
    _features(record.features, record.features_dtype)


def _outcome(record: Outcome) -> None:
    _choice(record)
    _time(record.window_end_ms, "window_end_ms")
    parts = record.parts
    for share in (record.reward, parts.thumb, parts.rating, parts.correction, parts.tool, parts.implicit):
        if share is not None:
            _share("reward and its parts", share)


def _choice(record: Decision | Outcome) -> None:  # noqa: C901 - written out: it is done for every decision
    """What a decision and its outcome share: identity, labels, time, action and its propensity."""
    if not is_canonical_uuid(record.decision_id):
        _refuse_identity(record.decision_id)
    session_id, user, group = record.session_id, record.user, record.group
    if len(session_id) > SHORT or (user and len(user) > SHORT) or (group and len(group) > SHORT):
        _labels(session_id=session_id, user=user, group=group)
    staged = record.staged
    if len(record.digest) != DIGEST_CHARACTERS or (staged and len(staged) != DIGEST_CHARACTERS):
        _digests(digest=record.digest, staged=staged)
    if not EARLIEST_MS <= record.time_ms <= LATEST_MS:
        _time(record.time_ms)
    action, propensities = record.action, record.propensity
    if not 0 < len(action) <= MAX_PARTS or len(propensities) != len(action):
        parts = f"{len(propensities)} for an action of {len(action)} parts"
        raise RangeError(f"propensity: {parts}; every part of an action has one, and an action 1 to {MAX_PARTS} parts")
    for propensity in propensities:
        if not 0 < propensity <= 1:  # false for NaN as well
            raise RangeError(f"propensity: {propensity}; a probability of what was done is above 0 and at most 1")
    if min(action) < 0:
        _action(action, len(action))
    for greedy in (record.greedy_base, record.greedy_live, record.greedy_staged):
        if greedy is not None and greedy != action:  # mostly it is what was done, which is checked
            _action(greedy, len(action))


def _feedback(record: UserFeedback | ToolFeedback | ImplicitFeedback) -> None:
    """What all feedback shares: identity, labels and time."""
    if not record.feedback_id:
        raise RangeError(f"feedback_id: empty; 1 to {MAX_LABEL_BYTES} bytes are right")
    if len(record.feedback_id) > SHORT or len(record.session_id) > SHORT or len(record.source) > SHORT:
        _labels(feedback_id=record.feedback_id, session_id=record.session_id, source=record.source)
    if not is_canonical_uuid(record.decision_id):
        _refuse_identity(record.decision_id)
    if not EARLIEST_MS <= record.time_ms <= LATEST_MS:
        _time(record.time_ms)


def _user_feedback(record: UserFeedback) -> None:
    _feedback(record)
    if record.thumb is None and record.rating is None and record.correction is None:
        raise RangeError("thumb, rating and correction are all missing: feedback of a user says at least one of them")
    if record.thumb not in (None, -1, 1):
        raise RangeError(f"thumb: {record.thumb}; expected +1 or -1")
    if record.rating is not None and not 1 <= record.rating <= MAX_RATING:
        raise RangeError(f"rating: {record.rating}; 1 to {MAX_RATING} are right")
    if record.correction is not None:
        if not 0 < len(record.correction) <= MAX_PARTS:
            parts = len(record.correction)
            raise RangeError(f"correction: {parts} parts; it names one index per part of the action, 1 to {MAX_PARTS}")
        _action(record.correction, len(record.correction))


def _tool_feedback(record: ToolFeedback) -> None:
    _feedback(record)
    if len(record.tool) > SHORT or (record.error_class and len(record.error_class) > SHORT):
        _labels(tool=record.tool, error_class=record.error_class)
    latency_ms = record.latency_ms
    if latency_ms is not None and not 0 <= latency_ms < math.inf:  # true for NaN as well
        raise RangeError(f"latency_ms: {latency_ms}; expected a finite number, 0 or more")


def _implicit_feedback(record: ImplicitFeedback) -> None:
    _feedback(record)
    _share("strength", record.strength)


def _candidate(record: Candidate) -> None:
    _digests(digest=record.digest, parent=record.parent, base=record.base)
    _time(record.time_ms)
    _heads(record.heads)
    _at_most("summary", record.summary, MAX_FIGURES, "figures")
    for name in record.summary:
        _labels(summary=name)
    _signature(record.signature)


def _verdict(record: Verdict) -> None:
    _digests(digest=record.digest, base=record.base, parent=record.parent, suite_digest=record.suite_digest)
    _time(record.time_ms)
    _at_most("reasons", record.reasons, MAX_REASONS, "of them")
    for reason in record.reasons:
        _labels(check=reason.check)
    # Together: a serving state holds six verdicts beside three heads, and has a size as well.
    _text("reasons", "".join(reason.text for reason in record.reasons))
    _signature(record.signature)


def _serving_state(record: ServingState) -> None:
    _share("staged.share", record.staged.share if record.staged else None)
    _time(record.time_ms)
    _release(record.base)
    _release(record.live)
    if record.staged is not None:
        _release(record.staged.release)


def _release(record: Release) -> None:
    _digests(digest=record.digest)
    _heads(record.heads)
    _at_most("approvals", record.approvals, MAX_APPROVALS, "of them")
    for verdict in record.approvals:
        _verdict(verdict)


def _transition(record: Transition) -> None:
    _digests(digest=record.digest)
    _text("cause", record.cause)
    _time(record.time_ms)


def _operator_command(record: OperatorCommand) -> None:
    _labels(value=record.value, actor=record.actor)
    _text("reason", record.reason)
    _time(record.time_ms)


def _snapshot(record: Snapshot) -> None:
    _labels(service=record.service)
    _time(record.time_ms)


def _chunk(record: Chunk) -> None:
    """What is read under a name is what the name says, or nothing."""
    if not 0 < len(record.data) <= CHUNK_BYTES:
        raise RangeError(f"data: {len(record.data)} bytes; 1 to {CHUNK_BYTES} are right")
    if (found := sha256(record.data).hexdigest()) != record.digest:
        raise RangeError(f"digest: {record.digest[:80]}, but the bytes are {found}")


def _tick(record: Tick) -> None:
    if record.time_ms is not None:
        _time(record.time_ms)


def _features(features: bytes, dtype: FeaturesDtype) -> None:
    number = NUMBERS[dtype]
    if not features or len(features) % number.itemsize:
        raise RangeError(f"features: {len(features)} bytes are no vector of {dtype} ({number.itemsize} bytes each)")
    vector = np.frombuffer(features, number)
    finite = np.isfinite(vector)
    if np.count_nonzero(finite) != vector.size:  # half the time of finite.all()
        raise RangeError(f"features: number {int(np.argmin(finite))} is not finite")


def _refuse_identity(decision_id: str) -> NoReturn:
    raise RangeError(f"decision_id: {decision_id[:40]!r}; expected a UUID of 36 lower-case characters")


def _labels(**labels: str | None) -> None:
    for name, value in labels.items():
        if value is not None and len(value) > SHORT and (size := len(value.encode())) > MAX_LABEL_BYTES:
            raise RangeError(f"{name}: {size} bytes, {value[:40]!r}...; {MAX_LABEL_BYTES} at most")


def _digests(**digests: str | None) -> None:
    for name, value in digests.items():
        if value is not None and len(value) != DIGEST_CHARACTERS:
            raise RangeError(f"{name}: {len(value)} characters, {value[:40]!r}; a digest has {DIGEST_CHARACTERS}")


def _text(name: str, value: str) -> None:
    if len(value) > MAX_TEXT_BYTES // 4 and (size := len(value.encode())) > MAX_TEXT_BYTES:
        raise RangeError(f"{name}: {size} bytes; {MAX_TEXT_BYTES} at most")


def _at_most(name: str, found: Sequence[object] | Mapping[str, object], limit: int, of_what: str) -> None:
    if len(found) > limit:
        raise RangeError(f"{name}: {len(found)} {of_what}; {limit} at most")


def _heads(heads: bytes) -> None:
    if len(heads) > MAX_HEADS_BYTES:
        raise RangeError(f"heads: {len(heads)} bytes; {MAX_HEADS_BYTES} at most")


def _signature(signature: bytes | None) -> None:
    if signature is not None and len(signature) > MAX_SIGNATURE_BYTES:
        raise RangeError(f"signature: {len(signature)} bytes; {MAX_SIGNATURE_BYTES} at most")


def _time(time_ms: int, name: str = "time_ms") -> None:
    if time_ms < EARLIEST_MS:
        in_seconds = 0 < time_ms < EARLIEST_MS // 10  # beyond it no calendar has a date for it
        said = f" ({datetime.fromtimestamp(time_ms, UTC):%Y-%m-%d} if these are seconds)" if in_seconds else ""
        raise RangeError(f"{name}: {time_ms} is before the year 2000{said}; expected milliseconds since 1970 UTC")
    if time_ms > LATEST_MS:
        raise RangeError(f"{name}: {time_ms} is after the year 2286; expected milliseconds since 1970 UTC")


def _action(action: Action, parts: int) -> None:
    if len(action) != parts or min(action) < 0:
        raise RangeError(f"action: {action[:MAX_PARTS]}; one index of 0 or more for each of the {parts} parts is right")


def _share(name: str, value: float | None) -> None:
    if value is not None and not 0 <= value <= 1:  # true for NaN as well
        raise RangeError(f"{name}: {value}; expected 0 to 1")


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
    Verdict: _verdict,
    Transition: _transition,
    OperatorCommand: _operator_command,
    Snapshot: _snapshot,
    Chunk: _chunk,
}
